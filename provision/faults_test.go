package provision

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/node"
)

// faulty is an SSH server in this process that can misbehave in ways that a
// real sshd would have to be broken for. It needs no rights.
type faulty struct {
	ep     node.Endpoint
	opts   Options
	config *ssh.ServerConfig

	mu    sync.Mutex
	conns []net.Conn
	// greet is called with each connection before SSH begins; false drops it.
	greet func(net.Conn) bool
	// exec is a command: what it returns ends the channel, and a negative
	// status ends it without one.
	exec func(cmd string, ch ssh.Channel) int
}

// newFaulty makes a server that behaves; set what it is to do otherwise, and start it.
func newFaulty(t *testing.T) *faulty {
	t.Helper()
	dir, err := os.MkdirTemp("", "faulty") //nolint:usetesting // short: a socket's path has 108 bytes, on macOS 104
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := &faulty{
		ep: node.Endpoint{Node: "node01", Network: "unix", Address: filepath.Join(dir, "s"), User: "vagrant", IdentityFile: filepath.Join(dir, "id"), HostKeyAlias: "node01.test"},
	}
	known := filepath.Join(dir, "known_hosts")
	f.opts = Options{KnownHosts: known, LearnHostKey: learnTo(known)}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.ep.IdentityFile, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private) // the host key as well
	if err != nil {
		t.Fatal(err)
	}
	f.config = &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	f.config.AddHostKey(signer)
	return f
}

func (f *faulty) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", f.ep.Address)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			running.Go(func() { f.serve(c, &running) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.cut()
		running.Wait()
	})
}

// cut ends every connection without a word.
func (f *faulty) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
}

func (f *faulty) serve(c net.Conn, running *sync.WaitGroup) {
	defer c.Close()
	if f.greet != nil && !f.greet(c) {
		return
	}
	_, chans, reqs, err := ssh.NewServerConn(c, f.config)
	if err != nil {
		return
	}
	running.Go(func() { ssh.DiscardRequests(reqs) })
	for open := range chans {
		if open.ChannelType() != "session" {
			_ = open.Reject(ssh.Prohibited, "administratively prohibited")
			continue
		}
		ch, reqs, err := open.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer ch.Close()
			for r := range reqs {
				var payload struct{ Command string }
				if r.Type != "exec" || ssh.Unmarshal(r.Payload, &payload) != nil {
					_ = r.Reply(false, nil)
					continue
				}
				_ = r.Reply(true, nil)
				if status := f.exec(payload.Command, ch); status >= 0 {
					_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
				}
				return
			}
		})
	}
}

func (f *faulty) dial(t *testing.T) *Node {
	t.Helper()
	n, err := Dial(t.Context(), f.ep, f.opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func TestServerThatSaysNothing(t *testing.T) {
	f := newFaulty(t)
	f.greet = func(c net.Conn) bool { _, _ = io.Copy(io.Discard, c); return false }
	o := f.opts
	o.Timeout = 50 * time.Millisecond
	f.start(t)
	_, err := Dial(t.Context(), f.ep, o)
	wantTrouble(t, err, "node-unreachable")

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	_, err = Dial(ctx, f.ep, f.opts)
	if !errors.Is(err, context.Canceled) || time.Since(start) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

// A relay that is there before its sshd is: hangs up, and hangs up again.
func TestServerThatHangsUpAtFirst(t *testing.T) {
	f := newFaulty(t)
	calls := 0
	f.greet = func(net.Conn) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		calls++
		return calls > 3
	}
	f.start(t)
	_, err := Dial(t.Context(), f.ep, f.opts)
	wantTrouble(t, err, "node-unreachable")
	o := f.opts
	o.Wait = time.Hour
	n, err := Dial(t.Context(), f.ep, o)
	if err != nil {
		t.Fatal(err)
	}
	_ = n.Close()
}

func TestConnectionCutInTheMiddleOfACommand(t *testing.T) {
	f := newFaulty(t)
	f.exec = func(_ string, ch ssh.Channel) int {
		_, _ = io.WriteString(ch, "half of it")
		f.cut()
		return -1
	}
	f.start(t)
	n := f.dial(t)
	_, err := n.Run(t.Context(), "x", nil)
	wantTrouble(t, err, "connection-lost")
	<-n.Done()
	_, err = n.Run(t.Context(), "x", nil)
	wantTrouble(t, err, "connection-lost")
	_, err = n.DialEngine(t.Context())
	wantTrouble(t, err, "connection-lost")
}

func TestCommandThatEndsWithoutAStatus(t *testing.T) {
	f := newFaulty(t)
	f.exec = func(string, ssh.Channel) int { return -1 }
	f.start(t)
	_, err := f.dial(t).Run(t.Context(), "x", nil)
	wantTrouble(t, err, "connection-lost")
}

// A machine that was suspended: its kernel acknowledges nothing, no packet
// says so.
func TestKeepAliveEndsASilentConnection(t *testing.T) {
	f := newFaulty(t)
	f.start(t)
	stuck := f.ep
	stuck.Address += "2"
	l, err := net.Listen("unix", stuck.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	frozen := make(chan struct{})
	answers := make(chan struct{}, 1)
	go func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", f.ep.Address)
		if err != nil {
			return
		}
		relay := func(dst, src net.Conn) {
			buf := make([]byte, 32<<10)
			for {
				k, err := src.Read(buf)
				select {
				case <-frozen: // swallowed
				default:
					_, _ = dst.Write(buf[:k])
				}
				if src != near {
					select {
					case answers <- struct{}{}:
					default:
					}
				}
				if err != nil {
					return
				}
			}
		}
		go relay(near, far)
		relay(far, near)
		_ = far.Close()
	}()
	o := f.opts
	o.KeepAlive = 300 * time.Millisecond
	n, err := Dial(t.Context(), stuck, o)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for range 3 { // answered keepalives keep it; the first may be of the login
		select {
		case <-n.Done():
			t.Fatal("a connection that lives was closed")
		case <-answers:
		case <-time.After(time.Minute):
			t.Fatal("nothing asks whether the node lives")
		}
	}
	close(frozen)
	select {
	case <-n.Done():
	case <-time.After(time.Minute):
		t.Fatal("still waiting for a node that is gone")
	}
}

func TestCloseEndsWhatRuns(t *testing.T) {
	f := newFaulty(t)
	began := make(chan struct{})
	f.exec = func(_ string, ch ssh.Channel) int {
		close(began)
		_, _ = io.Copy(io.Discard, ch)
		return 0
	}
	f.start(t)
	n := f.dial(t)
	r, w := io.Pipe()
	defer w.Close()
	got := make(chan error)
	go func() { _, err := n.Run(t.Context(), "x", r); got <- err }()
	<-began
	_ = n.Close()
	wantTrouble(t, <-got, "connection-lost")
}

// The server refuses forwarding, the node's own look says that all is well,
// and the engine is reached over a command; and its failure is told.
func TestForwardingRefused(t *testing.T) {
	f := newFaulty(t)
	var asked []string
	f.exec = func(cmd string, ch ssh.Channel) int {
		f.mu.Lock()
		asked = append(asked, shortCommand(cmd))
		f.mu.Unlock()
		if cmd != "docker system dial-stdio" {
			_, _ = io.WriteString(ch, "ok\n")
			return 0
		}
		buf := make([]byte, 4)
		if _, err := io.ReadFull(ch, buf); err != nil {
			return 1
		}
		_, _ = ch.Write(buf)
		_, _ = io.WriteString(ch.Stderr(), "cannot connect to the Docker daemon\n")
		return 1
	}
	f.start(t)
	n := f.dial(t)
	for range 2 {
		conn, err := n.DialEngine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "ping")
		got, err := io.ReadAll(conn)
		var failed *RunError
		if string(got) != "ping" || !errors.As(err, &failed) || failed.Stderr != "cannot connect to the Docker daemon" {
			t.Errorf("got %q, %v", got, err)
		}
		_ = conn.Close()
	}
	if len(asked) != 3 {
		t.Errorf("the way was not remembered: %q", asked)
	}
}
