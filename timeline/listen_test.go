package timeline

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/trouble"
)

func listening(told *[]string, unread ...string) *listener {
	l := &listener{
		tell:     func(e Event) { *told = append(*told, fmt.Sprintf("%s %s", e.Node, e.Kind)) },
		machines: map[string]machine.Status{}, engines: map[string]engine.Life{}, logs: map[string]raft.State{}, names: map[string]string{},
		unread: map[string]bool{}, failed: map[string]string{},
		stock: make(chan struct{}, 1), wanted: 1, known: map[string]raft.Change{}, locked: map[string]bool{},
		certified: map[string]time.Time{}, renewed: map[string]chan<- struct{}{},
	}
	for _, n := range unread {
		l.unread[n] = true
	}
	return l
}

func TestWhoIsElected(t *testing.T) {
	type told struct {
		node string
		log  raft.State
	}
	log := func(id, term, vote, last uint64) raft.State {
		return raft.State{ID: id, HardState: raft.HardState{Term: term, Vote: vote}, Last: raft.Position{Term: last, Index: last * 10}}
	}
	worker := raft.State{}
	for name, c := range map[string]struct {
		unread []string
		logs   []told
		want   []string
	}{
		"once all have been read": {
			[]string{"a", "b", "w"},
			[]told{{"a", log(1, 2, 2, 2)}, {"b", log(2, 2, 2, 2)}, {"w", worker}},
			[]string{"a state", "b state", "a log", "b leader"},
		},
		"not one that lost, and was read first": {
			[]string{"a", "b", "c"},
			[]told{{"a", log(1, 3, 1, 3)}, {"b", log(2, 3, 2, 3)}, {"c", log(3, 3, 2, 3)}},
			[]string{"a state", "b state", "c state", "b leader"},
		},
		"an election": {
			nil,
			[]told{
				{"a", log(1, 2, 1, 2)}, {"b", log(2, 2, 0, 2)}, {"c", log(3, 2, 0, 2)},
				{"b", log(2, 3, 2, 2)}, {"c", log(3, 3, 2, 2)}, {"b", log(2, 3, 2, 3)}, {"c", log(3, 3, 2, 3)}, {"a", log(1, 3, 0, 3)},
			},
			[]string{"a state", "a leader", "b state", "c state", "b term", "c term", "b log", "c log", "b leader", "a term"},
		},
		"a swarm that was made anew": {
			nil,
			[]told{{"a", log(1, 7, 1, 7)}, {"a", worker}, {"b", log(5, 2, 5, 2)}},
			[]string{"a state", "a leader", "a left", "b state", "b leader"},
		},
		"a snapshot that was restored": {
			nil,
			[]told{{"a", log(1, 7, 1, 7)}, {"a", log(1, 2, 1, 2)}},
			[]string{"a state", "a leader", "a term", "a leader"},
		},
		"a manager that nobody knows leads": {
			nil,
			[]told{{"a", log(1, 2, 9, 2)}},
			[]string{"a state"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			l := listening(&got, c.unread...)
			for _, step := range c.logs {
				l.log(step.node, step.log)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWhatWentWrongIsToldOnce(t *testing.T) {
	var got []string
	l := listening(&got)
	l.since = nil // nothing here waits
	refused := errors.New("sudo asks for a password")
	l.wrong(SourceRaft, "a", nil)
	l.wrong(SourceRaft, "a", &trouble.Error{ID: "connection-lost"})
	l.wrong(SourceRaft, "a", refused)
	l.wrong(SourceRaft, "a", refused)
	l.wrong(SourceRaft, "b", refused)
	l.log("a", raft.State{ID: 1, HardState: raft.HardState{Term: 2}})
	l.wrong(SourceRaft, "a", refused)
	if want := []string{"a failed", "b failed", "a state", "a failed"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnEngineIsToldOfWhenItChanges(t *testing.T) {
	var got []string
	l := listening(&got)
	l.tell = func(e Event) { got = append(got, e.Node+": "+e.Words()) }
	l.engine("a", engine.LifeUp, "20.10.24")
	l.engine("a", engine.LifeUp, "20.10.24") // its node is listened to anew
	l.engine("a", engine.LifeHangs, "")
	l.engine("b", engine.LifeDown, "")
	if want := []string{"a: engine up: Docker 20.10.24", "a: engine hangs", "b: engine down"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func infoOf(autolock, rotating bool) engine.Info {
	return engine.Info{State: engine.StateActive, Settings: &engine.SwarmSettings{Autolock: autolock, Rotating: rotating}}
}

func TestLocksAndSettingsAreToldOfWhenTheyChange(t *testing.T) {
	var got []string
	l := listening(&got)
	l.tell = func(e Event) { got = append(got, strings.TrimSpace(e.Node+" "+e.Words())) }
	with := infoOf
	l.engines["a"], l.engines["b"] = engine.LifeUp, engine.LifeUp
	l.asked("a", with(false, false))
	l.asked("a", with(true, false))
	l.asked("b", with(true, false))
	l.asked("b", with(true, true))
	l.asked("a", with(true, false))
	locked := engine.Info{State: engine.StateLocked}
	l.asked("b", locked)
	l.asked("b", locked)
	l.engine("b", engine.LifeDown, "")
	l.asked("b", locked) // it was asked before
	l.engine("b", engine.LifeUp, "")
	l.asked("b", locked)
	l.asked("b", with(true, false))
	want := []string{
		"autolock is on", "the root CA is being replaced", "the root CA was replaced",
		"b locked: its manager waits for the unlock key", "b engine down", "b engine up", "b locked: its manager waits for the unlock key", "b unlocked",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
