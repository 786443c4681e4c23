package lab

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/trouble"
)

// Forget must not walk into what is mounted: it would empty it.
func TestForgetStopsAtMounts(t *testing.T) {
	asRoot(t)
	s := newState(t)
	must(t, s.WriteFile("nodes/a b/keep", []byte("x"), 0o600))
	at := filepath.Join(s.Dir(), "nodes", "a b")
	if err := unix.Mount("lab-test", at, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	must(t, s.WriteFile("ssh_config", nil, 0o600))
	err := s.Forget()
	var e *trouble.Error
	if !errors.As(err, &e) || e.ID != "state-mounted" {
		t.Errorf("with a mount at %s: %v", at, err)
	}
	if _, err := s.ReadFile("ssh_config"); err != nil {
		t.Errorf("something was removed all the same: %v", err)
	}
	must(t, unix.Unmount(at, 0))
	must(t, s.Forget())
	if _, err := s.ReadFile(filepath.Join("nodes", "a b", "keep")); err == nil {
		t.Error("nothing was removed after the mount was gone")
	}
}
