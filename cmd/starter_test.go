package cmd

import (
	"os"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
)

// init takes a name and a subnet, checks both, and calls no two labs alike.
func TestInitNamesItsLab(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	folder := func() {
		t.Helper()
		t.Chdir(t.TempDir())
		if err := os.Mkdir("swarm-course", 0o755); err != nil {
			t.Fatal(err)
		}
		t.Chdir("swarm-course")
	}
	for _, tc := range []struct {
		args   []string
		status int
		want   string // in the file, or in the story
	}{
		{nil, 0, "  swarm-course:\n    # manager01 is manager01.swarm-course.example\n"},
		{[]string{"--name", "exam", "--subnet", "10.9.9.0/24"}, 0, "  exam:\n"},
		{[]string{"--name", "exam", "--subnet", "10.9.9.0/24"}, 0, "ip: 10.9.9.101\n"},
		{[]string{"--name", "Not Good"}, 2, `"Not Good" is not a good name`},
		{[]string{"--subnet", "10.9.9.0"}, 2, "no IPv4 network"},
		{[]string{"--subnet", "10.9.9.0/28"}, 2, "no IPv4 network"},
		{[]string{"--subnet", "fd00::/24"}, 2, "no IPv4 network"},
		{[]string{"--subnet", "10.9.9.7/24"}, 2, "the network itself"},
		{[]string{"--subnet", "10.0.2.0/24"}, 2, "VirtualBox"},
		{[]string{"--subnet", "127.0.0.0/8"}, 2, "the loopback network"},
		{[]string{"--nodes", "3"}, 2, "--managers 1 --workers 2"},
	} {
		folder()
		status, _, story := runHere(t, append([]string{"init"}, tc.args...)...)
		text, _ := os.ReadFile(lab.FileName)
		if status != tc.status || !strings.Contains(string(text)+story, tc.want) {
			t.Errorf("init %q: status %d, %s, want %d and %q\n%s", tc.args, status, story, tc.status, tc.want, text)
		}
		if tc.status != 0 && len(text) > 0 {
			t.Errorf("init %q wrote a file", tc.args)
		}
	}
}
