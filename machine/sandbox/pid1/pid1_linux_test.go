package pid1

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatABootRemoves(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/tmpfiles.d/dcalab-f1.conf": "r! /var/lib/docker/DCALAB-f1\n# r! /kept\nr /kept\n\n",
		"etc/tmpfiles.d/dcalab-f2.conf": "r! /var/lib/docker/gone-already\n",
		"etc/tmpfiles.d/other.conf":     "r! /kept\n",
		"var/lib/docker/DCALAB-f1":      "x",
		"kept":                          "x",
	} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeAtBoot(root); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "var/lib/docker/DCALAB-f1")); !os.IsNotExist(err) {
		t.Errorf("it is still there (%v)", err)
	}
	if _, err := os.Stat(filepath.Join(root, "kept")); err != nil {
		t.Error(err)
	}
}

// A port that somebody listens on is told from one that is only bound.
func TestListened(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if !listened(l.Addr().(*net.TCPAddr).Port) {
			t.Errorf("%s: nobody seems to listen", address)
		}
	}
	// A port that is only bound, and by two, as while sshd is between bind and listen.
	sshd, port := bindPort(t, 0)
	if listened(port) {
		t.Error("somebody seems to listen where a port is only bound")
	}
	bindPort(t, port)
	if err := unix.Listen(sshd, 1); err != nil {
		t.Error(err)
	}
	if !listened(port) {
		t.Error("nobody seems to listen")
	}
}

// bindPort binds a new socket to a port, 0 for any, as listened and sshd do.
func bindPort(t *testing.T, port int) (fd, bound int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { unix.Close(fd) })
		err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.Bind(fd, &unix.SockaddrInet4{Port: port}))
	}
	if err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, at.(*unix.SockaddrInet4).Port
}
