package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
	"github.com/dcalab/dcalab/web"
)

// helped is a session whose sudo is a script that stands in for it, and for the helper.
func helped(t *testing.T, sudo string) (s *session, said *heard, dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for sudo is a shell script")
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte("#!/bin/sh\ncd "+dir+"\n"+sudo), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("DCALAB_LAB", "ha")
	said = &heard{}
	s = contextSession(t, "ha")
	s.app = &app{streams: ui.Streams{In: strings.NewReader(""), Out: io.Discard, Err: said}, settings: viper.New(), given: []string{"--driver=sandbox"}}
	return s, said, dir
}

const lending = `echo "$@" >args
echo "$DCALAB_THROUGH_SUDO" >called
echo '{"id":0,"exit":0,"text":""}'
while read -r line; do
	echo "$line" >>asked
	id=$(echo "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
	case $line in
	*yes*) printf '{"id":%s,"exit":5,"text":"quorum\\n"}\n' $id ;;
	*) printf '{"id":%s,"exit":1,"text":"cannot ask\\n","question":"sure?"}\n' $id ;;
	esac
done
echo >ended
`

// TestPowerIsLent: a page's command is done by the helper, whose question, words and exit
// status are the command's; it ends when serve does.
func TestPowerIsLent(t *testing.T) {
	s, said, dir := helped(t, lending)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := (asRoot{s}).helper(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.text.String(), "sudo dcalab --driver=sandbox power-helper") {
		t.Errorf("it says %s", said.text.String())
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	if args := read("args"); !strings.HasSuffix(args, " --driver=sandbox "+powerHelper+"\n") {
		t.Errorf("sudo is called with %s", args)
	}
	if called := read("called"); called != s.app.calledAs()+"\n" {
		t.Errorf("the helper learns that it was called %s", called)
	}
	var asked string
	type outcome struct {
		err   error
		text  string
		asked string
	}
	do := func(words ...string) outcome {
		said.text.Reset()
		asked = ""
		s.app.embedded.Asked = func(question string) { asked = question }
		s.app.embedded.power = func() (web.Done, error) { return p.Do(words) }
		err := (asRoot{s}).rerun()
		return outcome{err, said.text.String(), asked}
	}
	if got := do("halt", "m1"); !errors.Is(got.err, remoteError(1)) || got.text != "cannot ask\n" || got.asked != "sure?" || !s.app.delegated {
		t.Errorf("what has a question: %+v", got)
	}
	if got := do("halt", "m1", "--yes"); !errors.Is(got.err, remoteError(5)) || got.text != "quorum\n" || got.asked != "" {
		t.Errorf("what is refused: %+v", got)
	}
	if want := `{"id":1,"words":["halt","m1"]}` + "\n" + `{"id":2,"words":["halt","m1","--yes"]}` + "\n"; read("asked") != want {
		t.Errorf("it was asked %s", read("asked"))
	}
	cancel()
	p.End()
	read("ended")
	if got := do("halt", "m1"); trouble.ExitStatus(got.err) != trouble.ExitRequirement || !strings.Contains(got.err.Error(), "has ended") {
		t.Errorf("after its end: %+v", got)
	}
}

// TestPowerIsRefused: by sudo, by the helper itself, or there is no sudo.
func TestPowerIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		sudo string
		exit int
		why  string
	}{
		"sudo refuses":    {"echo no >&2; exit 1\n", trouble.ExitRequirement, "sudo did not run it"},
		"it says nothing": {"exit 0\n", 0, "has ended"},
		"a stranger":      {"echo hello; exit 3\n", 0, "exit status 3"},
	} {
		s, _, _ := helped(t, c.sudo)
		if _, err := (asRoot{s}).helper(t.Context()); err == nil || !strings.Contains(err.Error(), c.why) || c.exit != 0 && trouble.ExitStatus(err) != c.exit {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, _, _ := helped(t, "exit 101\n")
	if _, err := (asRoot{s}).helper(t.Context()); !errors.Is(err, remoteError(trouble.ExitFailure)) {
		t.Errorf("the helper fails: %v", err)
	}
	s, _, _ = helped(t, "")
	t.Setenv("PATH", t.TempDir())
	if _, err := (asRoot{s}).helper(t.Context()); trouble.ExitStatus(err) != trouble.ExitRequirement || !strings.Contains(err.Error(), "sudo is not installed") {
		t.Errorf("without sudo: %v", err)
	}
	s.app.embedded.Asked = func(string) {}
	err := (asRoot{s}).rerun()
	if advice := strings.Join(trouble.Advice(err), "\n"); trouble.ExitStatus(err) != trouble.ExitRequirement || !strings.Contains(advice, "dcalab serve --power") {
		t.Errorf("without a helper: %v\n%s", err, advice)
	}
}

// TestPowerHelper: it does what pages may have done as root on its lab, and nothing else.
func TestPowerHelper(t *testing.T) {
	t.Chdir(t.TempDir())
	labs, err := os.ReadFile(repository + "/labs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("labs.yaml", labs, 0o600); err != nil {
		t.Fatal(err)
	}
	in, write := io.Pipe()
	read, out := io.Pipe()
	var story bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- Run(t.Context(), ui.Streams{In: in, Out: out, Err: &story}, embedded(t), []string{"--driver", "sandbox", powerHelper})
		_ = out.Close()
	}()
	answers := json.NewDecoder(read)
	type reply struct {
		ID int
		web.Done
	}
	answer := func() (a reply) {
		t.Helper()
		if err := answers.Decode(&a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := answer(); a.ID != 0 {
		t.Fatalf("it begins with %+v", a)
	}
	requests := json.NewEncoder(write)
	ask := func(line string) reply {
		t.Helper()
		if err := requests.Encode(map[string]any{"id": 7, "words": strings.Fields(line)}); err != nil {
			t.Fatal(err)
		}
		return answer()
	}
	if a := ask("halt node01"); a.ID != 7 || a.Exit != 0 || !strings.Contains(a.Text, "nothing to halt") {
		t.Errorf("halt: %+v", a)
	}
	for _, line := range []string{"", "destroy --yes", "up", "ssh master", "ssh master -- id", "halt node01 --force", "halt node01 --lab=ha", "--lab=ha halt node01", "promote node01"} {
		if a := ask(line); a.Exit != trouble.ExitUsage || !strings.HasPrefix(a.Text, "error: ") || a.ID != 7 {
			t.Errorf("%s: %+v", line, a)
		}
	}
	if err := os.Rename("labs.yaml", "mine.yaml"); err != nil {
		t.Fatal(err)
	}
	if a := ask("halt node01"); a.Exit == 0 {
		t.Errorf("its labs.yaml is gone: %+v", a)
	}
	_ = write.Close()
	if status := <-ended; status != 0 {
		t.Errorf("exit status %d: %s", status, story.String())
	}
}
