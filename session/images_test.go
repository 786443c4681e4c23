package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/image"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

func TestANodeHasWhatItHasUnderAllItsNames(t *testing.T) {
	have := []engine.Image{{ID: "sha256:a", Tags: []string{"web:1", "web:latest"}}, {ID: "sha256:b"}}
	for name, c := range map[string]struct {
		want []image.Image
		has  bool
	}{
		"one":                          {[]image.Image{{IDs: []string{"sha256:a"}, Tags: []string{"web:1"}}}, true},
		"both, one without a name":     {[]image.Image{{IDs: []string{"sha256:b"}}, {IDs: []string{"sha256:a"}}}, true},
		"by the digest of a manifest":  {[]image.Image{{IDs: []string{"sha256:c", "sha256:a"}, Tags: []string{"web:1"}}}, true},
		"another image of this name":   {[]image.Image{{IDs: []string{"sha256:c"}, Tags: []string{"web:1"}}}, false},
		"another name of this image":   {[]image.Image{{IDs: []string{"sha256:a"}, Tags: []string{"web:1", "web:2"}}}, false},
		"one of two":                   {[]image.Image{{IDs: []string{"sha256:a"}}, {IDs: []string{"sha256:c"}}}, false},
		"the name is another image's":  {[]image.Image{{IDs: []string{"sha256:b"}, Tags: []string{"web:1"}}}, false},
		"an archive without an image?": {nil, true},
	} {
		if got := hasAll(have, c.want); got != c.has {
			t.Errorf("%s: %v, want %v", name, got, c.has)
		}
	}
}

// store is an engine that takes images: which ones it has, and what it was sent.
type store struct {
	arch   string
	images string // as the Engine API lists them
	sent   []byte
	asked  func(path string) // is called with each request; may be nil
}

// engines are those of n1, n2 and so on; n0 is halted.
func engines(t *testing.T, stores ...*store) *Engines {
	t.Helper()
	e := &Engines{clients: map[string]*engine.Client{}}
	e.Targets = append(e.Targets, swarm.Target{Node: swarm.Node{Name: "n0"}, Unreachable: errors.New("n0: its machine is halted")})
	for i, one := range stores {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if one.asked != nil {
				one.asked(r.URL.Path)
			}
			switch {
			case strings.HasSuffix(r.URL.Path, "/version"):
				_ = json.NewEncoder(w).Encode(map[string]string{"Os": "linux", "Arch": one.arch})
			case strings.HasSuffix(r.URL.Path, "/images/json"):
				_, _ = io.WriteString(w, one.images)
			case strings.HasSuffix(r.URL.Path, "/images/load"):
				one.sent, _ = io.ReadAll(r.Body)
				_, _ = io.WriteString(w, "{}")
			}
		}))
		t.Cleanup(server.Close)
		name := "n" + string(rune('1'+i))
		c, err := engine.New(name, func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
		})
		if err != nil {
			t.Fatal(err)
		}
		e.clients[name] = c
		e.Targets = append(e.Targets, swarm.Target{Node: swarm.Node{Name: name}})
	}
	t.Cleanup(e.Release)
	return e
}

// demo is the archive of the demo image.
func demo(t *testing.T) (archive *image.Archive, text []byte) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "dcalab")
	if err := os.WriteFile(program, []byte("not a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := image.BuildDemo(&out, image.Program{Path: program, Arch: "amd64"}); err != nil {
		t.Fatal(err)
	}
	archive, err := image.Read(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return archive, out.Bytes()
}

// TestSomeLoadAtOnce: as many nodes as may unpack images do, and never one more.
func TestSomeLoadAtOnce(t *testing.T) {
	var mu sync.Mutex
	var full sync.Once
	loading, most, all := 0, 0, make(chan struct{})
	asked := func(path string) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasSuffix(path, "/version"): // the first that is asked of a node
			loading++
			most = max(most, loading)
		case strings.HasSuffix(path, "/images/load"): // the last
			if loading >= loadsAtOnce {
				full.Do(func() { close(all) })
			}
			mu.Unlock()
			select {
			case <-all:
			case <-time.After(10 * time.Second): // fewer do
			}
			mu.Lock()
			loading--
		}
	}
	var stores []*store
	var nodes []lab.Node
	for i := range 9 {
		stores = append(stores, &store{arch: "amd64", images: "[]", asked: asked})
		nodes = append(nodes, lab.Node{Name: "n" + string(rune('1'+i))})
	}
	archive, _ := demo(t)
	e := engines(t, stores...)
	if err := e.LoadImages(t.Context(), ImageLoad{Archive: archive, Source: DemoImage}, nodes, &told{done: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	if most != loadsAtOnce {
		t.Errorf("%d nodes unpack images at a time, want %d", most, loadsAtOnce)
	}
}

// told is a Reporter that remembers how it went with each node.
type told struct {
	mu   sync.Mutex
	done map[string]string
}

func (t *told) say(node, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done[node] = text
}
func (*told) Step(string, string)           {}
func (t *told) Done(node, text string)      { t.say(node, text) }
func (t *told) Fail(node string, err error) { t.say(node, err.Error()) }
func (t *told) Note(text string)            { t.say("", text) }
func (t *told) Warn(text string)            { t.say("", text) }
func (*told) Detail(string, string)         {}

func TestImagesGoToWhoLacksThem(t *testing.T) {
	archive, text := demo(t)
	type entry struct {
		ID       string `json:"Id"`
		RepoTags []string
	}
	var all []entry
	for _, i := range archive.Images {
		all = append(all, entry{i.IDs[0], i.Tags})
	}
	list, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	has, lacks, other := &store{arch: "amd64", images: string(list)}, &store{arch: "amd64", images: "[]"}, &store{arch: "arm64", images: "[]"}
	e := engines(t, has, lacks, other)
	p := &told{done: map[string]string{}}
	last := map[string]int64{}
	load := ImageLoad{Archive: archive, Source: DemoImage, Sending: func(node string, sent, total int64) {
		last[node] = sent // of one node only
		if total != archive.Size() {
			t.Errorf("%d bytes of %d", sent, total)
		}
	}}
	nodes := []lab.Node{{Name: "n0"}, {Name: "n1"}, {Name: "n2"}, {Name: "n3"}}
	err = e.LoadImages(t.Context(), load, nodes, p)
	var unfinished *trouble.Error
	if !errors.As(err, &unfinished) || unfinished.ID != "image-load-unfinished" || unfinished.Exit != trouble.ExitUnfinished ||
		unfinished.Why != "2 of 4 nodes lack it: n0, n3" || unfinished.Next[len(unfinished.Next)-1] != "then: dcalab image load demo n0 n3" {
		t.Errorf("%+v", unfinished)
	}
	for node, want := range map[string]string{
		"n0": "its machine is halted", "n1": "has it already", "n2": "loaded " + archive.Images[0].Name(), "n3": "it would be for amd64, and the node is arm64",
	} {
		if !strings.Contains(p.done[node], want) {
			t.Errorf("%s: %q, want %q", node, p.done[node], want)
		}
	}
	if !bytes.Equal(lacks.sent, text) || len(has.sent)+len(other.sent) > 0 || len(last) != 1 || last["n2"] != archive.Size() {
		t.Errorf("n2 got %d bytes of %d, n1 %d, n3 %d; %v was told", len(lacks.sent), len(text), len(has.sent), len(other.sent), last)
	}
	if err := e.LoadImages(t.Context(), load, nodes[1:3], p); err != nil {
		t.Error(err)
	}
}

func TestImagesByNameAndNode(t *testing.T) {
	e := engines(t,
		&store{images: `[{"Id":"sha256:b","RepoTags":["web:1"],"Size":7},{"Id":"sha256:a","RepoTags":["app:1","<none>:<none>"],"Size":3}]`},
		&store{images: `[{"Id":"sha256:c","RepoTags":["web:1"],"Size":8},{"Id":"sha256:a","RepoTags":["app:1"],"Size":3}]`})
	got, err := e.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, i := range got.Images {
		lines = append(lines, i.Name+" "+i.ID+" "+strings.Join(i.Nodes, ","))
	}
	if want := []string{"app:1 sha256:a n1,n2", "web:1 sha256:b n1", "web:1 sha256:c n2"}; !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
	if len(got.Unasked) != 1 || got.Unasked[0] != (Unasked{"n0", "n0: its machine is halted"}) {
		t.Errorf("%+v", got.Unasked)
	}
	if _, err := engines(t).Images(t.Context()); err == nil {
		t.Error("nobody was asked")
	}
}
