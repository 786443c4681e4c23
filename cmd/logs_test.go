package cmd

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"testing"
)

// What other commands say of a lab is in its bundle, each with its own words
// beside it, whatever flags the bundle itself was asked for with.
func TestABundleHoldsWhatOtherCommandsSay(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir()) // Vagrant is nowhere
	t.Setenv("DCALAB_EXPLAIN", "1")
	status, out, story := run(t, "--driver", "vagrant", "logs", "--bundle", "x.tar.gz", "--no-color")
	if status != 0 {
		t.Fatalf("exit status %d:\n%s", status, story)
	}
	f, err := os.Open("x.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[path.Base(h.Name)] = string(text)
		if !strings.Contains(out, path.Base(h.Name)+" ") {
			t.Errorf("%s is not told of:\n%s", h.Name, out)
		}
	}
	for name, want := range map[string]string{
		"version.txt":     "dcalab ",
		"labs.yaml":       "# lab dca of the built-in labs.yaml\n",
		"status.json":     `"driver": "vagrant"`,
		"status-view.txt": "no node is a manager of a swarm: see dcalab",
		"doctor.json":     `"why": "vagrant is not on PATH"`,
		"README.txt":      "did not answer: its machine is not created",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s holds\n%s", name, files[name])
		}
	}
	for name, text := range files {
		if strings.HasSuffix(name, ".errors.txt") {
			t.Errorf("%s holds\n%s", name, text)
		}
	}
}
