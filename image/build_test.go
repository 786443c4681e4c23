package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/trouble"
)

var update = flag.Bool("update", false, "write the golden files anew")

func demoOf(t *testing.T, program string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dcalab")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := BuildDemo(&b, Program{Path: path, Arch: "amd64"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The whole image as a listing, documents in full.
func TestDemoGolden(t *testing.T) {
	var b strings.Builder
	var blobs int
	for r := tar.NewReader(bytes.NewReader(demoOf(t, "program"))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r)
		sum := sha256.Sum256(text)
		if name, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok {
			blobs++
			if name != hex.EncodeToString(sum[:]) {
				t.Errorf("%s has the digest %x", h.Name, sum)
			}
		}
		fmt.Fprintf(&b, "%o %d:%d %d %s\n", h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), h.Name)
		if json.Valid(text) {
			var out bytes.Buffer
			_ = json.Indent(&out, text, "  ", "  ")
			fmt.Fprintf(&b, "  %s\n", out.String())
			continue
		}
		for inner := tar.NewReader(bytes.NewReader(text)); ; {
			h, err := inner.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "  layer: %o %d:%d %d %s, %d bytes\n", h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), h.Name, h.Size)
		}
	}
	if want := 1 + 2*len(DemoVersions()); blobs != want {
		t.Errorf("%d blobs, want %d: one layer for all", blobs, want)
	}
	const golden = "testdata/demo.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("%s (-want +got):\n%s", golden, d)
	}
}

func TestDemoIsTheSameEachTime(t *testing.T) {
	one, same, other := demoOf(t, "program"), demoOf(t, "program"), demoOf(t, "another")
	if !bytes.Equal(one, same) {
		t.Error("two builds of one program differ")
	}
	if bytes.Equal(one, other) {
		t.Error("two programs make one image")
	}
}

func TestDemoIsReadBack(t *testing.T) {
	a, err := read(demoOf(t, "program"))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for i, version := range DemoVersions() {
		got := a.Images[i]
		if !slices.Equal(got.Tags, []string{"localhost/demo:" + version}) || len(got.IDs) != 2 || got.Arch != "amd64" {
			t.Errorf("%+v", got)
		}
		for _, id := range got.IDs {
			ids[id] = true
		}
	}
	if len(ids) != 6 || len(a.prefix) > 0 {
		t.Errorf("%d IDs, %d bytes before", len(ids), len(a.prefix))
	}
}

func TestOpenProgram(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := func(path, goos, why string) {
		t.Helper()
		_, err := OpenProgram(path, goos)
		var e *trouble.Error
		if !errors.As(err, &e) || e.ID != "demo-program-unfit" || !strings.Contains(e.Error(), why) || len(e.Next) == 0 {
			t.Errorf("%s: got %v, want %q", path, err, why)
		}
	}
	refused(filepath.Join(dir, "absent"), "linux", "no such file")
	refused(text, "linux", "it is no Linux program")
	refused(text, "darwin", "this dcalab runs on darwin")
	if runtime.GOOS != "linux" {
		t.Skip("the rest is built here")
	}
	refused("/bin/sh", "linux", "shared libraries")

	build := func(module, goarch string) string {
		t.Helper()
		dir := t.TempDir()
		for name, text := range map[string]string{"go.mod": "module " + module + "\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c := exec.Command("go", "build", "-o", "program", ".")
		c.Dir = dir
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch, "GOFLAGS=")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return filepath.Join(dir, "program")
	}
	refused(build("example.org/other", runtime.GOARCH), "linux", "it is not dcalab")
	path := build(module, runtime.GOARCH)
	if p, err := OpenProgram(path, "linux"); err != nil || p != (Program{Path: path, Arch: runtime.GOARCH, Static: true}) {
		t.Errorf("got %+v, %v", p, err)
	}
}
