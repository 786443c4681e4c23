//go:build !windows

package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"golang.org/x/term"
)

// patience is how long a condition may take to come true.
const patience = time.Minute

// TestMain lets the test binary be the program that runs on a terminal of its
// own: Ctrl-C means something only to a process that has one.
func TestMain(m *testing.M) {
	switch os.Getenv("UI_TEST_PROGRAM") {
	case "progress":
		os.Exit(progressProgram())
	case "unheard":
		os.Exit(unheardProgram())
	case "live":
		os.Exit(liveProgram())
	}
	os.Exit(m.Run())
}

func progressProgram() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p := NewProgress(System(), ProgressOptions{Nodes: []string{"master"}})
	p.Step("master", "waiting for ever")
	<-ctx.Done()
	p.Fail("master", errors.New("interrupted"))
	p.Close()
	fmt.Fprintln(os.Stderr, "the end")
	return 130
}

// terminal is a pseudo-terminal and the screen at its other end.
type terminal struct {
	t        *testing.T
	pty, tty *os.File
	vt       vt10x.Terminal
	mu       sync.Mutex
	raw      bytes.Buffer
}

func newTerminal(t *testing.T, columns, rows int) *terminal {
	t.Helper()
	p, tty, err := pty.Open()
	if err != nil {
		t.Fatalf("open a pseudo-terminal: %v", err)
	}
	if err := pty.Setsize(p, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, pty: p, tty: tty, vt: vt10x.New(vt10x.WithSize(columns, rows))}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := p.Read(buf)
			if n > 0 {
				x.mu.Lock()
				x.raw.Write(buf[:n])
				x.mu.Unlock()
				_, _ = x.vt.Write(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		tty.Close()
		p.Close()
		<-read
	})
	return x
}

func (x *terminal) streams() Streams {
	return Streams{In: x.tty, Out: x.tty, Err: x.tty, Environ: []string{"TERM=xterm-256color"}}
}

// lines gives the screen without what is empty at its end.
func (x *terminal) lines() []string {
	lines := strings.Split(x.vt.String(), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func (x *terminal) cursorVisible() bool {
	x.vt.Lock()
	defer x.vt.Unlock()
	return x.vt.CursorVisible()
}

func (x *terminal) bytes() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.raw.String()
}

// eventually waits for a condition of the screen.
func (x *terminal) eventually(what string, ok func(lines []string) bool) {
	x.t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	late := time.After(patience)
	for {
		if ok(x.lines()) {
			return
		}
		select {
		case <-poll.C:
		case <-late:
			x.t.Fatalf("%s: never seen; the screen is\n%s\nbytes: %q", what, strings.Join(x.lines(), "\n"), x.bytes())
		}
	}
}

func shows(parts ...string) func([]string) bool {
	return func(lines []string) bool {
		text := strings.Join(lines, "\n")
		for _, p := range parts {
			if !strings.Contains(text, p) {
				return false
			}
		}
		return true
	}
}

// clock is a time that stands until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func TestProgressOnATerminalIsALineForEachNode(t *testing.T) {
	x := newTerminal(t, 60, 12)
	before, err := term.GetState(int(x.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	c := newClock()
	p := NewProgress(x.streams(), ProgressOptions{Nodes: []string{"master", "node01", "node02"}, Now: c.now})
	defer p.Close()

	p.Step("master", "booting")
	p.Step("node02", "booting")
	x.eventually("both nodes in order, with their time", func(l []string) bool {
		return len(l) == 2 && strings.HasSuffix(l[0], "master  booting  0.0s") && strings.HasSuffix(l[1], "node02  booting  0.0s")
	})
	c.move(1200 * time.Millisecond)
	p.Note("the lab is dca")
	p.Done("master", "ready")
	p.Step("node02", "joining as worker")
	x.eventually("the note above, master done, node02 going on", func(l []string) bool {
		return len(l) == 3 && l[0] == "the lab is dca" && l[1] == "✔ master  ready  1.2s" &&
			strings.HasSuffix(l[2], "node02  joining as worker  1.2s")
	})
	c.move(time.Minute)
	x.eventually("time going on for node02 only", shows("✔ master  ready  1.2s", "node02  joining as worker  1m01s"))
	p.Fail("node02", errors.New("no route"))
	p.Close()
	fmt.Fprintln(x.tty, "after")

	want := []string{"the lab is dca", "✔ master  ready  1.2s", "✘ node02  no route  1m01s", "after"}
	x.eventually("what stays", func(l []string) bool { return reflect.DeepEqual(l, want) })
	if !x.cursorVisible() {
		t.Error("the cursor was left hidden")
	}
	after, err := term.GetState(int(x.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before, after) {
		t.Error("the terminal's modes were changed")
	}
	for _, bad := range []string{"\x1b[?2004h", "\x1b[?1049h", "\x1b[?u", "\x1b[c", "$p", "\x1b[6n"} {
		if strings.Contains(x.bytes(), bad) {
			t.Errorf("a mode was set or the terminal was asked something: %q", bad)
		}
	}
}

func TestProgressWithoutColorSendsNone(t *testing.T) {
	for _, color := range []bool{false, true} {
		t.Run(fmt.Sprint(color), func(t *testing.T) {
			x := newTerminal(t, 60, 12)
			p := NewProgress(x.streams(), ProgressOptions{Color: color})
			p.Done("master", "ready")
			p.Close()
			x.eventually("the line", shows("master  ready"))
			if got := strings.Contains(x.bytes(), "\x1b[38;5;29m"); got != color {
				t.Errorf("green sent: %v, wanted %v: %q", got, color, x.bytes())
			}
		})
	}
}

func TestProgressOfABigLabFitsASmallScreen(t *testing.T) {
	x := newTerminal(t, 40, 8)
	p := NewProgress(x.streams(), ProgressOptions{Now: newClock().now})
	defer p.Close()
	for i := range 30 {
		node := fmt.Sprintf("node%02d", i)
		p.Step(node, "booting")
		if i != 27 {
			p.Done(node, strings.Repeat("long ", 20))
		}
	}
	x.eventually("the one under way, and how many are left out", func(l []string) bool {
		return len(l) == 7 && shows("node27  booting", "and 24 more nodes")(l)
	})
	for _, l := range x.lines() {
		if len([]rune(l)) > 40 {
			t.Errorf("wider than the screen: %q", l)
		}
	}
	p.Close()
	x.eventually("the end of the whole list", shows("node29"))
	for i := range 30 {
		if node := fmt.Sprintf("node%02d", i); !strings.Contains(x.bytes(), node) {
			t.Errorf("%s is not in what stays", node)
		}
	}
}

func TestProgressFollowsTheWidthOfTheWindow(t *testing.T) {
	x := newTerminal(t, 80, 12)
	p := NewProgress(x.streams(), ProgressOptions{Now: newClock().now})
	defer p.Close()
	p.Step("master", strings.Repeat("x", 60))
	x.eventually("whole", shows(strings.Repeat("x", 60)))
	// The kernel tells only the foreground group of a controlling terminal;
	// this test's process is told by hand.
	if err := pty.Setsize(x.pty, &pty.Winsize{Cols: 30, Rows: 12}); err != nil {
		t.Fatal(err)
	}
	x.vt.Resize(30, 12)
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	x.eventually("cut", shows("x…  0.0s"))
}

func TestLongNotesAreWrappedAndKeepTheirOrder(t *testing.T) {
	x := newTerminal(t, 20, 12)
	p := NewProgress(x.streams(), ProgressOptions{Now: newClock().now})
	p.Step("a", "s")
	x.eventually("the live line", shows("a  s  0.0s"))
	p.Note(strings.Repeat("y", 20))
	p.Note(strings.Repeat("z", 40))
	p.Note("end")
	p.Done("a", "")
	p.Close()
	want := []string{strings.Repeat("y", 19), "y", strings.Repeat("z", 19), strings.Repeat("z", 19), "zz", "end", "✔ a  done  0.0s"}
	x.eventually("all of it", func(l []string) bool { return reflect.DeepEqual(l, want) })
}

func TestProgressFromManyGoroutines(t *testing.T) {
	x := newTerminal(t, 80, 24)
	p := NewProgress(x.streams(), ProgressOptions{Log: &lockedBuffer{}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			node := fmt.Sprintf("node%d", i)
			for j := range 20 {
				p.Step(node, fmt.Sprint("step ", j))
				p.Note("note")
				p.Detail(node, "detail")
			}
			p.Done(node, "")
		})
	}
	wg.Go(func() { p.Step("late", "racing with close"); p.Close() })
	wg.Wait()
	p.Close()
	p.Step("late", "after close")
	p.Note("after close")
}

func TestCtrlCReachesTheProgram(t *testing.T) {
	x := newTerminal(t, 60, 12)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "UI_TEST_PROGRAM=progress", "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = x.tty, x.tty, x.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })

	x.eventually("the program at work", shows("waiting for ever"))
	if _, err := x.pty.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("Ctrl-C did not end the program")
	}
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit status %d", code)
	}
	x.eventually("the cursor back and the last line at the left", func(l []string) bool {
		return x.cursorVisible() && len(l) > 0 && l[len(l)-1] == "the end" && shows("✘ master  interrupted")(l)
	})
}

func TestWatchRedrawsInPlace(t *testing.T) {
	x := newTerminal(t, 40, 6)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	turn := 0
	turns := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- Watch(ctx, x.streams(), time.Millisecond, nil, func(ctx context.Context, width int) (string, error) {
			if turn > 0 {
				select {
				case <-turns:
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
			turn++
			text := fmt.Sprintf("turn %d at %d\n", turn, width)
			if turn == 2 {
				text += strings.Repeat("row\n", 20)
			}
			return text, nil
		})
	}()
	x.eventually("the first picture", func(l []string) bool { return reflect.DeepEqual(l, []string{"turn 1 at 40"}) })
	turns <- struct{}{}
	x.eventually("a tall picture is cut at its end", func(l []string) bool {
		return reflect.DeepEqual(l, []string{"turn 2 at 40", "row", "row", "row", "… 17 more lines"})
	})
	turns <- struct{}{}
	x.eventually("the third alone", func(l []string) bool { return reflect.DeepEqual(l, []string{"turn 3 at 40"}) })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the end of a watch is no error: %v", err)
	}
	fmt.Fprintln(x.tty, "after")
	x.eventually("the last picture stays", func(l []string) bool {
		return reflect.DeepEqual(l, []string{"turn 3 at 40", "after"}) && x.cursorVisible()
	})
}

func TestConfirmOnATerminal(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "Yes\n": true, "n\n": false, "\n": false, "yep\n": false, "\x04": false} {
		t.Run(fmt.Sprintf("%q", answer), func(t *testing.T) {
			x := newTerminal(t, 60, 12)
			if _, err := x.pty.WriteString(answer); err != nil {
				t.Fatal(err)
			}
			got, err := Confirm(context.Background(), x.streams(), "destroy the lab dca?")
			if got != want || err != nil {
				t.Errorf("got %v, %v", got, err)
			}
			x.eventually("the question", shows("destroy the lab dca? [y/N]"))
		})
	}
	t.Run("interrupted while it waits", func(t *testing.T) {
		x := newTerminal(t, 60, 12)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			_, err := Confirm(ctx, x.streams(), "sure?")
			ended <- err
		}()
		x.eventually("the question", shows("sure? [y/N]"))
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		case <-time.After(patience):
			t.Fatal("it still waits")
		}
	})
}

func TestColorIsForTerminalsThatMay(t *testing.T) {
	x := newTerminal(t, 60, 12)
	for _, c := range []struct {
		name    string
		env     []string
		noColor bool
		want    bool
	}{
		{"a terminal", []string{"TERM=xterm"}, false, true},
		{"--no-color", []string{"TERM=xterm"}, true, false},
		{"NO_COLOR", []string{"TERM=xterm", "NO_COLOR=1"}, false, false},
		{"NO_COLOR empty is not set", []string{"TERM=xterm", "NO_COLOR="}, false, true},
		{"the last value counts", []string{"TERM=xterm", "TERM=dumb"}, false, false},
		{"dumb", []string{"TERM=dumb"}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Streams{Out: x.tty, Err: &bytes.Buffer{}, Environ: c.env}
			if got := s.OutColor(c.noColor); got != c.want {
				t.Errorf("got %v", got)
			}
			if s.ErrColor(c.noColor) {
				t.Error("a buffer is not to be coloured")
			}
		})
	}
}

// A story that nothing happened in leaves no trace, and a warning is seen whether
// it is told before the end or after it.
func TestWarningsOnATerminal(t *testing.T) {
	x := newTerminal(t, 80, 10)
	NewProgress(x.streams(), ProgressOptions{Nodes: []string{"master"}}).Close()
	p := NewProgress(x.streams(), ProgressOptions{Nodes: []string{"master"}})
	p.Step("master", "booting")
	p.Warn("no ip_vs")
	p.Done("master", "ready")
	p.Close()
	p.Warn("no disk")
	x.eventually("both warnings, around the node's line", func(lines []string) bool {
		return len(lines) >= 3 && lines[0] == "warning: no ip_vs" && strings.HasPrefix(lines[1], "✔ master  ready") && lines[2] == "warning: no disk"
	})
}
