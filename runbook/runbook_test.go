package runbook

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWrite(t *testing.T) {
	login := func(node string) string {
		if node == Here {
			return ""
		}
		return "vagrant ssh " + node
	}
	for _, tt := range []struct {
		name    string
		runbook Runbook
		want    string
	}{
		{name: "nothing to do", want: "# nothing to do\n"},
		{name: "a place is named once, and again after another", runbook: Runbook{
			{Node: "master", Text: "docker node ls"}, {Node: "master", Text: "docker info"}, {Node: "node01", Text: "docker info"}, {Node: "master", Text: "docker ps"},
		}, want: `# on master: vagrant ssh master
docker node ls
docker info

# on node01: vagrant ssh node01
docker info

# on master: vagrant ssh master
docker ps
`},
		{name: "on this machine", runbook: Runbook{{Text: "vagrant up"}}, want: "# on this machine\nvagrant up\n"},
		{name: "remarks", runbook: Runbook{
			{Text: "a", Why: "first"}, {Text: "b", Gives: WorkerToken}, {Text: "c", Why: "last", Asks: UnlockKey, Until: "active"},
			{Text: strings.Repeat("x", 70), Until: "0"},
		}, want: `# on this machine
a                                                            # first
b                                                            # prints <worker-token>
c                                                            # last; asks for <unlock-key>; again until it says active
` + strings.Repeat("x", 70) + ` # again until it says 0
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if err := tt.runbook.Write(&b, login); err != nil || b.String() != tt.want {
				t.Errorf("%v, got\n%s\nwant\n%s", err, b.String(), tt.want)
			}
		})
	}
	var b strings.Builder
	if err := (Runbook{{Text: "vagrant up"}}).Write(&b, func(string) string { return "cd /lab" }); err != nil || b.String() != "# on this machine: cd /lab\nvagrant up\n" {
		t.Errorf("%v, got\n%s", err, b.String())
	}
}

func TestTemplate(t *testing.T) {
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{[]string{"docker", "swarm", "join", "--token", ManagerToken, "10.0.0.1:2377"}, "docker swarm join --token <manager-token> 10.0.0.1:2377"},
		{[]string{"docker", "node", "rm", "<node01-id>"}, "docker node rm <node01-id>"},
		{[]string{"--label-add", "a=it's here"}, `--label-add 'a=it'\''s here'`},
		{[]string{"", "<", "<>", "<A>", "a=<worker-token>", "{{.ID}}"}, "'' '<' '<>' '<A>' 'a=<worker-token>' '{{.ID}}'"},
	} {
		if got := Template(tt.words...); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.words, got, tt.want)
		}
	}
	// What a person wrote is no placeholder, whatever it looks like.
	if got, want := Line("cat", "<x>", WorkerToken, ""), "cat '<x>' '<worker-token>' ''"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A shell reads a line back as the words that it was made of.
func TestLineIsReadBackByAShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no POSIX shell here")
	}
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("ab =#;|&<>()$`\\\"'*?[]{}~!\t\né")), 0, 8, -1), 1, 4).Draw(t, "words")
		out, err := exec.Command(sh, "-c", Line(append([]string{"printf", `%s\0`}, words...)...)).Output()
		if err != nil || string(out) != strings.Join(words, "\x00")+"\x00" {
			t.Fatalf("%v, got %q", err, out)
		}
	})
}

func TestByNodeLogsInOnce(t *testing.T) {
	l := Runbook{{Text: "vagrant up"}, {Node: "b", Text: "1"}, {Node: "a", Text: "2"}, {Node: "b", Text: "3"}, {Text: "last"}}
	want := Runbook{{Text: "vagrant up"}, {Text: "last"}, {Node: "b", Text: "1"}, {Node: "b", Text: "3"}, {Node: "a", Text: "2"}}
	if d := cmp.Diff(want, l.ByNode()); d != "" {
		t.Error(d)
	}
}
