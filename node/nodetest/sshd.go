//go:build unix

package nodetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// SSHD is the machine's own OpenSSH: each connection to the socket gets an
// sshd of its own (sshd -i), which ends with it.
type SSHD struct {
	Login
	// Dir has its keys (host, id), authorized_keys and sshd_config.
	Dir string

	mu    sync.Mutex
	conns int
}

// StartSSHD takes more lines for sshd_config and the program to run in front
// of sshd (nsenter and its arguments).
func StartSSHD(t *testing.T, network, config string, before ...string) *SSHD {
	t.Helper()
	sshd := "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Skip("no sshd here (package openssh-server)")
	}
	if os.Geteuid() != 0 {
		t.Skip("sshd logs in only as itself: this test needs root")
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd's own demand
		t.Fatal(err)
	}
	s := &SSHD{Dir: t.TempDir()}
	for _, name := range []string{"host", "id"} {
		public := WriteKey(t, filepath.Join(s.Dir, name))
		if name == "id" {
			if err := os.WriteFile(filepath.Join(s.Dir, "authorized_keys"), ssh.MarshalAuthorizedKey(public), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := fmt.Sprintf("HostKey %[1]s/host\nAuthorizedKeysFile %[1]s/authorized_keys\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nAcceptEnv NOTHING\nPrintMotd no\n%[2]s\n", s.Dir, config)
	file := filepath.Join(s.Dir, "sshd_config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{s.Dir, filepath.Dir(s.Dir)} { // sshd reads authorized_keys as the user
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(s.Dir, "node.sock")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("unshare"); err == nil && len(before) == 0 {
		// Away from root's own shell start-up files, and from the log of logins.
		before = []string{"unshare", "-m", "sh", "-c", `mount -t tmpfs none /root; mount -t tmpfs none /var/log; exec "$@"`, "sh"}
	}
	argv := slices.Concat(before, []string{sshd, "-i", "-e", "-f", file})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
			running.Go(func() { serveSSHD(t, c, argv) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	s.Login = Login{Network: network, Address: l.Addr().String(), User: "root", IdentityFile: filepath.Join(s.Dir, "id"), HostKeyAlias: "node01.test", KnownHosts: filepath.Join(s.Dir, "known hosts")}
	return s
}

func serveSSHD(t *testing.T, c net.Conn, argv []string) {
	t.Helper()
	socket, ok := c.(interface{ File() (*os.File, error) })
	if !ok {
		t.Errorf("a %T has no file", c)
		return
	}
	f, err := socket.File()
	_ = c.Close()
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout = f, f
	var log bytes.Buffer
	cmd.Stderr = &log
	_ = cmd.Run()
	if testing.Verbose() && t.Failed() {
		t.Logf("sshd: %s", log.String())
	}
}

// Connections is how many there have been.
func (s *SSHD) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}
