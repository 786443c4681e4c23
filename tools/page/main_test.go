package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
)

const root = "../.."

// largest is what the page may have, compressed.
const largest = 60_000

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
	size := 0
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
		size += b.Len()
	}
	if size > largest {
		t.Errorf("the page has %d bytes compressed, and may have %d", size, largest)
	}
	t.Logf("%d bytes compressed", size)
	found, err := os.ReadDir(filepath.Join(root, "web", "dist"))
	if err != nil || len(found) != len(files) {
		t.Errorf("web/dist has %d files, and the sources give %d (%v)", len(found), len(files), err)
	}
}
