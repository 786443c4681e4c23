//go:build unix

package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/term"

	"github.com/dcalab/dcalab/node/nodetest"
)

// realSSHD is the machine's own OpenSSH, and how it is reached.
type realSSHD struct {
	*nodetest.SSHD
	ep   Endpoint
	opts Options
}

func startSSHD(t *testing.T, network, config string) *realSSHD {
	t.Helper()
	s := &realSSHD{SSHD: nodetest.StartSSHD(t, network, config)}
	s.ep, s.opts = reach(s.Login)
	return s
}

func (s *realSSHD) dial(t *testing.T) *Conn {
	t.Helper()
	return dial(t, s.ep, s.opts)
}

// fullDisk takes nothing.
type fullDisk struct{ err error }

func (d fullDisk) Write([]byte) (int, error) { return 0, d.err }

// dcalab ssh master -- docker save web >web.tar, on a disk that is full: the
// command there ends, and its connection is not what is to blame.
func TestACommandWhoseWordsCannotBeKeptEnds(t *testing.T) {
	n := startSSHD(t, "unix", "").dial(t)
	full := fullDisk{errors.New("no space left on device")}
	for name, command := range map[string]string{"one that says little": "echo hello; echo hello >&2", "one that never ends": "yes | tee /dev/stderr"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := n.Stream(ctx, command, nil, full, nil); !errors.Is(err, full.err) || strings.Contains(err.Error(), "connection") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := n.Stream(ctx, command, nil, io.Discard, full); !errors.Is(err, full.err) {
			t.Errorf("%s, its errors: %v", name, err)
		}
	}
	if exit, err := n.Stream(t.Context(), "exit 3", nil, nil, nil); exit != 3 || err != nil {
		t.Errorf("the connection serves no longer: %d, %v", exit, err)
	}
}

func TestRun(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			n := startSSHD(t, network, "").dial(t)
			r, err := n.Run(t.Context(), "cat; echo oops >&2", strings.NewReader("hello"))
			if err != nil || string(r.Stdout) != "hello" || string(r.Stderr) != "oops\n" || r.Exit != 0 {
				t.Errorf("got %q, %q, %d, %v", r.Stdout, r.Stderr, r.Exit, err)
			}
			r, err = n.Run(t.Context(), "echo out; echo one >&2; echo SWMTKN-1-a-b >&2; exit 7", nil)
			var failed *RunError
			if !errors.As(err, &failed) || failed.Exit != 7 || failed.Node != "node01" || r.Exit != 7 || string(r.Stdout) != "out\n" {
				t.Errorf("got %+v, %v", r, err)
			}
			if s := err.Error(); strings.Contains(s, "a-b") || !strings.Contains(s, "exit status 7") || !strings.Contains(s, "one") {
				t.Errorf("the error reads %q", s)
			}
			if exit, err := n.Stream(t.Context(), "kill -TERM $$", nil, nil, nil); exit != 128+15 || err != nil {
				t.Errorf("a command ended by SIGTERM: %d, %v", exit, err)
			}
			if exit, err := n.Stream(t.Context(), "no-such-program", nil, nil, nil); exit != 127 || err != nil {
				t.Errorf("a command that is not there: %d, %v", exit, err)
			}
		})
	}
}

func TestRunCarriesMuchData(t *testing.T) {
	n := startSSHD(t, "unix", "").dial(t)
	want := make([]byte, 5<<20)
	_, _ = rand.Read(want)
	r, err := n.Run(t.Context(), "cat", bytes.NewReader(want))
	if err != nil || !bytes.Equal(r.Stdout, want) {
		t.Errorf("%d bytes came back of %d, %v", len(r.Stdout), len(want), err)
	}
}

// A command that ends while stdin is still open must not wait for stdin.
func TestRunDoesNotWaitForStdin(t *testing.T) {
	n := startSSHD(t, "unix", "").dial(t)
	r, w := io.Pipe()
	defer w.Close()
	if _, err := n.Run(t.Context(), "true", r); err != nil {
		t.Error(err)
	}
}

// More sessions at once than sshd allows, on one connection.
func TestManySessionsShareOneConnection(t *testing.T) {
	for name, config := range map[string]string{"as sshd comes": "", "of a server that allows fewer": "MaxSessions 3"} {
		t.Run(name, func(t *testing.T) {
			s := startSSHD(t, "unix", config)
			n := s.dial(t)
			var all sync.WaitGroup
			for i := range 40 {
				all.Go(func() {
					want := fmt.Sprint("session ", i)
					if r, err := n.Run(t.Context(), Quote("echo", want), nil); err != nil || string(r.Stdout) != want+"\n" {
						t.Errorf("%q: %q, %v", want, r.Stdout, err)
					}
				})
			}
			all.Wait()
			if c := s.Connections(); c != 1 {
				t.Errorf("%d connections", c)
			}
		})
	}
}

func TestSessionsRefusedIsExplained(t *testing.T) {
	n := startSSHD(t, "unix", "MaxSessions 0").dial(t)
	_, err := n.Run(t.Context(), "true", nil)
	nodetest.WantTrouble(t, err, "session-refused")
}

func TestHostKeyIsPinned(t *testing.T) {
	s := startSSHD(t, "unix", "")
	strict := Options{KnownHosts: s.opts.KnownHosts}
	_, err := Dial(t.Context(), s.ep, strict)
	nodetest.WantTrouble(t, err, "host-key-unknown")

	s.dial(t) // learns
	n, err := Dial(t.Context(), s.ep, strict)
	if err != nil {
		t.Fatalf("a learnt key: %v", err)
	}
	_ = n.Close()

	nodetest.WriteKey(t, filepath.Join(s.Dir, "host"))
	_, err = Dial(t.Context(), s.ep, s.opts)
	nodetest.WantTrouble(t, err, "host-key-changed")

	// What destroying a node does.
	if err := os.Remove(s.opts.KnownHosts); err != nil {
		t.Fatal(err)
	}
	s.dial(t)
}

// A node with several host keys is not a stranger because it names another
// first.
func TestHostKeyOfThePinnedKindIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []string{"rsa", "ecdsa"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", filepath.Join(dir, kind)).CombinedOutput(); err != nil {
			t.Skipf("no ssh-keygen: %v %s", err, out)
		}
	}
	s := startSSHD(t, "unix", "HostKey "+dir+"/rsa\nHostKey "+dir+"/ecdsa")
	for _, file := range []string{filepath.Join(s.Dir, "host"), dir + "/rsa", dir + "/ecdsa"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(signer.PublicKey().Type(), func(t *testing.T) {
			known := filepath.Join(t.TempDir(), "known_hosts")
			if err := nodetest.LearnTo(known)(s.ep.HostKeyAlias, signer.PublicKey()); err != nil {
				t.Fatal(err)
			}
			n, err := Dial(t.Context(), s.ep, Options{KnownHosts: known})
			if err != nil {
				t.Fatal(err)
			}
			_ = n.Close()
		})
	}
	t.Run("a kind that is gone", func(t *testing.T) {
		file := filepath.Join(dir, "p384")
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		text, _ := os.ReadFile(file)
		signer, _ := ssh.ParsePrivateKey(text)
		known := filepath.Join(t.TempDir(), "known_hosts")
		if err := nodetest.LearnTo(known)(s.ep.HostKeyAlias, signer.PublicKey()); err != nil {
			t.Fatal(err)
		}
		_, err := Dial(t.Context(), s.ep, Options{KnownHosts: known})
		nodetest.WantTrouble(t, err, "host-key-changed")
	})
}

func TestKeys(t *testing.T) {
	s := startSSHD(t, "unix", "")
	stranger := filepath.Join(t.TempDir(), "id")
	nodetest.WriteKey(t, stranger)

	ep := s.ep
	ep.IdentityFile = stranger
	_, err := Dial(t.Context(), ep, s.opts)
	nodetest.WantTrouble(t, err, "key-refused")

	wait := s.opts
	wait.Wait = time.Hour
	_, err = Dial(t.Context(), ep, wait)
	nodetest.WantTrouble(t, err, "key-refused") // at once: no waiting for what cannot come

	ep.IdentityFile = filepath.Join(s.Dir, "nowhere")
	_, err = Dial(t.Context(), ep, s.opts)
	nodetest.WantTrouble(t, err, "identity-unreadable")

	// The agent has the right key, and is asked last and first.
	keys := agent.NewKeyring()
	text, _ := os.ReadFile(filepath.Join(s.Dir, "id"))
	private, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keys, c); _ = c.Close() }()
		}
	}()
	o := s.opts
	o.AgentSocket = socket
	for name, file := range map[string]string{"after a refused file": stranger, "without a file": "", "after an unreadable one": ep.IdentityFile} {
		t.Run(name, func(t *testing.T) {
			ep.IdentityFile = file
			n, err := Dial(t.Context(), ep, o)
			if err != nil {
				t.Fatal(err)
			}
			_ = n.Close()
		})
	}
}

func TestDialWaitsForANodeThatBoots(t *testing.T) {
	s := startSSHD(t, "unix", "")
	late := s.ep
	late.Address = filepath.Join(t.TempDir(), "late.sock")
	_, err := Dial(t.Context(), late, s.opts)
	nodetest.WantTrouble(t, err, "node-unreachable")

	o := s.opts
	o.Wait = time.Hour
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Dial(short, late, o)
	if e := nodetest.WantTrouble(t, err, "node-unreachable"); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("the deadline is not in %v", e)
	}
	type dialled struct {
		n   *Conn
		err error
	}
	got := make(chan dialled)
	go func() {
		n, err := Dial(t.Context(), late, o)
		got <- dialled{n, err}
	}()
	if err := os.Symlink(s.ep.Address, late.Address); err != nil {
		t.Fatal(err)
	}
	d := <-got
	if d.err != nil {
		t.Fatal(d.err)
	}
	_ = d.n.Close()
	_ = d.n.Close()
}

func TestDialEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ep := Endpoint{Node: "node01", Network: "unix", Address: filepath.Join(t.TempDir(), "none"), User: "u", IdentityFile: filepath.Join(t.TempDir(), "id")}
	nodetest.WriteKey(t, ep.IdentityFile)
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := Dial(ctx, ep, Options{Wait: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// pair is a person's terminal: the test holds the far end.
func pair(t *testing.T) (far, near *os.File) {
	t.Helper()
	far, near, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminal here: %v", err)
	}
	t.Cleanup(func() { _, _ = far.Close(), near.Close() })
	return far, near
}

func TestInteractive(t *testing.T) {
	n := startSSHD(t, "unix", "").dial(t)
	far, near := pair(t)
	if err := pty.Setsize(far, &pty.Winsize{Rows: 33, Cols: 99}); err != nil {
		t.Fatal(err)
	}
	before, err := term.GetState(int(near.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	var s nodetest.Screen
	go s.Follow(far)
	type ended struct {
		exit int
		err  error
	}
	done := make(chan ended)
	go func() {
		exit, err := n.Interactive(t.Context(), Terminal{In: near, Out: near, Type: "vt220"})
		done <- ended{exit, err}
	}()
	typed := func(line string) {
		if _, err := far.WriteString(line + "\n"); err != nil {
			t.Error(err)
		}
	}
	typed("stty size; echo term-$TERM-")
	nodetest.Eventually(t, "the size and type of the terminal", func() bool { return s.Shows("33 99")() && s.Shows("term-vt220-\r")() })

	if err := pty.Setsize(far, &pty.Winsize{Rows: 44, Cols: 111}); err != nil {
		t.Fatal(err)
	}
	// The kernel tells only a terminal's foreground group; the test has none.
	self, _ := os.FindProcess(os.Getpid())
	if err := self.Signal(winch); err != nil {
		t.Fatal(err)
	}
	nodetest.Eventually(t, "the new size", func() bool {
		typed("stty size")
		return s.Shows("44 111")()
	})
	typed("exit 9")
	if e := <-done; e.exit != 9 || e.err != nil {
		t.Errorf("the shell ended with %d, %v", e.exit, e.err)
	}
	after, err := term.GetState(int(near.Fd()))
	if err != nil || *after != *before {
		t.Errorf("the terminal was not restored (%v)", err)
	}
}

// TestInPty: a terminal that is no file, as a page's.
func TestInPty(t *testing.T) {
	n := startSSHD(t, "unix", "").dial(t)
	in, typed := net.Pipe()
	defer typed.Close()
	r, out := io.Pipe()
	var s nodetest.Screen
	go s.Follow(r)
	resize := make(chan [2]int)
	done := make(chan int)
	go func() {
		exit, err := n.InPty(t.Context(), Pty{In: in, Out: out, Columns: 99, Rows: 33, Sizes: func(ctx context.Context, set func(int, int)) {
			select {
			case size := <-resize:
				set(size[0], size[1])
			case <-ctx.Done():
			}
		}})
		if err != nil {
			t.Error(err)
		}
		done <- exit
	}()
	_, _ = io.WriteString(typed, "stty size; echo term-$TERM-\n")
	nodetest.Eventually(t, "the size and type of the terminal", func() bool { return s.Shows("33 99")() && s.Shows("term-xterm-256color-\r")() })
	resize <- [2]int{111, 44}
	nodetest.Eventually(t, "the new size", func() bool {
		_, _ = io.WriteString(typed, "stty size\n")
		return s.Shows("44 111")()
	})
	_, _ = io.WriteString(typed, "exit 9\n")
	if exit := <-done; exit != 9 {
		t.Errorf("the shell ended with %d", exit)
	}
}

func TestInteractiveCommandAndCancel(t *testing.T) {
	n := startSSHD(t, "unix", "").dial(t)
	far, near := pair(t)
	before, err := term.GetState(int(near.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	var s nodetest.Screen
	go s.Follow(far)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := n.Interactive(ctx, Terminal{In: near, Out: near, Command: "tty; sleep 1000"})
		done <- err
	}()
	nodetest.Eventually(t, "a terminal on the node", s.Shows("/dev/pts/"))
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if after, err := term.GetState(int(near.Fd())); err != nil || *after != *before {
		t.Errorf("the terminal was not restored (%v)", err)
	}
}

func TestInteractiveWithoutATerminal(t *testing.T) {
	n := startSSHD(t, "unix", "").dial(t)
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.WriteString("echo hello; tty; exit 3\n")
	_ = w.Close()
	exit, err := n.Interactive(t.Context(), Terminal{In: in, Out: out, Err: io.Discard})
	_ = out.Close()
	text, _ := io.ReadAll(r)
	if exit != 3 || err != nil || string(text) != "hello\nnot a tty\n" {
		t.Errorf("got %d, %v, %q", exit, err, text)
	}
}

// Plain ssh reads the ssh_config that is written, comes through the proxy, and
// knows the host key that was learnt.
func TestPlainSSHThroughTheProxy(t *testing.T) {
	program, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("no ssh here (package openssh-client)")
	}
	s := startSSHD(t, "unix", "")
	s.dial(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteSSHConfig(&b, []HostEntry{{Names: []string{"node01", "node01.test"}, Endpoint: s.ep}}, SSHConfigOptions{KnownHosts: s.opts.KnownHosts, Dcalab: self}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.Dir, "ssh_config")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-F", file, "node01.test", "cat; exit 5")
	cmd.Stdin = strings.NewReader("through the proxy")
	out, err := cmd.CombinedOutput()
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 5 || string(out) != "through the proxy" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestProxyEndsWithContext(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	r, w := io.Pipe()
	defer w.Close()
	if err := Proxy(ctx, socket, r, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := Proxy(t.Context(), socket+"x", r, io.Discard); err == nil {
		t.Error("no error for a socket that is not there")
	}
}
