package cmd

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox"
	"github.com/dcalab/dcalab/machine/vagrant"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// A command heeds --dry-run and --explain, or there is nothing in it that they
// could mean.
func TestEveryCommandIsExplained(t *testing.T) {
	nothing := []string{"version"}
	for path, c := range commands(t) {
		if path != pathOf(c) || c.Hidden || isGroup(c) || cobras(path) {
			continue
		}
		if marked := c.Annotations[explainedMark] != ""; marked == slices.Contains(nothing, path) {
			t.Errorf("dcalab %s: heeds --dry-run and --explain: %v", path, marked)
		}
	}
}

// One that does not heed them does not go on as if they were not there.
func TestWhatIsNotExplainedRefuses(t *testing.T) {
	for _, flag := range []string{"--dry-run", "--explain"} {
		status, out, story := run(t, "version", flag)
		if status != trouble.ExitUsage || out != "" || !strings.Contains(story, "dcalab version does not support "+flag) {
			t.Errorf("%s: exit status %d\n%s%s", flag, status, out, story)
		}
	}
}

func taughtSession(t *testing.T, driver string, dry, explain bool) (s *session, out, story *bytes.Buffer) {
	t.Helper()
	state, err := lab.OpenState("/home/ana maria/labs", "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	out, story = &bytes.Buffer{}, &bytes.Buffer{}
	a := &app{streams: ui.Streams{Out: out, Err: story}, settings: viper.New()}
	a.settings.Set("dry-run", dry)
	a.settings.Set("explain", explain)
	a.settings.Set("quiet", true) // a runbook was asked for
	var d machine.Driver = sandbox.New(sandbox.Config{Lab: &lab.Lab{}})
	if driver == lab.DriverVagrant {
		// A folder that is absent: there is no Dotfile to lead Vagrant to.
		index, err := lab.OpenIndex(func(key string) string { return map[string]string{"XDG_STATE_HOME": "/home/ana maria/state"}[key] }, lab.Owner{})
		if err != nil {
			t.Fatal(err)
		}
		d = vagrant.New(vagrant.Config{State: state, Index: index, ID: "0123456789ab"})
	}
	return &session{app: a, Session: labsession.Of(a.lab(), labsession.Parts{State: state, Driver: d})}, out, story
}

func TestWhereARunbookIsPrinted(t *testing.T) {
	l := runbook.Runbook{{Node: "master", Text: "docker node ls"}}
	text := "# on master: ssh -F '/home/ana maria/labs/.dcalab/dca/ssh_config' master\ndocker node ls\n"
	aside := "\nthe same by hand:\n\n" + text
	rehearse := func(s *session) (bool, error) { return true, s.rehearse([]string{"look"}, l) }
	recount := func(s *session) (bool, error) { return false, s.recount(l) }
	announce := func(s *session) (bool, error) { return s.announce(l) }
	for _, tt := range []struct {
		name         string
		do           func(*session) (bool, error)
		dry, explain bool
		out, story   string
		stop         bool
	}{
		{name: "the plan", do: rehearse, dry: true, out: "look\n", stop: true},
		{name: "the runbook instead of the plan", do: rehearse, dry: true, explain: true, out: text, stop: true},
		{name: "done, and no runbook", do: recount},
		{name: "done, and the runbook", do: recount, explain: true, story: aside},
		{name: "read", do: announce},
		{name: "the runbook, and read", do: announce, explain: true, story: aside},
		{name: "not read", do: announce, dry: true, out: "read-only command: nothing would change\n", stop: true},
		{name: "the runbook, and not read", do: announce, dry: true, explain: true, out: text, stop: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, out, story := taughtSession(t, lab.DriverSandbox, tt.dry, tt.explain)
			stop, err := tt.do(s)
			if err != nil || stop != tt.stop || out.String() != tt.out || story.String() != tt.story {
				t.Errorf("%v, stop %v, stdout\n%sstderr\n%s", err, stop, out, story)
			}
		})
	}
}

func TestLogin(t *testing.T) {
	for driver, want := range map[string][2]string{
		lab.DriverSandbox: {"", "ssh -F '/home/ana maria/labs/.dcalab/dca/ssh_config' node01"},
		lab.DriverVagrant: {"", "cd '/home/ana maria/labs/.dcalab/dca' && vagrant ssh node01"},
	} {
		s, _, _ := taughtSession(t, driver, false, true)
		if got := [2]string{s.login(runbook.Here), s.login("node01")}; got != want {
			t.Errorf("%s: got %q, want %q", driver, got, want)
		}
	}
}
