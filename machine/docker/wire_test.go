package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// What callers tell apart by value, and what a person reads, is the same on both
// ends of the wire.
func TestErrorsOnTheWire(t *testing.T) {
	for name, err := range map[string]error{
		"plain":           errors.New("no more processes"),
		"absent":          machine.NotCreated("node01"),
		"no snapshot":     fmt.Errorf("snapshot clean: %w", machine.ErrNoSnapshot),
		"snapshot exists": fmt.Errorf("snapshot clean: %w", machine.ErrSnapshotExists),
		"an entry":        fmt.Errorf("import: %w", &machine.EntryError{Path: "node01/upper/dev", Why: "it is a device"}),
		"with a cause":    &trouble.Error{ID: "x", Where: "master", What: "boot", Err: errors.New("no room"), Exit: trouble.ExitRequirement},
		"advice below":    fmt.Errorf("start: %w", &trouble.Error{ID: "x", What: "boot", Why: "no room", Next: []string{"make room"}}),
	} {
		t.Run(name, func(t *testing.T) {
			var wire bytes.Buffer
			if err := json.NewEncoder(&wire).Encode(event{Result: &result{Failure: pack(err)}}); err != nil {
				t.Fatal(err)
			}
			_, got := answer(&wire, func(event) { t.Error("an event that nobody sent") })
			for _, kind := range []error{machine.ErrNoSnapshot, machine.ErrSnapshotExists} {
				if errors.Is(got, kind) != errors.Is(err, kind) {
					t.Errorf("%v is %v: %v", got, kind, errors.Is(got, kind))
				}
			}
			var was, is *machine.AbsentError
			if errors.As(err, &was) != errors.As(got, &is) || was != nil && was.Node != is.Node {
				t.Errorf("absent is %v, was %v", is, was)
			}
			var entry, its *machine.EntryError
			if errors.As(err, &entry) != errors.As(got, &its) || entry != nil && *entry != *its {
				t.Errorf("the entry is %v, was %v", its, entry)
			}
			if trouble.ExitStatus(got) != trouble.ExitStatus(err) || !slices.Equal(trouble.Advice(got), trouble.Advice(err)) {
				t.Errorf("exit status %d and advice %q, was %d and %q", trouble.ExitStatus(got), trouble.Advice(got), trouble.ExitStatus(err), trouble.Advice(err))
			}
			if !strings.Contains(err.Error(), got.Error()) && !strings.HasPrefix(got.Error(), err.Error()) {
				t.Errorf("it reads %q, was %q", got, err)
			}
		})
	}
}

func TestAnswersThatEndEarly(t *testing.T) {
	var steps []string
	_, err := answer(strings.NewReader(`{"step":{"node":"master","text":"booting"}}`+"\n"+`{"ready":"mas`), func(e event) {
		steps = append(steps, e.Step.Node+" "+e.Step.Text)
	})
	if !errors.Is(err, errEnded) || !slices.Equal(steps, []string{"master booting"}) {
		t.Errorf("error %v, steps %q", err, steps)
	}
	if _, err := answer(strings.NewReader("OCI runtime exec failed\n"), func(event) {}); err == nil || errors.Is(err, errEnded) {
		t.Errorf("what is no answer is %v", err)
	}
}

// line is a line to an agent in this process.
func lineToAgent(t *testing.T) *http.Client {
	t.Helper()
	in, write := io.Pipe()
	read, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Agent("dcalab", in, out) }()
	t.Cleanup(func() {
		_ = write.Close()
		if err := <-ended; err != nil {
			t.Errorf("the agent ended: %v", err)
		}
	})
	return &http.Client{Transport: &http.Transport{
		Protocols: onlyHTTP2(),
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return node.Join(read, write, nil), nil
		},
	}}
}

// An agent of another dcalab refuses, rather than to do something else.
func TestAgentOfAnotherFormat(t *testing.T) {
	line := lineToAgent(t)
	for _, text := range []string{`{"format":99,"method":"destroy","lab":{}}`, "no JSON"} {
		resp, err := line.Post(lineBase+"/do", "", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = answer(resp.Body, func(event) {})
		_ = resp.Body.Close()
		if err == nil || !strings.Contains(err.Error(), "dcalab start") {
			t.Errorf("error is %v", err)
		}
	}
}

// A line whose program ends at once says why.
func TestLinesThatEndAtOnce(t *testing.T) {
	for name, argv := range map[string][]string{
		"no such container":         {"sh", "-c", "echo no such container >&2; exit 1"},
		"executable file not found": {"no-such-program-of-dcalab"},
	} {
		resp, err := newLine(argv).Post(lineBase+"/do", "", http.NoBody)
		if err == nil {
			_ = resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", argv, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"result":{"failure":{"text":"x","kind":"absent","node":"a"}}}`))
	f.Add([]byte(`{"step":{"node":"a","text":"b"}}` + "\n" + `{"result":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		res, err := answer(bytes.NewReader(text), func(e event) {
			if e.Result != nil {
				t.Error("a result among the events")
			}
		})
		if res == nil && err == nil {
			t.Error("neither a result nor an error")
		}
	})
}
