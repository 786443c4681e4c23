package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// What the page may have, compressed: without a terminal, and with it.
const largest, largestAll = 60_000, 250_000

// TestBundleIsCurrent: what is committed is what the sources give, twice the same.
func TestBundleIsCurrent(t *testing.T) {
	files, err := bundle(root)
	if err != nil {
		t.Fatal(err)
	}
	again, err := bundle(root)
	if err != nil {
		t.Fatal(err)
	}
	size, terminal := 0, 0
	for name, text := range files {
		committed, err := os.ReadFile(filepath.Join(root, "web", "dist", name))
		if err != nil || !bytes.Equal(committed, text) {
			t.Errorf("web/dist/%s is not what web/ui gives: go generate ./web (%v)", name, err)
		}
		if !bytes.Equal(again[name], text) {
			t.Errorf("%s is another one each time", name)
		}
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(text); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "xterm.") {
			terminal += b.Len()
		} else {
			size += b.Len()
		}
	}
	if size > largest || size+terminal > largestAll {
		t.Errorf("the page has %d bytes compressed, and may have %d; with a terminal %d of %d", size, largest, size+terminal, largestAll)
	}
	t.Logf("%d bytes compressed, %d more for a terminal", size, terminal)
	found, err := os.ReadDir(filepath.Join(root, "web", "dist"))
	if err != nil || len(found) != len(files) {
		t.Errorf("web/dist has %d files, and the sources give %d (%v)", len(found), len(files), err)
	}
}
