package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const smallLab = "version: 1\nlabs: {one: {subnet: 10.9.9.0/24, nodes: [{name: m, ip: 10.9.9.9, role: manager}]}}\n"

// Whatever lies there in place of a labs.yaml: nothing is read that has no end,
// nothing is waited for, and the answer has an id.
func TestWhatIsNoLabsFile(t *testing.T) {
	for name, tc := range map[string]struct {
		make         func(path string) error
		named, found string // ids
	}{
		"a folder": {func(p string) error { return os.Mkdir(p, 0o755) }, "labs-not-a-file", "labs-not-a-file"},
		// A FIFO without a writer is empty.
		"a FIFO":               {func(p string) error { return unix.Mkfifo(p, 0o644) }, "labs-invalid", "labs-not-a-file"},
		"a link to /dev/zero":  {func(p string) error { return os.Symlink("/dev/zero", p) }, "labs-invalid", "labs-not-a-file"},
		"a link to nothing":    {func(p string) error { return os.Symlink("nothing", p) }, "labs-unreadable", "labs-unreadable"},
		"a link to itself":     {func(p string) error { return os.Symlink(p, p) }, "labs-unreadable", "labs-unreadable"},
		"64 GiB of nothing":    {func(p string) error { return sparse(p, 64<<30) }, "labs-invalid", "labs-invalid"},
		"one byte too much":    {func(p string) error { return sparse(p, MaxSize+1) }, "labs-invalid", "labs-invalid"},
		"a socket":             {func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o600, 0) }, "labs-unreadable", "labs-not-a-file"},
		"a folder through one": {func(p string) error { return os.Symlink("/proc", p) }, "labs-not-a-file", "labs-not-a-file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), FileName)
			must(t, tc.make(path))
			if _, err := Load(path, Owner{}); idOfTrouble(err) != tc.named {
				t.Errorf("named: %q (%v), want %s", idOfTrouble(err), err, tc.named)
			}
			found, err := Find(filepath.Dir(path), Owner{})
			if err == nil {
				_, err = LoadFound(found.Path, Owner{})
			}
			if idOfTrouble(err) != tc.found {
				t.Errorf("found: %q (%v), want %s", idOfTrouble(err), err, tc.found)
			}
		})
	}
}

func sparse(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// A pipe that somebody named is read, also where its writer is slow to begin;
// what has no folder keeps no state.
func TestLabsThroughAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	must(t, unix.Mkfifo(path, 0o600))
	w, err := os.OpenFile(path, os.O_RDWR, 0) // both ends: opening one waits for the other
	must(t, err)
	type loaded struct {
		f   *File
		err error
	}
	done := make(chan loaded)
	go func() {
		f, err := Load(path, Owner{})
		done <- loaded{f, err}
	}()
	_, err = w.WriteString(smallLab)
	must(t, err)
	// The reader has the pipe open before its last writer is gone: it took the text.
	for {
		n, err := unix.IoctlGetInt(int(w.Fd()), unix.TIOCINQ)
		must(t, err)
		if n == 0 {
			break
		}
		select {
		case got := <-done:
			t.Fatalf("it ended before it had read: %v", got.err)
		default:
			runtime.Gosched()
		}
	}
	must(t, w.Close())
	got := <-done
	must(t, got.err)
	if _, err := StateRoot(got.f, t.TempDir(), Owner{}); idOfTrouble(err) != "labs-not-a-file" {
		t.Errorf("the state's folder of a pipe: %v", err)
	}
}

// A labs.yaml of another user is not taken because it lies above.
func TestLabsOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files away needs root")
	}
	const other, me = 4242, 4343
	own := func(t *testing.T, path string, uid int) {
		t.Helper()
		must(t, os.WriteFile(path, []byte(smallLab), 0o644)) //nolint:gosec // others read it
		must(t, os.Chown(path, uid, uid))
	}
	for name, tc := range map[string]struct {
		below, above int // owners of the two files; -1 is none
		dir          string
		owner        Owner
		want         string // the file taken, from the top; "" is none
		passed       bool
		id           string
	}{
		"another's above":             {-1, other, "b", Owner{}, "", true, ""},
		"another's above, under sudo": {-1, other, "b", Owner{me, me}, "", true, ""},
		"another's here":              {other, -1, "b", Owner{me, me}, "", false, "labs-not-yours"},
		"another's above one's own":   {me, other, "b", Owner{me, me}, "b", false, ""},
		"one's own above, under sudo": {-1, me, "b", Owner{me, me}, ".", false, ""},
		"root's above":                {-1, 0, "b", Owner{me, me}, ".", false, ""},
		"one's own in /tmp's like":    {-1, me, "b", Owner{me, me}, ".", false, ""},
		"root without sudo":           {-1, me, "b", Owner{}, "", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			must(t, os.Chmod(top, 0o1777)) //nolint:gosec // as /tmp is
			must(t, os.Mkdir(filepath.Join(top, "b"), 0o755))
			if tc.below >= 0 {
				own(t, filepath.Join(top, "b", FileName), tc.below)
			}
			if tc.above >= 0 {
				own(t, filepath.Join(top, FileName), tc.above)
			}
			found, err := Find(filepath.Join(top, tc.dir), tc.owner)
			if idOfTrouble(err) != tc.id {
				t.Fatalf("error %v, want %q", err, tc.id)
			}
			want := ""
			if tc.want != "" {
				want = filepath.Join(top, tc.want, FileName)
			}
			if found.Path != want || (len(found.Passed) > 0) != tc.passed {
				t.Errorf("found %+v, want %q, passed %v", found, want, tc.passed)
			}
		})
	}

	t.Run("links", func(t *testing.T) {
		top := t.TempDir()
		must(t, os.Mkdir(filepath.Join(top, "b"), 0o755))
		own(t, filepath.Join(top, "mine"), me)
		own(t, filepath.Join(top, "theirs"), other)
		link := filepath.Join(top, FileName)
		for target, owner := range map[string]int{"mine": other, "theirs": me} {
			must(t, os.Symlink(target, link))
			must(t, os.Lchown(link, owner, owner))
			if found, err := Find(filepath.Join(top, "b"), Owner{me, me}); err != nil || found.Path != "" || len(found.Passed) != 1 {
				t.Errorf("a link of %d to %s: %+v, %v", owner, target, found, err)
			}
			must(t, os.Remove(link))
		}
	})

	t.Run("swapped after it was found", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), FileName)
		own(t, path, other)
		if _, err := LoadFound(path, Owner{}); idOfTrouble(err) != "labs-not-yours" {
			t.Errorf("read: %v", err)
		}
		if _, err := Load(path, Owner{}); err != nil {
			t.Errorf("named by its user: %v", err)
		}
	})
}

// Root reads for a user what that user may read, by their groups too, and goes
// on as root.
func TestReadAsTheUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("reading as another user needs root")
	}
	nobody := Owner{65534, 65534}
	top := t.TempDir()
	for dir := top; dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o001 == 0 {
			must(t, os.Chmod(dir, info.Mode().Perm()|0o011))
		}
	}
	file := func(name string, uid, gid int, mode fs.FileMode) string {
		path := filepath.Join(top, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(smallLab), 0o600))
		must(t, os.Chown(path, uid, gid))
		must(t, os.Chmod(path, mode))
		return path
	}
	secret := file("secret", 0, 0, 0o600)
	hidden := file("closed/labs", 65534, 65534, 0o644)
	must(t, os.Chmod(filepath.Dir(hidden), 0o700)) //nolint:gosec // root's own
	for path, allowed := range map[string]bool{
		secret: false, hidden: false, file("of root's group", 0, 0, 0o640): false, file("theirs, unreadable", 65534, 65534, 0o200): false,
		file("theirs", 65534, 65534, 0o400): true, file("of their group", 0, 65534, 0o040): true, file("for all", 0, 0, 0o644): true,
	} {
		_, err := Load(path, nobody)
		if allowed && err != nil || !allowed && (!errors.Is(err, fs.ErrPermission) || idOfTrouble(err) != "labs-unreadable") {
			t.Errorf("%s: %v", path, err)
		}
		if err != nil && strings.Contains(err.Error(), "subnet") {
			t.Errorf("%s: the error has what is in it: %v", path, err)
		}
	}
	// This process is root still, with all its threads.
	for range 20 {
		if _, err := Load(secret, nobody); !errors.Is(err, fs.ErrPermission) {
			t.Fatal(err)
		}
		if _, err := Load(secret, Owner{}); err != nil {
			t.Fatal(err)
		}
	}
	if syscall.Geteuid() != 0 {
		t.Error("no longer root")
	}
}

// A file that was probably meant is told of.
func TestMisspeltLabs(t *testing.T) {
	top := t.TempDir()
	deep := filepath.Join(top, "b")
	must(t, os.Mkdir(deep, 0o755))
	for _, name := range []string{"labs.yml", "lab.yaml"} {
		must(t, os.WriteFile(filepath.Join(top, name), []byte(smallLab), 0o600))
		must(t, os.WriteFile(filepath.Join(deep, name), []byte(smallLab), 0o600))
	}
	found, err := Find(deep, Owner{})
	must(t, err)
	// What is above and may be another program's is not.
	want := []string{filepath.Join(deep, "labs.yml"), filepath.Join(deep, "lab.yaml"), filepath.Join(top, "labs.yml")}
	if strings.Join(found.Misspelt, " ") != strings.Join(want, " ") {
		t.Errorf("misspelt %q, want %q", found.Misspelt, want)
	}
	must(t, os.WriteFile(filepath.Join(deep, FileName), []byte(smallLab), 0o600))
	if found, err = Find(deep, Owner{}); err != nil || len(found.Misspelt) > 0 {
		t.Errorf("beside a labs.yaml: %+v, %v", found, err)
	}
}
