package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/trouble"
)

// writes records each write on its own.
type writes struct{ all []string }

func (w *writes) Write(b []byte) (int, error) {
	w.all = append(w.all, string(b))
	return len(b), nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func TestDurationIsShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:             "0.0s",
		0:                        "0.0s",
		840 * time.Millisecond:   "0.8s",
		960 * time.Millisecond:   "1.0s",
		9940 * time.Millisecond:  "9.9s",
		9960 * time.Millisecond:  "10s",
		12 * time.Second:         "12s",
		59600 * time.Millisecond: "1m00s",
		109 * time.Second:        "1m49s",
		59*time.Minute + 59900000*time.Microsecond: "1h00m",
		125 * time.Minute:                          "2h05m",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v is shown as %s, wanted %s", d, got, want)
		}
	}
}

// tell goes through one story; each test looks at it from its own side.
func tell(p *Progress, move func(time.Duration)) {
	p.Step("master", "starting the engine")
	p.Step("master", "starting the engine")
	p.Step("node01", "joining as worker")
	move(1200 * time.Millisecond)
	p.Note("the lab is dca")
	p.Detail("node01", "asked 10.20.20.100:2377")
	p.Done("node01", "")
	p.Done("master", "leading")
	p.Step("", "waiting for\x1b[31m every\x07 node\nto be ready")
	p.Fail("node02", errors.New("no route"))
	p.Close()
	p.Step("node01", "too late")
}

func TestProgressElsewhereIsAPlainLineForEachEvent(t *testing.T) {
	plain := []string{
		"master  starting the engine\n",
		"node01  joining as worker\n",
		"the lab is dca\n",
		"node01  asked 10.20.20.100:2377\n",
		"node01  done in 1.2s\n",
		"master  leading in 1.2s\n",
		"waiting for every node to be ready\n",
		"node02  failed after 0.0s: no route\n",
	}
	for _, c := range []struct {
		name string
		opts ProgressOptions
		want []string
	}{
		{"verbose", ProgressOptions{Verbose: true}, plain},
		{"usual", ProgressOptions{}, append(append([]string{}, plain[:3]...), plain[4:]...)},
		{"quiet", ProgressOptions{Quiet: true}, plain[7:]},
		{"quiet wins", ProgressOptions{Quiet: true, Verbose: true}, plain[7:]},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
			var w, log writes
			c.opts.Nodes = []string{"master", "node01", "node02"}
			c.opts.Now = func() time.Time { return now }
			c.opts.Log = &log
			tell(NewProgress(Streams{Err: &w}, c.opts), func(d time.Duration) { now = now.Add(d) })
			if diff := cmp.Diff(c.want, w.all); diff != "" {
				t.Errorf("each line is one write (-wanted +got):\n%s", diff)
			}
			wantLog := []string{
				"2026-03-01T10:00:00.000Z master step starting the engine\n",
				"2026-03-01T10:00:00.000Z node01 step joining as worker\n",
				"2026-03-01T10:00:01.200Z - note the lab is dca\n",
				"2026-03-01T10:00:01.200Z node01 detail asked 10.20.20.100:2377\n",
				"2026-03-01T10:00:01.200Z node01 done done in 1.2s\n",
				"2026-03-01T10:00:01.200Z master done leading in 1.2s\n",
				"2026-03-01T10:00:01.200Z - step waiting for every node to be ready\n",
				"2026-03-01T10:00:01.200Z node02 failed no route\n",
				"2026-03-01T10:00:01.200Z node01 step too late\n",
			}
			if diff := cmp.Diff(wantLog, log.all); diff != "" {
				t.Errorf("the log has everything (-wanted +got):\n%s", diff)
			}
		})
	}
}

func TestTableIsAligned(t *testing.T) {
	var b bytes.Buffer
	err := Table(&b, []string{"NODE", "STATE", "ADDRESS"}, [][]string{
		{"master", "Ready", "10.20.20.100"},
		{"nó-日本", "Down", ""},
		{"evil\n\x1b[2Jnode", "\x1b[38;5;29mReady\x1b[0m", "10.20.20.120"},
		{"short"},
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := "" +
		"NODE        STATE   ADDRESS\n" +
		"master      Ready   10.20.20.100\n" +
		"nó-日本     Down\n" +
		"evil node   Ready   10.20.20.120\n" +
		"short\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-wanted +got):\n%s", diff)
	}
}

func TestTableColoursStates(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, []string{"NODE", "STATE", "ROLE"}, [][]string{{"a", "Ready", "Leader"}, {"b", "Down", "\x1b[35mmine\x1b[m"}}, true); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"\x1b[1mNODE\x1b[m   \x1b[1mSTATE\x1b[m   \x1b[1mROLE\x1b[m\n" +
		"a      \x1b[38;5;29mReady\x1b[m   \x1b[1mLeader\x1b[m\n" +
		"b      \x1b[1;38;5;131mDown\x1b[m    \x1b[35mmine\x1b[m\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-wanted +got):\n%s", diff)
	}
}

func TestErrorsAreShownWithWhatToDo(t *testing.T) {
	quorum := &trouble.Error{
		ID: "quorum-would-be-lost", Where: "node01", What: "demote", Why: "1 of 2 managers would be left",
		Next: []string{"dcalab promote node02", "dcalab demote --force node01"}, Err: errors.New("refused"),
	}
	ssh := &trouble.Error{Where: "node02", What: "connect", Err: errors.New("timed out"), Next: []string{"dcalab promote node02"}}
	for _, c := range []struct {
		name           string
		err            error
		color, verbose bool
		want           string
	}{
		{"nil", nil, false, false, ""},
		{"an ordinary error", errors.New("no such file"), false, false, "error: no such file\n"},
		{"trouble", quorum, false, false, "error: node01: demote: 1 of 2 managers would be left\n  dcalab promote node02\n  dcalab demote --force node01\n"},
		{"wrapped", fmt.Errorf("swarm: %w", quorum), false, false, "error: swarm: node01: demote: 1 of 2 managers would be left\n  dcalab promote node02\n  dcalab demote --force node01\n"},
		{"joined twice, advice once", errors.Join(errors.Join(quorum, ssh), errors.New("third")), false, false,
			"error: node01: demote: 1 of 2 managers would be left\nerror: node02: connect: timed out\nerror: third\n  dcalab promote node02\n  dcalab demote --force node01\n"},
		{"two %w in one sentence", fmt.Errorf("both %w and %w", errors.New("a"), errors.New("b")), false, false, "error: both a and b\n"},
		{"a list in one error", &trouble.Error{What: "labs.yaml", Err: errors.Join(errors.New("a"), errors.New("b"))}, false, false, "error: labs.yaml: a\n  b\n"},
		{"verbose", quorum, false, true, "error: node01: demote: 1 of 2 managers would be left\n  id: quorum-would-be-lost\n  cause: refused\n  dcalab promote node02\n  dcalab demote --force node01\n"},
		{"colour", errors.New("x"), true, false, "\x1b[1;38;5;131merror:\x1b[m x\n"},
		{"a node cannot drive the terminal", errors.New("x\x1b]0;evil\x07\x1b[2Jy"), false, false, "error: xy\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			PrintError(&b, c.err, c.color, c.verbose, nil)
			if diff := cmp.Diff(c.want, b.String()); diff != "" {
				t.Errorf("(-wanted +got):\n%s", diff)
			}
		})
	}
}

func TestConfirmNeedsAPerson(t *testing.T) {
	var b bytes.Buffer
	ok, err := Confirm(context.Background(), Streams{In: strings.NewReader("y\n"), Err: &b}, "destroy the lab dca?")
	if ok || err == nil || b.Len() > 0 {
		t.Fatalf("got %v, %v, asked %q", ok, err, b.String())
	}
	if trouble.ExitStatus(err) != trouble.ExitRefused || !strings.Contains(strings.Join(trouble.Advice(err), "\n"), "--yes") {
		t.Errorf("it should refuse and name the flag: %v, %q", err, trouble.Advice(err))
	}
}

func TestWatchElsewhereIsABlockEachTime(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var b bytes.Buffer
	turn := 0
	err := Watch(ctx, Streams{Out: &b}, time.Millisecond, nil, func(_ context.Context, width int) (string, error) {
		if turn++; turn == 3 {
			cancel()
			return "", ctx.Err()
		}
		return fmt.Sprintf("turn %d at %d\n\n", turn, width), nil
	})
	if err != nil {
		t.Errorf("the end of a watch is no error: %v", err)
	}
	if diff := cmp.Diff("turn 1 at 80\n\nturn 2 at 80\n", b.String()); diff != "" {
		t.Errorf("(-wanted +got):\n%s", diff)
	}
}

func TestWatchIsWokenByWhatHappens(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	happened := make(chan struct{}, 1)
	turn := 0
	err := Watch(ctx, Streams{Out: io.Discard}, time.Hour, happened, func(context.Context, int) (string, error) {
		if turn++; turn == 3 {
			cancel()
		}
		happened <- struct{}{}
		return "", nil
	})
	if err != nil || turn != 3 {
		t.Errorf("%d turns, %v", turn, err)
	}
}

func TestWatchEndsWithItsRendersError(t *testing.T) {
	broken := errors.New("broken")
	err := Watch(context.Background(), Streams{Out: &bytes.Buffer{}}, time.Hour, nil, func(context.Context, int) (string, error) { return "", broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestWarningsAreToldAfterTheEndAndLogged(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		var out, log strings.Builder
		p := NewProgress(Streams{Err: &out}, ProgressOptions{Quiet: quiet, Log: &log})
		p.Warn("one")
		p.Close()
		p.Warn("two")
		want := "warning: one\nwarning: two\n"
		if log.String() != want {
			t.Errorf("logged: %q", log.String())
		}
		if quiet {
			want = ""
		}
		if out.String() != want {
			t.Errorf("quiet %v: %q", quiet, out.String())
		}
	}
}
