package e2e

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/hinshun/vt10x"
)

var update = flag.Bool("update", false, "write the examples of the commands' help anew, where they differ")

const exampleFolder = "../cmd/examples"

// exampleWalk is the order in which the examples are run: each is a file in
// cmd/examples. A line that begins with $ prepares what comes next, and is in
// no example.
func exampleWalk() []string {
	return []string{
		"version", "init", "config_validate", "config_view", "config_schema", "render",
		"$ rm labs.yaml",
		"doctor", "up", "swarm_bootstrap", "wait", "status", "list",
		"ssh", "exec", "ssh-config", "env", "logs",
		"$ printf 'services: {}\\n' > stack.yml",
		"cp",
		"image_load", "image_list",
		"context_create", "context_rm",
		"promote", "swarm_token",
		"swarm_ca_rotate",
		"swarm_autolock", "swarm_unlock-key",
		"$ dcalab ssh node02 -- sudo service docker restart",
		"$ until dcalab status | grep -q 'node02 .* locked'; do sleep 0.1; done",
		"swarm_unlock",
		"$ until dcalab status | grep -q 'node02 .*(Reachable) .* Ready'; do sleep 0.1; done", // demote counts them
		"$ dcalab swarm autolock off",
		"demote",
		"break_partition", "break_list", "break_isolate", "break_bridge", "break_block", "break_loss", "break_delay", "break_rate", "break_freeze", "break_stop-engine", "break_kill", "break_disk", "break_clock",
		"heal",
		"drain", "activate", "pause",
		"$ dcalab activate node02",
		"label_set", "label_rm", "label_list",
		"remove", "join", "swarm_leave",
		"$ dcalab join node02",
		"snapshot_save", "snapshot_list", "snapshot_export",
		"$ dcalab snapshot delete fresh-swarm",
		"snapshot_import", "snapshot_restore", "snapshot_delete",
		"halt", "start", "reset",
		"$ dcalab swarm bootstrap",
		"$ dcalab promote node01 node02",
		"$ dcalab destroy --force --yes node01 node02",
		"swarm_recover",
		"$ dcalab up --swarm",
		"$ dcalab demote node01 node02",
		"swarm_backup", "swarm_dissolve", "swarm_restore",
		"destroy",
		"$ dcalab up master",
		"$ rm -r .dcalab",
		"prune",
		"dcalab",
	}
}

// notRun are the examples that no run here can check.
func notRun() []string {
	return []string{
		"vagrant",                            // evening.txtar, on real machines, compares it
		"image_host_save", "image_host_load", // they need a Docker: docker/evening.txtar
		"forward",                    // it ends with Ctrl-C: ports.txtar
		"serve",                      // it ends with Ctrl-C, and its link is another each time
		"timeline",                   // what it shows was recorded before: timeline.txtar
		"observe", "timeline_export", // their times are others each time: observe.txtar
		"prove", // its counts are others each time: prove.txtar
		"why",   // its tasks are in a service of the scenario: why.txtar
	}
}

// TestExamples runs the examples that the commands' help shows, in a lab of
// real nodes and on a terminal, and compares what they say. What is another on
// each run (ids, times, sizes, versions) may differ, and how columns and long
// lines are broken.
func TestExamples(t *testing.T) {
	walk := exampleWalk()
	files, err := os.ReadDir(exampleFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".txt")
		if !slices.Contains(walk, name) && !slices.Contains(notRun(), name) {
			t.Errorf("cmd/examples/%s is never run: exampleWalk lacks it", f.Name())
		}
	}
	defer func() { // whether they were written anew or not
		for _, f := range files {
			text, err := os.ReadFile(filepath.Join(exampleFolder, f.Name()))
			if err != nil {
				t.Error(err)
			}
			if masked(string(text)) != string(text) {
				t.Errorf("cmd/examples/%s shows a secret", f.Name())
			}
		}
	}()
	if os.Geteuid() != 0 {
		t.Skip("real nodes need root: make scenarios")
	}
	if testing.Short() && !*update {
		t.Skip("make test-long runs it")
	}
	t.Parallel()
	dcalab, demo := binary(t), staticBinary(t)
	w := newExampleLab(t, dcalab, demo)
	for _, name := range walk {
		if line, ok := strings.CutPrefix(name, "$ "); ok {
			if said, status := w.run(t, line); status != 0 {
				now, _ := w.run(t, "dcalab status")
				t.Fatalf("%s: exit status %d\n%s\n%s", line, status, said, now)
			}
			continue
		}
		path := filepath.Join(exampleFolder, name+".txt")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		was := string(text)
		is := w.transcript(t, was)
		if diff := cmp.Diff(bare(was), bare(is)); diff != "" {
			if *update {
				if err := os.WriteFile(path, []byte(is), 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			t.Errorf("%s is not what the command says (-file +said); run this test with -update:\n%s\nit said:\n%s", path, diff, is)
		}
	}
}

func TestExamplesAreCompared(t *testing.T) {
	const shown = "$ dcalab x\nmaster   ready: Docker 20.10.24+dfsg1, 10.20.20.100 in 1.0s\nnode02   abcdefghijklmnopqrstuvwxy\n"
	for name, c := range map[string]struct {
		said string
		same bool
	}{
		"itself":                     {shown, true},
		"other times, ids, versions": {"$ dcalab x\nmaster ready: Docker 28.5.2, 10.20.20.100 in\n1m02s\nnode02     5abcdefghijklmnopqrstuvw1\n", true},
		"another address":            {strings.Replace(shown, ".100", ".101", 1), false},
		"another word":               {strings.Replace(shown, "ready", "halted", 1), false},
		"another number":             {strings.Replace(shown, "node02   ", "2 nodes ", 1), false},
		"another command":            {strings.Replace(shown, "dcalab x", "dcalab y", 1), false},
		"a line more":                {shown + "warning: no\n", false},
	} {
		if same := bare(shown) == bare(c.said); same != c.same {
			t.Errorf("%s: same is %v", name, same)
		}
	}
	const token = "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx"
	if got, want := masked("docker swarm join --token "+token+" x SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8"), "docker swarm join --token SWMTKN-1-… x SWMKEY-1-…"; got != want {
		t.Errorf("masked: %q, want %q", got, want)
	}
}

// exampleLab is the folder in which the examples are run, and their
// environment.
type exampleLab struct {
	home, dir string
	environ   []string
}

// exampleHome is what the folder of the examples is called in them.
const exampleHome = "/home/ana"

func newExampleLab(t *testing.T, dcalab, demo string) *exampleLab {
	t.Helper()
	release, err := isolate()
	if release != nil {
		t.Cleanup(release)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &exampleLab{home: t.TempDir()}
	bin := t.TempDir()
	if err := errors.Join(
		os.Symlink(dcalab, filepath.Join(bin, "dcalab")),
		os.Mkdir(filepath.Join(w.home, "lab"), 0o755),
	); err != nil {
		t.Fatal(err)
	}
	w.dir = filepath.Join(w.home, "lab")
	w.environ = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + w.home, "TERM=xterm-256color", "NO_COLOR=1", "SHELL=/bin/bash",
		"DCALAB_DRIVER=sandbox", "DCALAB_DEMO_BINARY=" + demo, quickExit,
	}
	t.Cleanup(func() {
		id := readID(filepath.Join(w.dir, ".dcalab", "dca"))
		if id == "" {
			return
		}
		if said, status := w.run(t, "dcalab destroy --force"); status != 0 {
			t.Errorf("destroy: %s", said)
		}
		if found := findTraces(id); len(found) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(found, "\n"))
		}
	})
	return w
}

// transcript runs the commands of one, and gives it with what they say now.
func (w *exampleLab) transcript(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			b.WriteString(line)
			said, _ := w.run(t, strings.TrimSuffix(command, "\n"))
			b.WriteString(said)
		}
	}
	return b.String()
}

// run types a command at a terminal, says yes to questions, and gives what is
// on the screen in the end.
func (w *exampleLab) run(t *testing.T, command string) (string, int) {
	t.Helper()
	const columns, rows = 300, 100
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := pty.Setsize(terminal, &pty.Winsize{Cols: columns, Rows: rows}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", command)
	if strings.Contains(command, "context") {
		// ssh reads the configuration in the home that the system's list says,
		// whatever HOME does.
		cmd = exec.Command("unshare", "--mount", "bash", "-c", `mount --bind "$HOME" /root && HOME=/root exec bash -c "$0"`, command)
	}
	cmd.Dir, cmd.Env = w.dir, w.environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	began := time.Now()
	err = cmd.Start()
	tty.Close()
	if err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(2*time.Minute, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	vt := vt10x.New(vt10x.WithSize(columns, rows))
	buf := make([]byte, 4096)
	asked := 0
	for {
		n, err := terminal.Read(buf)
		_, _ = vt.Write(buf[:n])
		if questions := strings.Count(vt.String(), "[y/N] "); questions > asked && strings.HasSuffix(strings.TrimRight(vt.String(), " \n"), "[y/N]") {
			asked = questions
			if _, err := terminal.WriteString("y\n"); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			var path *fs.PathError
			if !errors.As(err, &path) { // EIO: nobody has the terminal open any more
				t.Fatal(err)
			}
			break
		}
	}
	_ = cmd.Wait()
	t.Logf("%6.1fs  $ %s", time.Since(began).Seconds(), command)
	return w.told(vt.String()), cmd.ProcessState.ExitCode()
}

// told is a screen as an example shows it: without secrets and without the
// folders of this run, long lines broken at words.
func (w *exampleLab) told(screen string) string {
	screen = masked(screen)
	screen = strings.NewReplacer(w.home, exampleHome, "/root/", exampleHome+"/").Replace(screen)
	for _, kv := range w.environ { // where the program is
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			folder, _, _ := strings.Cut(path, ":")
			if target, err := filepath.EvalSymlinks(filepath.Join(folder, "dcalab")); err == nil {
				screen = strings.ReplaceAll(screen, target, exampleHome+"/bin/dcalab")
			}
		}
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(screen, " \n"), "\n") {
		line = strings.TrimRight(line, " ")
		// Of the machine that runs this, not of the command.
		if strings.HasPrefix(line, "warning: this kernel has no ip_vs") {
			continue
		}
		lines = append(lines, broken(line)...)
	}
	if len(lines) == 0 || lines[0] == "" && len(lines) == 1 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// broken breaks a line of prose at words; one of a table stays.
func broken(line string) []string {
	const width = 96
	text := strings.TrimLeft(line, " ")
	indent := line[:len(line)-len(text)]
	if utf8.RuneCountInString(line) <= width || strings.Contains(text, "   ") {
		return []string{line}
	}
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last < 0 || utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, indent+word)
		} else {
			lines[last] += " " + word
		}
	}
	return lines
}

var exampleToken = regexp.MustCompile(`SWM(TKN|KEY)-1-[0-9A-Za-z+/=_-]+`)

// exampleVaries is what is another on each run, in a line or as a whole word.
var exampleVaries = struct{ lines, words []variety }{
	lines: []variety{
		{regexp.MustCompile(`/run/dcalab/[0-9a-f]{12}/`), "/run/dcalab/ID/"},
		{regexp.MustCompile(`\b\d+(\.\d+)? [kMG]?B\b`), "SIZE"},
		{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`), "DATE"},
		{regexp.MustCompile(`\b\d+ committed entries, term \d+`), "N committed entries, term N"},
	},
	words: []variety{
		{regexp.MustCompile(`^(\d+h)?(\d+m)?\d+(\.\d+)?s$|^\d+h\d+m$`), "TIME"},
		{regexp.MustCompile(`^[a-z0-9]{25}$|^[0-9a-f]{12}$`), "ID"},
		{regexp.MustCompile(`^\d+\.\d+\.\d+([-+]\S*)?$`), "VERSION"},
	},
}

type variety struct {
	shape *regexp.Regexp
	name  string
}

// masked replaces secrets by what stands for them in examples.
func masked(text string) string { return exampleToken.ReplaceAllString(text, "SWM$1-1-…") }

// bare is a transcript without what may differ: the words of a command, and
// in the next line all that it says.
func bare(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(line, "$ ") {
			b.WriteString("\n" + line + "\n")
			continue
		}
		for _, v := range exampleVaries.lines {
			line = v.shape.ReplaceAllString(line, v.name)
		}
		for word := range strings.FieldsSeq(line) {
			core := strings.TrimRight(word, ",;:?")
			end := word[len(core):]
			for _, v := range exampleVaries.words {
				core = v.shape.ReplaceAllString(core, v.name)
			}
			b.WriteString(core + end + " ")
		}
	}
	// A long one is broken into two lines.
	return exampleVersion.ReplaceAllString(b.String(), "dcalab VERSION")
}

var exampleVersion = regexp.MustCompile(`dcalab \S+ (\S+ )?\(go\S+ \S+\)`)

// staticBinary is a dcalab without cgo, as the demo image needs it.
func staticBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("DCALAB_DEMO_BINARY"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "dcalab-static")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build a static dcalab: %v\n%s", err, out)
	}
	return path
}
