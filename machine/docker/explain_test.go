package docker

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

var update = flag.Bool("update", false, "write the golden files")

func TestExplain(t *testing.T) {
	l := &lab.Lab{Name: "dca", Nodes: []lab.Node{{Name: "master"}, {Name: "node01"}}}
	d := New(Config{Lab: l, ID: "0123456789ab", Root: "/home/ana/my lab"})
	for name, deed := range map[string]machine.Deed{
		"up":           {Act: machine.ActUp, New: []string{"master", "node01"}},
		"up-again":     {Act: machine.ActUp},
		"halt":         {Act: machine.ActHalt},
		"destroy-node": {Act: machine.ActDestroy, Nodes: []string{"node01"}},
		"destroy":      {Act: machine.ActDestroy},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := d.Explain(deed).Write(&b, func(string) string { return "" }); err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(b.String(), imageFor(runtime.GOARCH), "IMAGE")
			file := filepath.Join("testdata", "explain-"+name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || got != string(want) {
				t.Errorf("%v: it is\n%s", err, got)
			}
		})
	}
}
