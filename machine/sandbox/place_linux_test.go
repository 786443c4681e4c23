package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// What somebody else put in the place of root's folders is refused by every
// method, and nothing behind it is touched.
func TestPlacesThatAreNotRoots(t *testing.T) {
	for name, test := range map[string]struct {
		id   string
		make func(f *fixture, victim string) error
	}{
		"a link": {"place-not-trusted", func(f *fixture, victim string) error { return os.Symlink(victim, f.Nodes) }},
		"a file": {"place-not-trusted", func(f *fixture, _ string) error { return os.WriteFile(f.Nodes, nil, 0o644) }},
		"of another user": {"place-not-trusted", func(f *fixture, _ string) error {
			return errors.Join(os.Mkdir(f.Nodes, 0o755), os.Chown(f.Nodes, 65534, 65534))
		}},
		"open to all": {"place-not-trusted", func(f *fixture, _ string) error {
			return errors.Join(os.Mkdir(f.Nodes, 0o755), os.Chmod(f.Nodes, 0o777))
		}},
		"below one that is open to all": {"place-not-trusted", func(f *fixture, _ string) error {
			return errors.Join(os.Mkdir(f.Nodes, 0o755), os.Chmod(f.Root, 0o777))
		}},
		"disks without a record": {"place-not-trusted", func(f *fixture, _ string) error {
			return os.MkdirAll(f.Nodes+"/master/upper", 0o755)
		}},
		"a record that is a link": {"place-not-trusted", func(f *fixture, victim string) error {
			return errors.Join(os.Mkdir(f.Nodes, 0o755), os.Symlink(victim+"/lab.json", f.Nodes+"/lab.json"))
		}},
		"a record that is a pipe": {"place-not-trusted", func(f *fixture, _ string) error {
			return errors.Join(os.Mkdir(f.Nodes, 0o755), unix.Mkfifo(f.Nodes+"/lab.json", 0o644))
		}},
		"a record of another user's": {"place-not-trusted", func(f *fixture, _ string) error {
			return errors.Join(f.driver().place.claim(), os.Chown(f.Nodes+"/lab.json", 65534, 65534))
		}},
		"another user's lab": {"place-not-yours", func(f *fixture, _ string) error {
			cfg := f.driver().cfg
			cfg.UID = 65534
			return New(cfg).place.claim()
		}},
		"another lab": {"place-not-yours", func(f *fixture, _ string) error {
			cfg := f.driver().cfg
			l := *cfg.Lab
			l.Name = "other"
			cfg.Lab = &l
			return New(cfg).place.claim()
		}},
		"a link for the sockets": {"place-not-trusted", func(f *fixture, victim string) error {
			return errors.Join(os.MkdirAll(runtimeRoot, 0o755), os.Symlink(victim, runtimeDir(f.ID)))
		}},
		"sockets of another user": {"place-not-trusted", func(f *fixture, _ string) error {
			at := runtimeDir(f.ID)
			return errors.Join(os.MkdirAll(at, 0o755), os.Chown(at, 65534, 65534))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixtureBeside(t, "master")
			d := f.driver()
			victim := t.TempDir()
			canary := filepath.Join(victim, "master", "upper", "canary")
			if err := errors.Join(os.MkdirAll(filepath.Dir(canary), 0o755), os.WriteFile(canary, []byte("keep"), 0o600),
				os.WriteFile(filepath.Join(victim, "lab.json"), []byte(`{"format":1,"lab":"contract"}`), 0o644)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = errors.Join(os.RemoveAll(runtimeDir(f.ID)), os.Remove(runtimeRoot)) })
			if err := test.make(f, victim); err != nil {
				t.Fatal(err)
			}
			ctx, none := t.Context(), machine.Observer{}
			methods := map[string]func() error{
				"Preflight":       func() error { return d.Preflight(ctx) },
				"Up":              func() error { return d.Up(ctx, none) },
				"Start":           func() error { return d.Start(ctx, none) },
				"Halt":            func() error { return d.Halt(ctx, none) },
				"Destroy":         func() error { return d.Destroy(ctx, none) },
				"Destroy node":    func() error { return d.Destroy(ctx, none, "master") },
				"SaveSnapshot":    func() error { return d.SaveSnapshot(ctx, none, "one") },
				"RestoreSnapshot": func() error { return d.RestoreSnapshot(ctx, none, "one") },
				"DeleteSnapshot":  func() error { return d.DeleteSnapshot(ctx, none, "one") },
				"RoomToSave":      func() error { return d.RoomToSave(ctx) },
				"RoomToRestore":   func() error { return d.RoomToRestore(ctx, "one") },
				"Snapshots":       func() error { _, err := d.Snapshots(ctx); return err },
				"Status":          func() error { _, err := d.Status(ctx); return err },
				"Orphans":         func() error { _, err := d.Orphans(ctx); return err },
				"Endpoint":        func() error { _, err := d.Endpoint(ctx, "master"); return err },
			}
			for name, run := range methods {
				var e *trouble.Error
				if err := run(); !errors.As(err, &e) || e.ID != test.id || e.Exit != trouble.ExitRefused {
					t.Errorf("%s gives %v, want %s", name, err, test.id)
				}
			}
			if text := readText(canary); text != "keep" {
				t.Error("what the link leads to was touched")
			}
			if entries, err := os.ReadDir(victim); err != nil || len(entries) != 2 {
				t.Errorf("it holds %v (%v)", entries, err)
			}
		})
	}
}

// What root in a node made immutable is removed all the same.
func TestImmutableFilesAreRemoved(t *testing.T) {
	f := newFixture(t, "master")
	f.makeDisks(t)
	dir := f.driver().disks.disk("master").docker() + "/volumes"
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(dir+"/file", nil, 0o600), os.Symlink("/etc/passwd", dir+"/link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir + "/file", dir} {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		err = unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, 0x10)
		file.Close()
		if err != nil {
			t.Skipf("this file system has no immutable files: %v", err)
		}
	}
	f.destroy(t)
}
