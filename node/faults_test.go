package node

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/node/nodetest"
)

func TestServerThatSaysNothing(t *testing.T) {
	f := newFaulty(t)
	f.Greet = func(c net.Conn) bool { _, _ = io.Copy(io.Discard, c); return false }
	o := f.opts
	o.Timeout = 50 * time.Millisecond
	f.Start(t)
	_, err := Dial(t.Context(), f.ep, o)
	nodetest.WantTrouble(t, err, "node-unreachable")

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
	var mu sync.Mutex
	calls := 0
	f.Greet = func(net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		calls++
		return calls > 3
	}
	f.Start(t)
	_, err := Dial(t.Context(), f.ep, f.opts)
	nodetest.WantTrouble(t, err, "node-unreachable")
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
	f.Exec = func(_ string, ch ssh.Channel) int {
		_, _ = io.WriteString(ch, "half of it")
		f.Cut()
		return -1
	}
	f.Start(t)
	n := f.dial(t)
	_, err := n.Run(t.Context(), "x", nil)
	nodetest.WantTrouble(t, err, "connection-lost")
	<-n.Done()
	_, err = n.Run(t.Context(), "x", nil)
	nodetest.WantTrouble(t, err, "connection-lost")
	_, err = n.DialEngine(t.Context())
	nodetest.WantTrouble(t, err, "connection-lost")
}

func TestCommandThatEndsWithoutAStatus(t *testing.T) {
	f := newFaulty(t)
	f.Exec = func(string, ssh.Channel) int { return -1 }
	f.Start(t)
	_, err := f.dial(t).Run(t.Context(), "x", nil)
	nodetest.WantTrouble(t, err, "connection-lost")
}

// A machine that was suspended: its kernel acknowledges nothing, no packet
// says so.
func TestKeepAliveEndsASilentConnection(t *testing.T) {
	f := newFaulty(t)
	f.Start(t)
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

// A node that is busy: its sshd passes on what a command writes, and is slow to
// answer itself.
func TestOtherBytesKeepAConnection(t *testing.T) {
	f := newFaulty(t)
	f.Mute = true
	const every = 200 * time.Millisecond
	stop := make(chan struct{})
	f.Exec = func(_ string, ch ssh.Channel) int {
		for begin := time.Now(); time.Since(begin) < 2*silences*every; time.Sleep(every / 10) {
			if _, err := io.WriteString(ch, "busy\n"); err != nil {
				return 1
			}
		}
		_, _ = io.WriteString(ch, "done\n")
		<-stop // no longer a word
		return 0
	}
	f.Start(t)
	t.Cleanup(func() { close(stop) }) // before the server is waited for
	o := f.opts
	o.KeepAlive = every
	n, err := Dial(t.Context(), f.ep, o)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var out strings.Builder
	_, err = n.Stream(t.Context(), "x", nil, &out, io.Discard)
	nodetest.WantTrouble(t, err, "connection-lost")
	if !strings.HasSuffix(out.String(), "done\n") {
		t.Errorf("a connection that is heard was closed after %d words", strings.Count(out.String(), "\n"))
	}
	<-n.Done()
}

func TestCloseEndsWhatRuns(t *testing.T) {
	f := newFaulty(t)
	began := make(chan struct{})
	f.Exec = func(_ string, ch ssh.Channel) int {
		close(began)
		_, _ = io.Copy(io.Discard, ch)
		return 0
	}
	f.Start(t)
	n := f.dial(t)
	r, w := io.Pipe()
	defer w.Close()
	got := make(chan error)
	go func() { _, err := n.Run(t.Context(), "x", r); got <- err }()
	<-began
	_ = n.Close()
	nodetest.WantTrouble(t, <-got, "connection-lost")
}

// The server refuses forwarding, the node's own look says that all is well,
// and the engine is reached over a command; and its failure is told.
func TestForwardingRefused(t *testing.T) {
	f := newFaulty(t)
	var mu sync.Mutex
	var asked []string
	f.Exec = func(cmd string, ch ssh.Channel) int {
		mu.Lock()
		asked = append(asked, shortCommand(cmd))
		mu.Unlock()
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
	f.Start(t)
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
