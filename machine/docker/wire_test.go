package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/machine"
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

// An agent of another dcalab refuses, rather than to do something else.
func TestAgentOfAnotherFormat(t *testing.T) {
	var out bytes.Buffer
	if err := Agent(context.Background(), "dcalab", strings.NewReader(`{"format":99,"method":"destroy","lab":{}}`), &out); err != nil {
		t.Fatal(err)
	}
	_, err := answer(&out, func(event) {})
	if err == nil || !strings.Contains(err.Error(), "dcalab start") {
		t.Errorf("error is %v", err)
	}
	if err := Agent(context.Background(), "dcalab", strings.NewReader("no JSON"), io.Discard); err == nil {
		t.Error("what is no request is answered")
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
