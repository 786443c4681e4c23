//go:build !windows

package ui

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"golang.org/x/term"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// player is a live view on a pseudo-terminal whose pictures the test gives.
type player struct {
	*terminal
	clock  *clock
	cancel context.CancelFunc
	next   chan func() (Picture, error)
	ended  chan any // Live's error, or what it panicked with
	before *term.State
}

func play(t *testing.T, columns, rows int, color bool) *player {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &player{terminal: newTerminal(t, columns, rows), clock: newClock(), cancel: cancel, next: make(chan func() (Picture, error)), ended: make(chan any, 1)}
	var err error
	if p.before, err = term.GetState(int(p.tty.Fd())); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(p.tty, "what was there before"); err != nil {
		t.Fatal(err)
	}
	p.eventually("the screen before", shows("what was there before"))
	go func() {
		defer func() {
			if r := recover(); r != nil {
				p.ended <- r
			}
		}()
		p.ended <- Live(ctx, p.streams(), LiveOptions{Interval: time.Millisecond, Color: color, Now: p.clock.now, Look: func(ctx context.Context) (Picture, error) {
			select {
			case give := <-p.next:
				return give()
			case <-ctx.Done():
				return Picture{}, ctx.Err()
			}
		}})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-p.ended:
		case <-time.After(patience):
			t.Error("it still runs")
		}
	})
	return p
}

// show answers the look under way.
func (p *player) show(pic Picture) {
	p.t.Helper()
	p.answer(func() (Picture, error) { return pic, nil })
}

func (p *player) answer(give func() (Picture, error)) {
	p.t.Helper()
	select {
	case p.next <- give:
	case <-time.After(patience):
		p.t.Fatal("nobody looks")
	}
}

func (p *player) press(keys string) {
	p.t.Helper()
	if _, err := p.pty.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// leaves waits for the end, and for the terminal as it was.
func (p *player) leaves() any {
	p.t.Helper()
	var end any
	select {
	case end = <-p.ended:
		p.ended <- end // for the cleanup
	case <-time.After(patience):
		p.t.Fatalf("it does not end; the screen is\n%s", strings.Join(p.lines(), "\n"))
	}
	after, err := term.GetState(int(p.tty.Fd()))
	if err != nil {
		p.t.Fatal(err)
	}
	if !reflect.DeepEqual(p.before, after) {
		p.t.Error("the terminal's modes were changed")
	}
	fmt.Fprintln(p.tty, "after")
	p.eventually("the screen as before, with the cursor", func(l []string) bool {
		return len(l) > 1 && l[0] == "what was there before" && l[len(l)-1] == "after" && p.cursorVisible()
	})
	return end
}

// wholeScreen tells whether the terminal shows its alternate screen.
func (x *terminal) wholeScreen() bool {
	x.vt.Lock()
	defer x.vt.Unlock()
	return x.vt.Mode()&vt10x.ModeAltScreen != 0
}

// resize changes the terminal's size, and tells this process, which has no
// controlling terminal that would.
func (p *player) resize(columns, rows int) {
	p.t.Helper()
	if err := pty.Setsize(p.pty, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		p.t.Fatal(err)
	}
	p.vt.Resize(columns, rows)
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		p.t.Fatal(err)
	}
}

// story is a lab before and after its leader went.
func story() (whole, broken Picture) {
	columns := []Column{
		{Title: "NODE", Sort: 'n'}, {Title: "MACHINE", Keep: 5}, {Title: "ROLE", Keep: 8, Sort: 'r'}, {Title: "AVAILABILITY", Keep: 3},
		{Title: "STATE", Keep: 9, Sort: 's', WorstFirst: true}, {Title: "TASKS", Keep: 4}, {Title: "ENGINE", Keep: 2}, {Title: "ADDRESS", Keep: 1},
	}
	details := func(name, id, err string) []Section {
		return []Section{
			{Rows: [][]string{{"host name", name + ".docker-dca.example"}, {"id", id}, {"labels", "zone=a"}, {"error", err}}},
			{Title: "tasks", Header: []string{"TASK", "STATE", "WANTED"}, Rows: [][]string{{"web.1", "running", "running"}, {"web.2", "failed", "shutdown"}}},
		}
	}
	row := func(name, run, role, state, tasks, engine, address string) Row {
		err := "-"
		if run != "running" {
			err = "its machine is halted"
		}
		return Row{Name: name, Cells: []string{name, run, role, "Active", state, tasks, engine, address}, Details: details(name, "id-of-"+name, err)}
	}
	whole = Picture{
		Title: "lab dca (sandbox)", Columns: columns,
		Facts: []Fact{{Label: "leader", Value: "master", Since: true}},
		Meter: &Meter{Label: "quorum", Have: 3, Need: 2, Of: 3, Text: "3 managers, 3 reachable, majority 2, tolerates 1 failure"},
		Rows: []Row{
			row("master", "running", "manager (Leader)", "Ready", "1", "20.10.24", "10.20.20.100"),
			row("node01", "running", "manager (Reachable)", "Ready", "1", "20.10.24", "10.20.20.110"),
			row("node02", "running", "manager (Reachable)", "Ready", "2", "20.10.24", "10.20.20.120"),
			row("node10", "running", "worker", "Ready", "1", "20.10.24", "10.20.20.130"),
		},
	}
	broken = whole
	broken.Facts = []Fact{{Label: "leader", Value: "node02", Since: true}}
	broken.Meter = &Meter{Label: "quorum", Have: 2, Need: 2, Of: 3, Text: "3 managers, 2 reachable, majority 2, tolerates 0 failures"}
	broken.Rows = []Row{
		row("master", "halted", "manager (Unreachable)", "Down", "1/0", "-", "10.20.20.100"),
		row("node01", "running", "manager (Reachable)", "Ready", "1", "20.10.24", "10.20.20.110"),
		row("node02", "running", "manager (Leader)", "Ready", "3", "20.10.24", "10.20.20.120"),
		row("node10", "running", "worker", "Ready", "1", "20.10.24", "10.20.20.130"),
	}
	broken.Warnings = []string{"the swarm's node list has a stale entry for node10 (xw3k9u1c0v7t)"}
	return whole, broken
}

// What happens is shown at once, also while a look takes its time, and is a reason to
// look again.
func TestLiveShowsWhatHappens(t *testing.T) {
	p := &player{terminal: newTerminal(t, 112, 24), clock: newClock(), next: make(chan func() (Picture, error)), ended: make(chan any, 1)}
	whole, broken := story()
	happened := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		p.ended <- Live(ctx, p.streams(), LiveOptions{
			Interval: time.Hour, Now: p.clock.now, Happened: happened,
			Look: func(ctx context.Context) (Picture, error) {
				select {
				case give := <-p.next:
					return give()
				case <-ctx.Done():
					return Picture{}, ctx.Err()
				}
			},
			Again: func() Picture {
				now := whole
				now.Facts = append(now.Facts, Fact{Label: "raft", Value: "electing, term 4", From: p.clock.now().Add(-6 * time.Second)})
				now.Tables = []Section{{Header: []string{"MANAGER", "TERM"}, Rows: [][]string{{"node01", "4"}}}}
				now.News = []News{{At: p.clock.now(), About: "node10", Text: "task web.2: running, on node10"}}
				return now
			},
		})
	}()
	t.Cleanup(func() {
		cancel()
		if end := <-p.ended; end != nil {
			t.Error(end)
		}
	})
	tell := func() {
		t.Helper()
		select {
		case happened <- struct{}{}:
		case <-time.After(patience):
			t.Fatal("nobody listens")
		}
	}
	p.show(whole)
	p.eventually("the table", shows("> master"))
	tell() // the next look would be in an hour
	p.eventually("what happened", shows("electing, term 4, 6.0s", "node01    4", "node10  task web.2: running, on node10"))
	p.show(broken)
	p.eventually("what it looked like then", func(l []string) bool {
		return shows("node02, for 0.0s (before: master)")(l) && !shows("electing")(l)
	})
}

// The picture for the documentation is what a terminal shows of the story.
func TestLiveViewIsTheOneInTheDocumentation(t *testing.T) {
	p := play(t, 112, 20, false)
	whole, broken := story()
	p.show(whole)
	p.eventually("four nodes", shows("lab dca (sandbox)", "■ ■ │ ■", "master, for at least 0.0s", "> master", "node10"))
	p.clock.move(90 * time.Second)
	p.show(broken)
	p.eventually("the change", shows("refreshed 0.0s ago", "node02, for 0.0s (before: master)"))
	p.clock.move(3 * time.Second)
	p.show(broken)
	p.press("s?")
	p.eventually("the change, three seconds old, the worst first", shows("refreshed 0.0s ago", "node02, for 3.0s (before: master)", "■ ■ │ □", ">*master",
		"master  state: Ready → Down", "STATE ▾", "q, Ctrl-C: quit"))
	got := strings.Join(p.lines(), "\n") + "\n"
	const golden = "testdata/live-view.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the screen is\n%s\nand %s has\n%s", got, golden, want)
	}
	p.press("q")
	if end := p.leaves(); end != nil {
		t.Errorf("leaving is no error: %v", end)
	}
}

func TestLiveMarksChangesForSomeSeconds(t *testing.T) {
	for _, color := range []bool{false, true} {
		t.Run(fmt.Sprintf("color %v", color), func(t *testing.T) {
			p := play(t, 112, 20, color)
			whole, broken := story()
			p.show(whole)
			p.eventually("no mark at first", func(l []string) bool {
				return shows("> master", "  node02")(l) && !shows("*")(l)
			})
			p.show(broken)
			p.eventually("marks on what changed, and only there", func(l []string) bool {
				return shows(">*master", " *node02", "  node01", "  node10")(l)
			})
			p.clock.move(highlight)
			p.eventually("no marks any more, the story still told", func(l []string) bool {
				return shows("> master", "  node02", "Ready → Down")(l)
			})
			for what, pattern := range map[string]string{"reversed": `\x1b\[(\d+;)*7(;\d+)*m`, "green": `\x1b\[38;5;29m`, "any style": `\x1b\[[\d;]+m`} {
				if got := regexp.MustCompile(pattern).MatchString(p.bytes()); got != color {
					t.Errorf("%s: %v, in %q", what, got, p.bytes())
				}
			}
			p.press("\x03") // Ctrl-C, which is no signal here
			if end := p.leaves(); end != nil {
				t.Error(end)
			}
		})
	}
}

// names gives the first cells of the table's rows.
func names(l []string) string {
	var out []string
	for _, line := range l {
		if f := strings.Fields(strings.TrimLeft(line, ">* ")); len(f) > 1 && (f[1] == "running" || f[1] == "halted") {
			out = append(out, f[0])
		}
	}
	return strings.Join(out, " ")
}

func TestLiveKeys(t *testing.T) {
	p := play(t, 112, 24, true)
	_, broken := story()
	broken.Rows[0], broken.Rows[3] = broken.Rows[3], broken.Rows[0]
	p.show(broken)
	order := func(what, want string) {
		t.Helper()
		p.eventually(what, func(l []string) bool { return names(l) == want })
	}
	order("as they come", "node10 node01 node02 master")
	p.press("n")
	order("by name", "master node01 node02 node10")
	p.press("n")
	order("the other way round", "node10 node02 node01 master")
	p.press("r")
	order("by role", "node02 node01 master node10")
	p.press("s")
	order("by state, the worst first", "master node10 node01 node02")
	p.press("o")
	order("as they came", "node10 node01 node02 master")

	p.press("\x1b[B\x1b[Bk") // down, down, up
	p.eventually("the second", shows("> node01"))
	p.press("G\x1b[F") // an unknown key, end
	p.eventually("the last", shows("> master"))
	p.press("\r")
	p.eventually("its details", shows("lab dca (sandbox) › master", "id-of-master", "zone=a", "its machine is halted", "web.2   failed    shutdown", "esc back"))
	p.press("\x1b")
	p.eventually("back, on the same", func(l []string) bool { return shows("> master")(l) && !shows("id-of-master")(l) })
	p.press("?")
	p.eventually("help", shows("n r s: sort by node, role, state"))
	p.press("?")
	p.eventually("no help", func(l []string) bool { return !shows("sort by")(l) && shows("? help")(l) })

	// The row that is open goes away.
	p.press("\r")
	p.eventually("its details", shows("id-of-master"))
	broken.Rows = broken.Rows[:2]
	p.show(broken)
	p.eventually("the table again, with another chosen", shows("> node10"))
	p.press("q")
	if end := p.leaves(); end != nil {
		t.Error(end)
	}
}

// A look may take as long as it likes: keys work, and its age is told.
func TestLiveIsNeverBlockedByALook(t *testing.T) {
	p := play(t, 112, 20, false)
	whole, broken := story()
	p.eventually("nothing yet", shows("loading…"))
	p.clock.move(5 * time.Second)
	p.eventually("how long already", shows("refreshing for 5.0s"))
	p.show(whole)
	p.eventually("the table", shows("> master", "refreshed 0.0s ago"))
	p.clock.move(18 * time.Second)
	p.eventually("the age of what is shown", shows("refreshing for 18s; data is 18s old"))
	p.press("j\r")
	p.eventually("details meanwhile", shows("› node01", "id-of-node01"))
	p.show(broken)
	p.eventually("the details anew, and fresh", shows("› node01", "refreshed 0.0s ago"))
	p.answer(func() (Picture, error) { return Picture{}, errors.New("labs.yaml: line 3: what is this?") })
	p.eventually("the error above what was known", shows("error: labs.yaml: line 3: what is this?", "data is 0.0s old", "id-of-node01"))
	p.show(whole)
	p.eventually("it goes on", func(l []string) bool { return !shows("error:")(l) })
	p.press("q")
	if end := p.leaves(); end != nil {
		t.Error(end)
	}
}

func TestLiveFollowsTheSizeOfTheWindow(t *testing.T) {
	p := play(t, 112, 20, true)
	whole, _ := story()
	p.show(whole)
	p.eventually("all columns", shows("ADDRESS", "ENGINE", "AVAILABILITY", "10.20.20.100"))
	for _, c := range []struct {
		columns  int
		has, not []string
	}{
		{90, []string{"ENGINE", "AVAILABILITY", "20.10.24"}, []string{"ADDRESS", "10.20.20.100"}},
		{62, []string{"MACHINE", "ROLE", "STATE", "TASKS", "manager (Reachable)"}, []string{"ENGINE", "AVAILABILITY", "ADDRESS"}},
		{40, []string{"ROLE", "STATE", "manager (Reachable)"}, []string{"MACHINE", "TASKS"}},
		{22, []string{"NODE", "STATE", "Ready"}, []string{"ROLE"}},
	} {
		p.resize(c.columns, 20)
		p.eventually(fmt.Sprintf("what %d columns hold", c.columns), func(l []string) bool {
			for _, not := range c.not {
				if shows(not)(l) {
					return false
				}
			}
			return shows(c.has...)(l)
		})
	}
	p.resize(112, 6)
	p.eventually("a low screen", shows("NODE", "> master", "… 2 of 4 shown", "q quit"))
	p.press("jjj")
	p.eventually("scrolled to the chosen one", func(l []string) bool { return shows("> node10")(l) && !shows("master")(l) })
	p.resize(112, 20)
	p.eventually("all again", shows("ADDRESS", "  master", "> node10"))
}

func TestLiveEndsInOrder(t *testing.T) {
	whole, _ := story()
	t.Run("with its context", func(t *testing.T) {
		p := play(t, 80, 20, false)
		p.show(whole)
		p.eventually("it shows", shows("> master"))
		p.cancel()
		if end := p.leaves(); end != nil {
			t.Errorf("got %v", end)
		}
	})
	t.Run("before the first look has ended", func(t *testing.T) {
		p := play(t, 80, 20, false)
		p.eventually("nothing yet", shows("loading…"))
		p.press("q")
		if end := p.leaves(); end != nil {
			t.Errorf("got %v", end)
		}
	})
	t.Run("when a look panics", func(t *testing.T) {
		p := play(t, 80, 20, false)
		p.show(whole)
		p.eventually("it shows", shows("> master"))
		p.answer(func() (Picture, error) { panic("a bug in the look") })
		if end := p.leaves(); !strings.Contains(fmt.Sprint(end), "a bug in the look") {
			t.Errorf("the panic was lost: %v", end)
		}
	})
}

// liveProgram shows a view, and crashes when it is told to.
func liveProgram() int {
	crash := make(chan os.Signal, 1)
	signal.Notify(crash, syscall.SIGUSR1)
	first := true
	err := Live(context.Background(), System(), LiveOptions{Interval: time.Millisecond, Look: func(ctx context.Context) (Picture, error) {
		if first {
			first = false
			return Picture{Title: "the title"}, nil
		}
		select {
		case <-crash:
			ended := make(chan struct{})
			go func() { defer close(ended); panic("a bug far away") }()
			<-ended
		case <-ctx.Done():
		}
		return Picture{}, ctx.Err()
	}})
	if err != nil {
		return 1
	}
	return 0
}

// A panic in a goroutine that is not the view's own, or kill -9, ends the
// program on the spot; its guard gives the terminal back.
func TestLiveIsGuarded(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   func(*os.Process, *terminal) error
		shows []string
	}{
		{"a panic elsewhere", func(p *os.Process, _ *terminal) error { return p.Signal(syscall.SIGUSR1) }, []string{"panic: a bug far away", "live_test.go"}},
		{"kill -9", func(p *os.Process, _ *terminal) error { return p.Kill() }, nil},
		{"q", func(_ *os.Process, x *terminal) error { _, err := x.pty.WriteString("q"); return err }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newTerminal(t, 100, 60)
			before, err := term.GetState(int(x.tty.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "UI_TEST_PROGRAM=live", "TERM=xterm")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = x.tty, x.tty, x.tty
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			x.eventually("the view", shows("the title"))
			if err := c.end(cmd.Process, x); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			x.eventually("the terminal as it was", func([]string) bool {
				after, err := term.GetState(int(x.tty.Fd()))
				return err == nil && reflect.DeepEqual(before, after) && x.cursorVisible() && !x.wholeScreen()
			})
			x.eventually("its last words", shows(c.shows...))
			if strings.Contains(strings.Join(x.lines(), "\n"), "the title") {
				t.Error("the view is still there")
			}
		})
	}
}

func TestLiveWantsATerminal(t *testing.T) {
	x := newTerminal(t, 80, 20)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	whole := x.streams()
	for _, c := range []struct {
		name string
		s    Streams
		want bool
	}{
		{"a terminal", whole, true},
		{"output piped away", Streams{In: x.tty, Out: w, Environ: whole.Environ}, false},
		{"input from elsewhere", Streams{In: r, Out: x.tty, Environ: whole.Environ}, false},
		{"a dumb one", Streams{In: x.tty, Out: x.tty, Environ: []string{"TERM=dumb"}}, false},
	} {
		if got := c.s.CanLive(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Whatever the picture and the size, the screen is neither overrun nor does
// it hide the chosen row, and no cell of the table is cut as long as the first
// column fits.
func TestLiveFitsAnyScreen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var now atomic.Int64
		l := newLive(LiveOptions{Color: rapid.Bool().Draw(t, "color"), Now: func() time.Time { return time.Unix(now.Load(), 0) }})
		l.columns, l.rows = rapid.IntRange(1, 120).Draw(t, "columns"), rapid.IntRange(1, 40).Draw(t, "rows")
		text := rapid.SampledFrom([]string{"", "a", "Ready", "Down", "manager (Reachable)", "名前", "two words", "\x1b[31mred", "line\nbreak", strings.Repeat("long ", 30)})
		picture := func() Picture {
			var p Picture
			p.Title = text.Draw(t, "title")
			for i := range rapid.IntRange(1, 8).Draw(t, "width") {
				p.Columns = append(p.Columns, Column{Title: fmt.Sprint("C", i), Keep: rapid.IntRange(0, 3).Draw(t, "keep"), Sort: rapid.SampledFrom([]rune{0, 's', 'n'}).Draw(t, "sort")})
			}
			for i := range rapid.IntRange(0, 50).Draw(t, "height") {
				r := Row{Name: fmt.Sprint("n", i), Cells: []string{fmt.Sprint("n", i)}}
				r.Cells = append(r.Cells, rapid.SliceOfN(text, 0, 8).Draw(t, "cells")...)
				r.Details = []Section{{Rows: [][]string{{"label", text.Draw(t, "value")}}}, {Title: "t", Header: []string{"A", "B"}, Rows: [][]string{{"x"}}}}
				p.Rows = append(p.Rows, r)
			}
			p.Warnings = rapid.SliceOfN(text, 0, 3).Draw(t, "warnings")
			for range rapid.IntRange(0, 2).Draw(t, "tables") {
				p.Tables = append(p.Tables, Section{Header: []string{text.Draw(t, "header"), "B"}, Rows: [][]string{{text.Draw(t, "cell"), text.Draw(t, "cell")}}})
			}
			for range rapid.IntRange(0, 3).Draw(t, "news") {
				p.News = append(p.News, News{At: time.Unix(now.Load(), 0), About: text.Draw(t, "about"), Text: text.Draw(t, "news text")})
			}
			if rapid.Bool().Draw(t, "metered") {
				p.Meter = &Meter{Label: "m", Have: rapid.IntRange(0, 9).Draw(t, "have"), Need: 2, Of: rapid.IntRange(0, 30).Draw(t, "of"), Text: text.Draw(t, "meter")}
				p.Facts = []Fact{{Label: "f", Value: text.Draw(t, "fact"), Since: true}}
			}
			return p
		}
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				l.Update(looked{picture: picture(), at: l.o.Now()})
			case 1:
				l.Update(lookBegan{l.o.Now()})
			case 2:
				l.key(rapid.SampledFrom([]string{"up", "down", "end", "home", "pgup", "pgdown", "enter", "esc", "s", "n", "o", "?"}).Draw(t, "key"))
			case 3:
				now.Add(int64(rapid.IntRange(0, 10).Draw(t, "seconds")))
			}
			lines := l.draw(l.o.Now())
			if len(lines) > l.rows {
				t.Fatalf("%d lines on %d rows", len(lines), l.rows)
			}
			chosen := false
			for _, line := range lines {
				if w := lipgloss.Width(line); w > l.columns {
					t.Fatalf("%d wide on %d columns: %q", w, l.columns, line)
				}
				chosen = chosen || strings.HasPrefix(plainText(line), ">")
			}
			if len(l.picture.Rows) > 0 && l.open == "" && !l.help && l.rows >= 4 && l.columns >= 4 && l.err == nil && !chosen {
				t.Fatalf("the chosen row is not on the screen:\n%s", strings.Join(lines, "\n"))
			}
		}
	})
}

func TestNatural(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"node2", "node10", -1}, {"node10", "node2", 1}, {"node02", "node2", 1}, {"a", "a", 0}, {"a", "a1", -1},
		{"", "a", -1}, {"m1x", "m1y", -1}, {"10.0.0.9", "10.0.0.10", -1}, {"007", "7", 1},
	} {
		if got := natural(c.a, c.b); got != c.want {
			t.Errorf("natural(%q, %q) = %d", c.a, c.b, got)
		}
		if got := natural(c.b, c.a); got != -c.want {
			t.Errorf("natural(%q, %q) = %d", c.b, c.a, got)
		}
	}
}
