package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
)

// remembered enters a lab of this folder into the index, as the dcalab that
// made it does.
func remembered(t *testing.T, root, name, id string) {
	t.Helper()
	// One that the test has set already stays.
	if !strings.HasPrefix(os.Getenv("XDG_STATE_HOME"), os.TempDir()) {
		t.Setenv("XDG_STATE_HOME", t.TempDir())
	}
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	index, err := lab.OpenIndex(os.Getenv, lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := index.Add(lab.Place{Root: root, Lab: name, ID: id}.Real()); err != nil {
		t.Fatal(err)
	}
}
