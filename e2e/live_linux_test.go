package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"golang.org/x/term"
)

const liveLab = `version: 1
driver: sandbox
labs:
  dca:
    domain: docker-dca.example
    subnet: 10.20.20.0/24
    nodes:
      - {name: m1, ip: 10.20.20.11, role: manager}
      - {name: m2, ip: 10.20.20.12, role: manager}
      - {name: m3, ip: 10.20.20.13, role: manager}
      - {name: w1, ip: 10.20.20.21, labels: {zone: north}}
`

// TestLiveView types at dcalab status --watch on a terminal, while a manager
// of a real swarm goes away and comes back.
func TestLiveView(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("real nodes need root: make scenarios")
	}
	if testing.Short() { // TestElectionSeen looks at the same view
		t.Skip("make test-long runs it")
	}
	t.Parallel()
	dcalab := binary(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "labs.yaml"), []byte(liveLab), 0o644); err != nil {
		t.Fatal(err)
	}
	release, err := isolate()
	if release != nil {
		t.Cleanup(release)
	}
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TERM=xterm-256color", quickExit}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(dcalab, args...)
		cmd.Dir, cmd.Env = dir, environ
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dcalab %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}

	// Before there is a lab, and while it is made.
	w := watch(t, dcalab, dir, environ)
	w.sees("nothing yet", `m1 +absent`, `no swarm yet: \S*dcalab up --swarm`)
	run("up", "--swarm")
	id := readID(filepath.Join(dir, ".dcalab", "dca"))
	t.Cleanup(func() {
		run("destroy", "--force")
		if found := findTraces(id); len(found) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(found, "\n"))
		}
	})
	w.sees("the whole swarm", `leader +m\d,`, `m[123] +running +manager \(Leader\) +Active +Ready +0 `, `m3 +running +manager \((Leader|Reachable)\) +Active +Ready`, `w1 +running +worker`, `quorum +■ ■ │ ■ +3 managers, 3 reachable`)
	w.sees("each manager's raft log", `raft +term 2, won by m\d`, `MANAGER +TERM +VOTED FOR +COMMITTED +LAST ENTRY +BEHIND`, `(?m)^ +m3 +2 +\S+ +\d+ +\d+ +\d`)

	// The leader goes away: the others elect one of them, and then miss it.
	old := regexp.MustCompile(`leader +(m\d),`).FindStringSubmatch(w.vt.String())
	if old == nil {
		t.Fatalf("who leads?\n%s", w.vt.String())
	}
	gone := old[1]
	run("halt", gone)
	w.sees("another leader", gone+` +halted`, `leader +m\d, for .* \(before: (m\d|none)\)`, `raft +term [3-9], won by m\d`, `quorum +■ ■ │ □ .* tolerates 0 failures`)
	w.sees("the swarm misses it", gone+` +halted +manager \(Unreachable\) +Active +Down`, gone+` +state: \S+ → Down`)
	w.press("s")
	w.sees("the worst first", `STATE ▾`, `(?s)`+gone+` +halted.*w1 +running`)
	if *update { // the picture in the docs
		w.press("?")
		w.sees("the keys", `q, Ctrl-C: quit`)
		if err := os.WriteFile("../docs/live-view.txt", []byte(screen(w.vt.String())), 0o644); err != nil {
			t.Fatal(err)
		}
		w.press("?")
	}
	w.press("\x1b[H\r")
	w.sees("its details", `› `+gone, `its machine is halted`, `host name +`+gone+`\.docker-dca\.example`)
	w.press("\x1b")
	w.sees("the table again", `NODE`)
	w.resize(50, 20)
	w.sees("fewer columns", `NODE +ROLE +STATE`, gone+` +manager \(Unreachable\) +Down\s*\n`)
	w.resize(120, 30)
	run("start", gone)
	w.sees("it is back", gone+` +running +manager \(Reachable\) +Active +Ready`, `■ ■ │ ■`)

	// The worker's labels and its tasks, of which there are none.
	w.press("o\x1b[F\r")
	w.sees("the worker's details", `› w1`, `labels +zone=north`, `(?s)tasks\s+none`)
	w.press("q")
	w.leaves(0)

	// Killed in good order, it gives the terminal back as well.
	w = watch(t, dcalab, dir, environ)
	w.sees("the swarm", `m3 +running +manager`)
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.leaves(0)
}

// screen is what a terminal shows, without the blanks at its edges.
func screen(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// onlooker is dcalab status --watch on a terminal of its own.
type onlooker struct {
	t        *testing.T
	cmd      *exec.Cmd
	pty, tty *os.File
	vt       vt10x.Terminal
	mu       sync.Mutex
	raw      bytes.Buffer
	before   *term.State
	ended    chan struct{}
}

func watch(t *testing.T, dcalab, dir string, environ []string) *onlooker {
	t.Helper()
	w := &onlooker{t: t, vt: vt10x.New(vt10x.WithSize(120, 30)), ended: make(chan struct{})}
	var err error
	if w.pty, w.tty, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(w.pty, &pty.Winsize{Cols: 120, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	if w.before, err = term.GetState(int(w.tty.Fd())); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := w.pty.Read(buf)
			w.mu.Lock()
			w.raw.Write(buf[:n])
			w.mu.Unlock()
			_, _ = w.vt.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	w.cmd = exec.Command(dcalab, "status", "--watch")
	w.cmd.Dir, w.cmd.Env = dir, environ
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = w.tty, w.tty, w.tty
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = w.cmd.Wait()
		close(w.ended)
	}()
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		<-w.ended
		w.tty.Close()
		w.pty.Close()
		<-read
	})
	return w
}

// sees waits until the screen matches all of the patterns.
func (w *onlooker) sees(what string, patterns ...string) {
	w.t.Helper()
	late := time.After(90 * time.Second)
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		screen, missing := w.vt.String(), ""
		for _, p := range patterns {
			if !regexp.MustCompile(p).MatchString(screen) {
				missing = p
			}
		}
		if missing == "" {
			w.t.Logf("%s:\n%s", what, strings.TrimRight(screen, " \n"))
			return
		}
		select {
		case <-poll.C:
		case <-w.ended:
			w.t.Fatalf("%s: it ended: %s", what, w.vt.String())
		case <-late:
			w.t.Fatalf("%s: %s is never seen; the screen is\n%s", what, missing, screen)
		}
	}
}

func (w *onlooker) press(keys string) {
	w.t.Helper()
	if _, err := w.pty.WriteString(keys); err != nil {
		w.t.Fatal(err)
	}
}

func (w *onlooker) resize(columns, rows int) {
	w.t.Helper()
	w.vt.Resize(columns, rows)
	if err := pty.Setsize(w.pty, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		w.t.Fatal(err)
	}
}

// leaves waits for the end, the exit status and the terminal as it was.
func (w *onlooker) leaves(status int) {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(time.Minute):
		w.t.Fatal("it does not end")
	}
	if got := w.cmd.ProcessState.ExitCode(); got != status {
		w.t.Errorf("exit status %d, want %d", got, status)
	}
	after, err := term.GetState(int(w.tty.Fd()))
	if err != nil {
		w.t.Fatal(err)
	}
	if !reflect.DeepEqual(w.before, after) {
		w.t.Error("the terminal's modes were changed")
	}
	fmt.Fprint(w.tty, "after")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(w.vt.String(), "after"); {
		if time.Now().After(deadline) {
			w.t.Fatal("the terminal shows nothing any more")
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.vt.Lock()
	restored := w.vt.Mode()&vt10x.ModeAltScreen == 0 && w.vt.CursorVisible()
	w.vt.Unlock()
	if !restored {
		w.t.Errorf("the cursor or the screen were not given back:\n%s", w.vt.String())
	}
}
