package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/dcalab/dcalab/trouble"
)

// TestMain lets the test binary be the second process of TestLockTwoProcesses.
func TestMain(m *testing.M) {
	if root := os.Getenv("LAB_TEST_LOCK_IN"); root != "" {
		os.Exit(holdLock(root))
	}
	os.Exit(m.Run())
}

// holdLock takes the lock of lab dca, says so on stdout, and holds it until
// stdin ends.
func holdLock(root string) int {
	s, err := OpenState(root, "dca", Owner{})
	if err == nil {
		_, err = s.Lock(context.Background(), "dcalab up", time.Minute, nil)
	}
	fmt.Println("locked", err)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return 0 // without unlocking: the operating system lets go
}

func newState(t *testing.T) *State {
	t.Helper()
	s, err := OpenState(t.TempDir(), "dca", Owner{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	return info.Mode()
}

func TestStateCreate(t *testing.T) {
	s := newState(t)
	if _, err := os.Lstat(filepath.Join(s.root, StateFolder)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("opening the state made a folder")
	}
	must(t, s.Create())
	must(t, s.Create())
	if _, err := os.Lstat(s.Dir()); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		for _, dir := range []string{filepath.Dir(s.Dir()), s.Dir()} {
			if got := mode(t, dir); got != fs.ModeDir|0o700 {
				t.Errorf("%s has mode %v", dir, got)
			}
		}
	}
	ignore, err := os.ReadFile(filepath.Join(s.root, StateFolder, ".gitignore"))
	if err != nil || string(ignore) != "*\n" {
		t.Errorf(".gitignore is %q, %v", ignore, err)
	}
}

func TestStateNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "../x", `a\b`, "/x"} {
		if _, err := OpenState(t.TempDir(), name, Owner{}); err == nil {
			t.Errorf("OpenState took the lab name %q", name)
		}
	}
}

func TestStateRoot(t *testing.T) {
	top := t.TempDir()
	deep := filepath.Join(top, "a", "b")
	must(t, os.MkdirAll(deep, 0o755))
	root := func(f *File) string {
		t.Helper()
		got, err := StateRoot(f, deep, Owner{})
		must(t, err)
		return got
	}
	if got := root(&File{}); got != deep {
		t.Errorf("no .dcalab anywhere: %s, want %s", got, deep)
	}
	must(t, os.Mkdir(filepath.Join(top, StateFolder), 0o700))
	if got := root(&File{}); got != top {
		t.Errorf(".dcalab above: %s, want %s", got, top)
	}
	if got := root(&File{Path: filepath.Join(top, "a", FileName)}); got != filepath.Join(top, "a") {
		t.Errorf("beside labs.yaml: %s", got)
	}
	must(t, os.Symlink(top, filepath.Join(top, "a", StateFolder)))
	if got := root(&File{}); got != top {
		t.Errorf("a link of the name .dcalab: %s, want %s", got, top)
	}
}

func TestStateRefusesWhatItCannotTrust(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes and owners of Unix")
	}
	elsewhere := t.TempDir()
	for name, plant := range map[string]func(root string) error{
		".dcalab is a link": func(root string) error {
			return os.Symlink(elsewhere, filepath.Join(root, StateFolder))
		},
		".dcalab inside is a link": func(root string) error {
			return errors.Join(os.Mkdir(filepath.Join(root, "x"), 0o700), os.Symlink("x", filepath.Join(root, StateFolder)))
		},
		"the lab is a link": func(root string) error {
			return errors.Join(
				os.Mkdir(filepath.Join(root, StateFolder), 0o700),
				os.Symlink(elsewhere, filepath.Join(root, StateFolder, "dca")))
		},
		".dcalab is a file": func(root string) error {
			return os.WriteFile(filepath.Join(root, StateFolder), nil, 0o600)
		},
		".dcalab is everybody's": func(root string) error {
			dir := filepath.Join(root, StateFolder)
			return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) // past the umask
		},
		".dcalab is somebody else's": func(root string) error {
			dir := filepath.Join(root, StateFolder)
			return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 4242, 4242))
		},
		"the lab is somebody else's": func(root string) error {
			dir := filepath.Join(root, StateFolder, "dca")
			return errors.Join(os.MkdirAll(dir, 0o700), os.Chown(dir, 4242, 4242))
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			before, err := OpenState(root, "dca", Owner{UID: 1000, GID: 1000})
			must(t, err)
			if strings.Contains(name, "somebody") {
				asRoot(t)
			}
			must(t, plant(root))
			_, openErr := OpenState(root, "dca", Owner{UID: 1000, GID: 1000})
			for what, err := range map[string]error{
				"OpenState": openErr,
				"Create":    before.Create(),
				"WriteFile": before.WriteFile("x", nil, 0o600),
				"Forget":    before.Forget(),
			} {
				var e *trouble.Error
				if !errors.As(err, &e) || e.ID != "state-not-trusted" || e.Exit != trouble.ExitRefused {
					t.Errorf("%s: %v", what, err)
				} else if strings.HasSuffix(name, " is a link") && !strings.Contains(e.Why, "symbolic link") {
					t.Errorf("%s does not say that it is a link: %v", what, err)
				}
			}
			if left, _ := os.ReadDir(elsewhere); len(left) > 0 {
				t.Errorf("%s was written into the folder of another", left)
			}
		})
	}
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

// A file is replaced, never written through: a link planted in its place is
// gone, and what it pointed at is as it was.
func TestWriteFileReplacesALink(t *testing.T) {
	s := newState(t)
	must(t, s.Create())
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(victim, []byte("precious"), 0o600))
	must(t, os.Symlink(victim, s.SSHConfig()))
	if data, err := s.ReadFile("ssh_config"); err == nil {
		t.Errorf("read %q through a link that leads out", data)
	}
	must(t, s.WriteFile("ssh_config", []byte("Host *\n"), 0o600))
	if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
		t.Errorf("the victim is %q, %v", data, err)
	}
	if got := mode(t, s.SSHConfig()); got != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %v", got)
	}
	// The log is appended to, and does not lead out either.
	must(t, os.Symlink(victim, s.Log()))
	if f, err := s.OpenLog(); err == nil {
		t.Errorf("opened %s through a link", f.Name())
	}
}

func TestOwnerGetsTheFiles(t *testing.T) {
	asRoot(t)
	s, err := OpenState(t.TempDir(), "dca", Owner{UID: 1234, GID: 2345})
	must(t, err)
	must(t, s.Create())
	must(t, s.WriteFile("a/b/c", []byte("x"), 0o600))
	must(t, os.Chown(s.path("a/b/c"), 0, 0))
	must(t, s.WriteFile("a/b/c", []byte("x"), 0o600)) // only its owner is another
	_, err = s.EnsureIdentity()
	must(t, err)
	log, err := s.OpenLog()
	must(t, err)
	must(t, log.Close())
	unlock, err := s.Lock(t.Context(), "test", time.Minute, nil)
	must(t, err)
	defer func() { must(t, unlock()) }()
	files := 0
	must(t, filepath.WalkDir(filepath.Join(s.root, StateFolder), func(path string, _ fs.DirEntry, err error) error {
		must(t, err)
		files++
		if uid, gid := ownerOf(t, path); uid != 1234 || gid != 2345 {
			t.Errorf("%s belongs to %d:%d", path, uid, gid)
		}
		return nil
	}))
	if files < 10 {
		t.Errorf("only %d files were looked at", files)
	}
}

func TestRecord(t *testing.T) {
	s := newState(t)
	if _, ok, err := s.ReadRecord(); ok || err != nil {
		t.Fatalf("no folder: %v, %v", ok, err)
	}
	must(t, s.Create())
	if _, ok, err := s.ReadRecord(); ok || err != nil {
		t.Fatalf("no record: %v, %v", ok, err)
	}
	l, err := embedded(t).Lab("dca")
	must(t, err)
	want := NewRecord(l, DriverVagrant, "libvirt", time.Now())
	if other := NewRecord(l, DriverVagrant, "libvirt", time.Now()); len(want.ID) != 12 || want.ID == other.ID {
		t.Errorf("ids %q and %q", want.ID, other.ID)
	}
	must(t, s.WriteRecord(want))
	got, ok, err := s.ReadRecord()
	if !reflect.DeepEqual(got, want) || !ok || err != nil {
		t.Errorf("read %+v, %v, %v; wrote %+v", got, ok, err, want)
	}
	if m := mode(t, s.path(recordFile)); m != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %v", m)
	}
	entries, err := os.ReadDir(s.Dir())
	must(t, err)
	if len(entries) != 1 { // lab.json: nothing half written is left
		t.Errorf("the folder holds %v", entries)
	}
	for id, data := range map[string]string{
		"record-corrupt": `{"format": 1, "id": "0123`,
		"record-newer":   `{"format": 2, "id": "0123456789ab", "driver": "sandbox"}`,
	} {
		must(t, s.WriteFile(recordFile, []byte(data), 0o600))
		_, _, err := s.ReadRecord()
		var e *trouble.Error
		if !errors.As(err, &e) || e.ID != id || len(e.Next) == 0 {
			t.Errorf("%s: %v", data, err)
		}
	}
	for _, data := range []string{"", "{}", `{"format": 1, "id": "../../x", "driver": "sandbox"}`} {
		must(t, s.WriteFile(recordFile, []byte(data), 0o600))
		if _, ok, err := s.ReadRecord(); ok || err == nil {
			t.Errorf("took %q for a record", data)
		}
	}
}

func TestForget(t *testing.T) {
	s := newState(t)
	must(t, s.Forget()) // of nothing
	must(t, s.Create())
	must(t, s.WriteFile("nodes/master/disk", nil, 0o600))
	_, err := s.EnsureIdentity()
	must(t, err)
	log, err := s.OpenLog()
	must(t, err)
	must(t, log.Close())
	unlock, err := s.Lock(t.Context(), "dcalab destroy", time.Minute, nil)
	must(t, err)
	must(t, s.Forget())
	must(t, s.Forget())
	entries, err := os.ReadDir(s.Dir())
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "dcalab.log lock lock.json" {
		t.Errorf("left: %s", got)
	}
	must(t, unlock())
}

func TestIdentity(t *testing.T) {
	s := newState(t)
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			key, err := s.EnsureIdentity()
			if err != nil {
				t.Error(err)
			}
			got[i] = key
		})
	}
	wg.Wait()
	for _, key := range got {
		if key != got[0] {
			t.Fatalf("several keys: %q", got)
		}
	}
	public, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(got[0]))
	if err != nil || public.Type() != ssh.KeyAlgoED25519 || comment != "dcalab-dca" {
		t.Errorf("public key %q: %v", got[0], err)
	}
	private, err := os.ReadFile(s.Identity())
	must(t, err)
	if !strings.HasPrefix(string(private), "-----BEGIN OPENSSH PRIVATE KEY-----\n") {
		t.Errorf("not in OpenSSH's format: %.40q", private)
	}
	if m := mode(t, s.Identity()); m != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %v", m)
	}
	if pub, err := os.ReadFile(s.Identity() + ".pub"); err != nil || string(pub) != got[0]+"\n" {
		t.Errorf("identity.pub is %q, %v", pub, err)
	}
	must(t, s.WriteFile("identity", []byte("garbage"), 0o600))
	var e *trouble.Error
	if _, err := s.EnsureIdentity(); !errors.As(err, &e) || e.ID != "identity-corrupt" || strings.Contains(err.Error(), "garbage") {
		t.Errorf("a broken key: %v", err)
	}
}

func TestKnownHosts(t *testing.T) {
	s := newState(t)
	key := func(lab string) ssh.PublicKey {
		t.Helper()
		other, err := OpenState(s.root, lab, Owner{})
		must(t, err)
		line, err := other.EnsureIdentity()
		must(t, err)
		k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		must(t, err)
		return k
	}
	one, two := key("one"), key("two")
	must(t, s.ForgetHost("node01"))
	must(t, s.Create())
	must(t, s.WriteFile("known_hosts", []byte("# by hand\nother.example ssh-ed25519 AAAA"), 0o600))
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := s.PinHost(fmt.Sprintf("node%02d", i), one); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	must(t, s.PinHost("node01", two))
	must(t, s.ForgetHost("node02"))
	data, err := os.ReadFile(s.KnownHosts())
	must(t, err)
	text := string(data)
	if n := strings.Count(text, "\n"); n != 2+9 {
		t.Errorf("%d lines:\n%s", n, text)
	}
	for _, want := range []string{"# by hand\n", "other.example ssh-ed25519 AAAA\n", knownhosts.Line([]string{"node01"}, two) + "\n", knownhosts.Line([]string{"node09"}, one) + "\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "node02 ") || strings.Contains(text, knownhosts.Line([]string{"node01"}, one)) {
		t.Errorf("a key that was to go is there:\n%s", text)
	}
}

// status --watch pins a host key while up, in another terminal, pins others.
func TestTwoProcessesPinKeysAtOnce(t *testing.T) {
	one := newState(t)
	must(t, one.Create())
	const each = 20
	line, err := one.EnsureIdentity()
	must(t, err)
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	must(t, err)
	var all sync.WaitGroup
	for p := range 2 {
		s, err := OpenState(one.root, "dca", Owner{}) // another process has its own
		must(t, err)
		all.Go(func() {
			for i := range each {
				if err := s.PinHost(fmt.Sprintf("node%d-%d", p, i), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for p := range 2 {
		for i := range each {
			if keys, err := one.HostKeys(fmt.Sprintf("node%d-%d", p, i)); err != nil || len(keys) != 1 {
				t.Fatalf("the key of node%d-%d is lost: %d keys (%v)", p, i, len(keys), err)
			}
		}
	}
}

// What changes nothing writes nothing, and makes no folder.
func TestForgettingAnUnknownHostWritesNothing(t *testing.T) {
	s := newState(t)
	must(t, s.ForgetHost("nobody"))
	if _, err := os.Lstat(filepath.Dir(s.Dir())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it made the folder (%v)", err)
	}
}

func TestLock(t *testing.T) {
	s := newState(t)
	unlock, err := s.Lock(t.Context(), "dcalab up", time.Minute, func(Holder) { t.Error("waited for a free lock") })
	must(t, err)

	told := 0
	_, err = s.Lock(t.Context(), "dcalab halt", 3*lockPoll, func(h Holder) {
		told++
		if h.PID != os.Getpid() || h.Command != "dcalab up" {
			t.Errorf("holder %+v", h)
		}
	})
	if trouble.ExitStatus(err) != trouble.ExitRefused || !strings.Contains(err.Error(), fmt.Sprintf(`"dcalab up", process %d`, os.Getpid())) {
		t.Errorf("a lock that is held: %v", err)
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}

	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.Lock(ctx, "dcalab halt", time.Minute, func(Holder) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	must(t, unlock())
	again, err := s.Lock(t.Context(), "dcalab halt", time.Minute, nil)
	must(t, err)
	must(t, again())
}

// A second process is kept out, and the lock of one that was killed is free.
// A full disk is what destroy is to mend: that nothing can be said about the
// lock keeps nobody from it.
func TestLockNeedsNoRoom(t *testing.T) {
	s := newState(t)
	must(t, s.Create())
	must(t, os.MkdirAll(filepath.Join(s.path(holderFile), "in the way"), 0o700))
	unlock, err := s.Lock(t.Context(), "dcalab destroy", time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	var held *trouble.Error
	if _, err := s.Lock(t.Context(), "dcalab up", 0, nil); !errors.As(err, &held) || held.ID != "lab-locked" {
		t.Errorf("it is not held: %v", err)
	}
}

func TestLockTwoProcesses(t *testing.T) {
	s := newState(t)
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), "LAB_TEST_LOCK_IN="+s.root)
	stdin, err := other.StdinPipe()
	must(t, err)
	defer stdin.Close()
	stdout, err := other.StdoutPipe()
	must(t, err)
	must(t, other.Start())
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "locked <nil>\n" {
		t.Fatalf("the other process: %q, %v", line, err)
	}
	want := fmt.Sprintf(`"dcalab up", process %d`, other.Process.Pid)
	_, err = s.Lock(t.Context(), "dcalab halt", 0, nil)
	if trouble.ExitStatus(err) != trouble.ExitRefused || !strings.Contains(err.Error(), want) {
		t.Errorf("locked while %s holds it: %v", want, err)
	}
	unlock, err := s.Lock(t.Context(), "dcalab halt", time.Minute, func(h Holder) {
		if h.PID != other.Process.Pid {
			t.Errorf("holder %+v", h)
		}
		must(t, other.Process.Kill())
	})
	must(t, err)
	must(t, unlock())
	_ = other.Wait() // it was killed, and says so
}

func TestWriteNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	must(t, WriteNew(path, []byte("one")))
	err := WriteNew(path, []byte("two"))
	if trouble.ExitStatus(err) != trouble.ExitRefused || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a file that exists: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "one" {
		t.Errorf("the file is %q, %v", data, err)
	}
	if err := WriteNew(filepath.Join(path, "x"), nil); err == nil {
		t.Error("wrote below a file")
	}
}

// A lock on a file that was removed keeps nobody out.
func TestForgetKeepsTheLocks(t *testing.T) {
	s, err := OpenState(t.TempDir(), "dca", Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(); err != nil {
		t.Fatal(err)
	}
	if err := s.Edit("x", func(old []byte) ([]byte, error) { return append(old, 'x'), nil }); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(s.path(editFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(s.path(editFile)); err != nil || !os.SameFile(before, after) {
		t.Errorf("%s is another one now (%v)", editFile, err)
	}
}
