package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/trouble"
)

// Digests of nothing, told apart by their first digit.
func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }
func hexOf(c string) string  { return strings.Repeat(c, 64) }

// tarOf makes a tar of files in the order of their names.
func tarOf(tb testing.TB, files map[string]string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := write(w, name, 0o644, []byte(files[name])); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func read(text []byte) (*Archive, error) { return Read(bytes.NewReader(text), int64(len(text))) }

const amd64 = `{"os":"linux","architecture":"amd64"}`

// layoutOf is an OCI layout of one image for each processor, below an index.
func layoutOf(name string, archs ...string) map[string]string {
	files := map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
		"index.json": fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"annotations":{"org.opencontainers.image.ref.name":%q}}]}`, typeIndex, digest("e"), name),
	}
	var below []string
	for i, arch := range archs {
		m, c := string(rune('1'+2*i)), string(rune('2'+2*i))
		below = append(below, fmt.Sprintf(`{"mediaType":%q,"digest":%q}`, typeManifest, digest(m)))
		files["blobs/sha256/"+hexOf(m)] = fmt.Sprintf(`{"config":{"digest":%q},"layers":[{"digest":%q}]}`, digest(c), digest("f"))
		files["blobs/sha256/"+hexOf(c)] = fmt.Sprintf(`{"os":"linux","architecture":%q}`, arch)
	}
	// One that was not saved, and an attestation.
	below = append(below, fmt.Sprintf(`{"digest":%q}`, digest("0")), fmt.Sprintf(`{"digest":%q}`, digest("d")))
	files["blobs/sha256/"+hexOf("d")] = fmt.Sprintf(`{"config":{"digest":%q},"layers":[]}`, digest("c"))
	files["blobs/sha256/"+hexOf("c")] = `{"os":"unknown","architecture":"unknown"}`
	files["blobs/sha256/"+hexOf("e")] = `{"manifests":[` + strings.Join(below, ",") + `]}`
	return files
}

func TestRead(t *testing.T) {
	old := map[string]string{ // as docker save wrote it until Docker 24
		"manifest.json":      `[{"Config":"` + hexOf("a") + `.json","RepoTags":["nginx:1.27","mine:latest"],"Layers":["x/layer.tar"]},{"Config":"` + hexOf("b") + `.json","RepoTags":null,"Layers":[]}]`,
		hexOf("a") + ".json": amd64, hexOf("b") + ".json": `{"os":"linux","architecture":"arm64"}`,
		"repositories": `{}`,
	}
	both := map[string]string{ // as it has written it since
		"manifest.json":               `[{"Config":"blobs/sha256/` + hexOf("a") + `","RepoTags":["docker.io/library/nginx:1.27"],"Layers":[]}]`,
		"blobs/sha256/" + hexOf("a"):  amd64,
		"index.json":                  `{"manifests":[{"mediaType":"` + typeManifest + `","digest":"` + digest("b") + `"}]}`,
		"blobs/sha256/" + hexOf("b"):  `{"config":{"digest":"` + digest("a") + `"}}`,
		"./blobs/sha256/something.js": "{",
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  []Image
	}{
		"docker save": {old, []Image{
			{IDs: []string{digest("a")}, Tags: []string{"nginx:1.27", "mine:latest"}, OS: "linux", Arch: "amd64"},
			{IDs: []string{digest("b")}, Tags: []string{}, OS: "linux", Arch: "arm64"},
		}},
		"both": {both, []Image{{IDs: []string{digest("a"), digest("b")}, Tags: []string{"nginx:1.27"}, OS: "linux", Arch: "amd64"}}},
		"OCI layout": {layoutOf("docker.io/some/where:2", "amd64", "arm64"), []Image{
			{IDs: []string{digest("2"), digest("1"), digest("e")}, Tags: []string{"some/where:2"}, OS: "linux", Arch: "amd64"},
			{IDs: []string{digest("4"), digest("3"), digest("e")}, Tags: []string{"some/where:2"}, OS: "linux", Arch: "arm64"},
		}},
		"OCI layout with a tag that names nothing": {layoutOf("latest", "amd64"), []Image{
			{IDs: []string{digest("2"), digest("1"), digest("e")}, OS: "linux", Arch: "amd64"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			text := tarOf(t, c.files)
			a, err := read(text)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, a.Images); d != "" {
				t.Error(d)
			}
			sent, err := io.ReadAll(a.Reader())
			if err != nil || int64(len(sent)) != a.Size() || !bytes.HasSuffix(sent, text) {
				t.Fatalf("Reader gives %d bytes, Size %d, the tar has %d: %v", len(sent), a.Size(), len(text), err)
			}
			// Whatever it was, it is docker save's format now, of the same images.
			again, err := read(sent)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := c.files["manifest.json"]; ok != bytes.Equal(sent, text) {
				t.Errorf("has a manifest.json: %v; sent as it is: %v", ok, bytes.Equal(sent, text))
			}
			for i := range again.Images {
				if again.Images[i].IDs[0] != c.want[i].IDs[0] || !slices.Equal(again.Images[i].Tags, c.want[i].Tags) {
					t.Errorf("sent: %+v", again.Images[i])
				}
			}
		})
	}
}

func TestOneProcessorOfSeveral(t *testing.T) {
	a, err := read(tarOf(t, layoutOf("some/where:2", "amd64", "arm64")))
	if err != nil {
		t.Fatal(err)
	}
	arm, err := a.For("arm64")
	if err != nil {
		t.Fatal(err)
	}
	sent, _ := io.ReadAll(arm.Reader())
	got, err := read(sent)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Images) != 1 || got.Images[0].Arch != "arm64" || got.Images[0].IDs[0] != digest("4") || len(arm.Images) != 1 {
		t.Errorf("sent %+v", got.Images)
	}
	if other, err := a.For("s390x"); err != nil || other != a {
		t.Errorf("of a processor that none is for: %+v, %v", other, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"nothing":                   {nil, "it holds no images"},
		"no tar":                    {[]byte("version: 1\n"), "it holds no images"},
		"a tar of something else":   {tarOf(t, map[string]string{"a": "b"}), "it holds no images"},
		"no images":                 {tarOf(t, map[string]string{"manifest.json": "[]"}), "it holds no images"},
		"a manifest in shreds":      {tarOf(t, map[string]string{"manifest.json": "[{"}), "read manifest.json of the archive"},
		"no configuration":          {tarOf(t, map[string]string{"manifest.json": `[{"Config":"` + hexOf("a") + `.json"}]`}), "the archive lacks aaaa"},
		"a name that is no digest":  {tarOf(t, map[string]string{"manifest.json": `[{"Config":"a.json"}]`, "a.json": "{}"}), "which is no digest"},
		"an index of other digests": {tarOf(t, map[string]string{"index.json": `{"manifests":[{"digest":"md5:1"}]}`}), "which is no digest"},
		"cut off":                   {tarOf(t, map[string]string{"a": strings.Repeat("x", 2000)})[:1200], "read the tar"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestFamiliar(t *testing.T) {
	for in, want := range map[string]string{
		"docker.io/library/nginx:1": "nginx:1", "index.docker.io/library/nginx:1": "nginx:1", "nginx:1": "nginx:1",
		"docker.io/dcalab/demo:1": "dcalab/demo:1", "dcalab/demo:1": "dcalab/demo:1",
		"library/nginx:1": "nginx:1", "registry.test/library/nginx:1": "registry.test/library/nginx:1", "localhost:5000/a:1": "localhost:5000/a:1",
	} {
		if got := familiar(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	plain := tarOf(t, layoutOf("some/where:2", "amd64"))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(plain)
	_ = z.Close()
	for name, text := range map[string][]byte{"plain.tar": plain, "packed.tar.gz": packed.Bytes()} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for how, open := range map[string]func() (*File, error){
			"file":   func() (*File, error) { return OpenFile(t.Context(), path) },
			"stream": func() (*File, error) { return ReadFile(t.Context(), "-", bytes.NewReader(text)) },
		} {
			f, err := open()
			if err != nil {
				t.Fatalf("%s as %s: %v", name, how, err)
			}
			if f.Images[0].Name() != "some/where:2" || f.size != int64(len(plain)) {
				t.Errorf("%s as %s: %+v", name, how, f.Images)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the file itself has gone: %v", err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	for text, next := range map[string]string{"\xfd7zXZ\x00...": "xz -dk ", "\x28\xb5\x2f\xfd....": "zstd -dk "} {
		path := filepath.Join(t.TempDir(), "packed")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenFile(t.Context(), path)
		if e := (*trouble.Error)(nil); !errors.As(err, &e) || len(e.Next) != 1 || !strings.Contains(e.Next[0], next) {
			t.Errorf("got %v", err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheLocalDocker(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a shell script stands for docker")
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", t.TempDir())
	if err := os.WriteFile(filepath.Join(dir, "image.tar"), tarOf(t, layoutOf("mine:1", "amd64")), 0o600); err != nil {
		t.Fatal(err)
	}
	docker := filepath.Join(dir, "docker")
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$*\" = 'image save -- mine:1' ]; then exec cat %s/image.tar; fi\necho 'Error response from daemon: reference does not exist' >&2\nexit 1\n", dir)
	if err := os.WriteFile(docker, []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	f, err := SaveWithDocker(t.Context(), docker, "mine:1")
	if err != nil {
		t.Fatal(err)
	}
	if f.Images[0].Name() != "mine:1" {
		t.Errorf("%+v", f.Images)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	_, err = SaveWithDocker(t.Context(), docker, "other")
	if e := (*trouble.Error)(nil); !errors.As(err, &e) || e.ID != "local-docker-failed" || !strings.Contains(e.Why, "reference does not exist") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAStreamThatStopsEndsWithTheContext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	go func() {
		_, _ = w.Write([]byte("the beginning"))
		cancel()
	}()
	if _, err := ReadFile(ctx, "-", r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(tarOf(f, layoutOf("some/where:2", "amd64", "arm64")))
	f.Add(tarOf(f, map[string]string{"manifest.json": `[{"Config":"` + hexOf("a") + `.json","RepoTags":["a:1"]}]`, hexOf("a") + ".json": amd64}))
	f.Add([]byte("no tar"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := read(text)
		if err != nil {
			return
		}
		for _, i := range a.Images {
			if len(i.IDs) == 0 || i.Name() == "" && len(i.Tags) == 0 {
				t.Fatalf("an image without a name: %+v", i)
			}
			for _, id := range i.IDs {
				if !isDigest(id) {
					t.Fatalf("%q is no digest", id)
				}
			}
		}
		sent, err := io.ReadAll(a.Reader())
		if err != nil || int64(len(sent)) != a.Size() {
			t.Fatalf("%d bytes of %d: %v", len(sent), a.Size(), err)
		}
	})
}
