package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// testIndex is an index in a folder of its own.
func testIndex(t *testing.T) *Index {
	t.Helper()
	home := t.TempDir()
	x, err := OpenIndex(func(name string) string { return map[string]string{"XDG_STATE_HOME": home}[name] }, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// made makes a lab in a folder of its own, as far as its record.
func made(t *testing.T, name string) Place {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenState(root, name, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteRecord(NewRecord(&Lab{Name: name}, DriverSandbox, "", time.Now())); err != nil {
		t.Fatal(err)
	}
	return Place{Format: indexFormat, Root: root, Lab: name, Config: filepath.Join(root, FileName)}
}

func places(t *testing.T, x *Index) ([]Place, []string) {
	t.Helper()
	p, notes, err := x.Places()
	if err != nil {
		t.Fatal(err)
	}
	return p, notes
}

func TestIndexRemembersLabs(t *testing.T) {
	x := testIndex(t)
	if p, notes := places(t, x); len(p) > 0 || len(notes) > 0 {
		t.Errorf("an index that does not exist holds %v, %v", p, notes)
	}
	if _, err := os.Stat(x.Dir()); !os.IsNotExist(err) {
		t.Errorf("reading made %s", x.Dir())
	}
	one, two := made(t, "dca"), made(t, "dca")
	two.Config = ""
	for _, p := range []Place{one, two, one} {
		if err := x.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	want := []Place{one, two}
	slices.SortFunc(want, func(a, b Place) int { return strings.Compare(a.Root, b.Root) })
	if p, notes := places(t, x); !slices.Equal(p, want) || len(notes) > 0 {
		t.Errorf("got %v, %v\nwant %v", p, notes, want)
	}
	info, err := os.Stat(filepath.Join(x.Dir(), one.name()))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	for range 2 {
		if err := x.Remove(one); err != nil {
			t.Fatal(err)
		}
	}
	if p, _ := places(t, x); !slices.Equal(p, []Place{two}) {
		t.Errorf("after a removal: %v", p)
	}
}

// A lab whose folder is reached through links as well is one lab.
func TestIndexKnowsALabByItsRealFolder(t *testing.T) {
	p := made(t, "dca")
	alias := filepath.Join(t.TempDir(), "alias")
	if err := os.Symlink(p.Root, alias); err != nil {
		t.Skip(err)
	}
	linked := Place{Format: indexFormat, Root: alias, Lab: "dca", Config: filepath.Join(alias, FileName)}
	// old adds the entry of a dcalab that told labs apart by the path as it was typed.
	old := func(x *Index) error {
		data, err := json.Marshal(linked)
		return errors.Join(err, os.WriteFile(filepath.Join(x.Dir(), linked.name()), data, 0o600))
	}
	for name, before := range map[string]func(x *Index) error{
		"added through the link":          func(x *Index) error { return x.Add(linked) },
		"added both ways":                 func(x *Index) error { return errors.Join(x.Add(p), x.Add(linked)) },
		"an old index has both":           func(x *Index) error { return errors.Join(x.Add(p), old(x)) },
		"an old index has that of a link": func(x *Index) error { return errors.Join(x.Add(p), x.Remove(p), old(x)) },
	} {
		t.Run(name, func(t *testing.T) {
			x := testIndex(t)
			if err := before(x); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if got, notes := places(t, x); !slices.Equal(got, []Place{p}) || len(notes) > 0 {
					t.Errorf("got %v, %v\nwant %v", got, notes, p)
				}
			}
			if entries, _ := os.ReadDir(x.Dir()); len(entries) != 1 || entries[0].Name() != p.name() {
				t.Errorf("the index holds %v", entries)
			}
			if err := x.Remove(linked); err != nil {
				t.Fatal(err)
			}
			if got, _ := places(t, x); len(got) > 0 {
				t.Errorf("after a removal through the link: %v", got)
			}
		})
	}
}

func TestIndexHeals(t *testing.T) {
	kept := made(t, "kept")
	for name, c := range map[string]struct {
		harm func(t *testing.T, x *Index, p Place)
		note string
		// stays: the entry's file is still there afterwards.
		stays, listed bool
	}{
		"the folder was removed": {harm: func(t *testing.T, _ *Index, p Place) {
			t.Helper()
			if err := os.RemoveAll(p.Root); err != nil {
				t.Fatal(err)
			}
		}},
		"the lab was destroyed": {harm: func(t *testing.T, _ *Index, p Place) {
			t.Helper()
			if err := os.Remove(filepath.Join(p.Root, StateFolder, p.Lab, recordFile)); err != nil {
				t.Fatal(err)
			}
		}},
		"the lab's record is broken": {harm: func(t *testing.T, _ *Index, p Place) {
			t.Helper()
			spoil(t, filepath.Join(p.Root, StateFolder, p.Lab, recordFile), "{")
		}, stays: true, listed: true},
		"half a file": {harm: func(t *testing.T, x *Index, p Place) {
			t.Helper()
			spoil(t, filepath.Join(x.Dir(), p.name()), `{"format":1,"root":"/x`)
		}, note: "no entry"},
		"an empty file": {harm: func(t *testing.T, x *Index, p Place) {
			t.Helper()
			spoil(t, filepath.Join(x.Dir(), p.name()), "")
		}, note: "no entry"},
		"an entry of another lab": {harm: func(t *testing.T, x *Index, p Place) {
			t.Helper()
			spoil(t, filepath.Join(x.Dir(), p.name()), `{"format":1,"root":"/x","lab":"dca"}`)
		}, note: "no entry"},
		"a folder": {harm: func(t *testing.T, x *Index, p Place) {
			t.Helper()
			name := filepath.Join(x.Dir(), p.name())
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(name, 0o700); err != nil {
				t.Fatal(err)
			}
		}, note: "no entry"},
		"of a newer dcalab": {harm: func(t *testing.T, x *Index, p Place) {
			t.Helper()
			spoil(t, filepath.Join(x.Dir(), p.name()), `{"format":3}`)
		}, note: "newer", stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			x, p := testIndex(t), made(t, "dca")
			for _, p := range []Place{kept, p} {
				if err := x.Add(p); err != nil {
					t.Fatal(err)
				}
			}
			c.harm(t, x, p)
			got, notes := places(t, x)
			if !slices.Contains(got, kept) {
				t.Error("the other lab is lost")
			}
			if slices.Contains(got, p) != c.listed {
				t.Errorf("listed: %v", got)
			}
			if text := strings.Join(notes, "\n"); (c.note == "") != (text == "") || !strings.Contains(text, c.note) {
				t.Errorf("notes %q, want %q", text, c.note)
			}
			if _, err := os.Stat(filepath.Join(x.Dir(), p.name())); (err == nil) != c.stays {
				t.Errorf("the entry afterwards: %v", err)
			}
			// What is gone may come back.
			if err := x.Add(p); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIndexBearsManyWriters(t *testing.T) {
	x := testIndex(t)
	var all []Place
	for i := range 20 {
		all = append(all, made(t, fmt.Sprintf("lab%d", i)))
	}
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() {
			if err := x.Add(p); err != nil {
				t.Error(err)
			}
			if _, notes, err := x.Places(); err != nil || len(notes) > 0 {
				t.Error(notes, err)
			}
		})
	}
	wg.Wait()
	if got, _ := places(t, x); len(got) != len(all) {
		t.Errorf("%d labs of %d", len(got), len(all))
	}
}

// Root writes for a user, into a folder where that user can plant links.
func TestIndexFollowsNoLinkOut(t *testing.T) {
	x, elsewhere := testIndex(t), t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(x.base, "dcalab")); err != nil {
		t.Skip(err)
	}
	if err := x.Add(made(t, "dca")); err == nil {
		t.Error("it wrote through a link")
	}
	if entries, _ := os.ReadDir(elsewhere); len(entries) > 0 {
		t.Errorf("it wrote %v", entries)
	}
	// Nor does it remove there what it takes for a broken entry.
	if err := os.Mkdir(filepath.Join(elsewhere, "labs"), 0o700); err != nil {
		t.Fatal(err)
	}
	spoil(t, filepath.Join(elsewhere, "labs", "precious.json"), "no entry")
	if _, _, err := x.Places(); err == nil {
		t.Error("it read through a link")
	}
	if _, err := os.Stat(filepath.Join(elsewhere, "labs", "precious.json")); err != nil {
		t.Error(err)
	}
}

func FuzzParsePlace(f *testing.F) {
	f.Add([]byte(`{"format":1,"root":"/home/u/labs","lab":"dca","config":"/home/u/labs/labs.yaml"}`))
	f.Add([]byte(`{"format":1,"root":"/","lab":".."}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, verdict := parsePlace(data); verdict == entryGood {
			if _, err := OpenState(t.TempDir(), p.Lab, Owner{}); err != nil {
				t.Errorf("a lab that no folder can have: %v", err)
			}
		}
	})
}

func spoil(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
