package machine

import (
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
)

func TestNamesOfSnapshots(t *testing.T) {
	for name, good := range map[string]bool{
		"a": true, "before-drain": true, "7": true, strings.Repeat("x", 32): true,
		"": false, "-a": false, "a-": false, "A": false, "a.b": false, "..": false, "a/b": false,
		"--help": false, "a b": false, "a\n": false, strings.Repeat("x", 33): false,
	} {
		if err := CheckSnapshotName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestASnapshotFitsOnlyItsOwnNodes(t *testing.T) {
	l := &lab.Lab{Nodes: []lab.Node{{Name: "master"}, {Name: "node01"}}}
	for name, c := range map[string]struct {
		nodes []string
		want  string
	}{
		"the same":           {[]string{"master", "node01"}, ""},
		"in another order":   {[]string{"node01", "master"}, ""},
		"one more":           {[]string{"master", "node01", "node02"}, "it has node02, which labs.yaml has not"},
		"one less":           {[]string{"master"}, "it has no node01, which labs.yaml has"},
		"one under new name": {[]string{"master", "worker"}, "it has worker, which labs.yaml has not; it has no node01"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Snapshot{Name: "a", Nodes: c.nodes}.Fits(l)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("it says %v, without %q", err, c.want)
			}
		})
	}
}
