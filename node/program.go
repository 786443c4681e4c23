package node

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/trouble"
)

// Program is a text that works on a node as root for as long as somebody talks to
// it. It is written twice, because no interpreter is on every node: perl is a part
// of Debian and Ubuntu, and Python of Red Hat's family.
type Program struct {
	// Name is what errors call it.
	Name   string
	Perl   string
	Python string
}

// line is the command line that runs the program with arguments.
func (p Program) line(args ...string) string {
	const choose = `if command -v perl >/dev/null 2>&1; then p=$1; shift 2; exec perl -e "$p" "$@"; fi
for python in python3 /usr/libexec/platform-python; do
	if command -v "$python" >/dev/null 2>&1; then p=$2; shift 2; exec "$python" -c "$p" "$@"; fi
done
echo "neither perl nor python3 is there" >&2; exit 127`
	return Quote(append([]string{"sh", "-c", choose, p.Name, p.Perl, p.Python}, args...)...)
}

// Start starts a program as root. What is written to the connection is its
// standard input, and what is read its standard output; where it fails, the last
// Read gives a *RunError. ctx is for the opening only; closing the connection ends
// the program's input, at which it ends.
func (c *Conn) Start(ctx context.Context, p Program, args ...string) (net.Conn, error) {
	return c.streams(ctx, p.Name, c.AsRoot(p.line(args...)), func() {})
}

var (
	//go:embed relay.pl
	relayPerl string
	//go:embed relay.py
	relayPython string
)

// DialRoot opens a connection to a unix socket of the node that only root may open,
// for what takes turns to speak: a side that does not read holds up the other. ctx
// is for the opening only. A socket that nobody listens on fails the first Read.
func (c *Conn) DialRoot(ctx context.Context, socket string) (net.Conn, error) {
	conn, err := c.Start(ctx, Program{Name: "relay " + socket, Perl: relayPerl, Python: relayPython}, socket)
	if err != nil {
		return nil, err
	}
	return newEngineConn(conn), nil
}

// streams starts a command and gives its streams; released is called once the
// session is over, also where it could not be opened.
func (c *Conn) streams(ctx context.Context, name, line string, released func()) (net.Conn, error) {
	s, release, err := c.session(ctx)
	if err != nil {
		released()
		return nil, err
	}
	conn := &stdioConn{node: c, name: name, release: sync.OnceFunc(func() { release(); released() })}
	s.Stderr = &conn.stderr
	if conn.in, err = s.StdinPipe(); err == nil {
		if conn.out, err = s.StdoutPipe(); err == nil {
			_, err = await(ctx, func() (struct{}, error) { return struct{}{}, s.Start(line) })
		}
	}
	if err != nil {
		conn.release()
		return nil, fmt.Errorf("%s: %s: %w", c.Name(), name, err)
	}
	conn.wait = sync.OnceValue(s.Wait)
	return conn, nil
}

// stdioConn is a session with a command as a connection.
type stdioConn struct {
	node    *Conn
	name    string // of the command, for errors
	in      io.WriteCloser
	out     io.Reader
	stderr  tail
	wait    func() error // the session's Wait, once
	release func()
}

func (c *stdioConn) Write(p []byte) (int, error) { return c.in.Write(p) }
func (c *stdioConn) CloseWrite() error           { return c.in.Close() }

// Read turns the end of a command that failed into its error.
func (c *stdioConn) Read(p []byte) (int, error) {
	k, err := c.out.Read(p)
	if k > 0 || !errors.Is(err, io.EOF) {
		return k, err
	}
	var status *ssh.ExitError
	if errors.As(c.wait(), &status) {
		return 0, &RunError{Node: c.node.Name(), Command: c.name, Exit: status.ExitStatus(), Stderr: trouble.LastLines(c.stderr.String(), 3)}
	}
	return 0, io.EOF
}

func (c *stdioConn) Close() error {
	c.release()
	return nil
}

func (c *stdioConn) LocalAddr() net.Addr              { return streamAddr("dcalab") }
func (c *stdioConn) RemoteAddr() net.Addr             { return streamAddr(c.name) }
func (c *stdioConn) SetDeadline(time.Time) error      { return nil }
func (c *stdioConn) SetReadDeadline(time.Time) error  { return nil }
func (c *stdioConn) SetWriteDeadline(time.Time) error { return nil }

type streamAddr string

func (streamAddr) Network() string  { return "command" }
func (a streamAddr) String() string { return string(a) }

// tail keeps the last 4 KiB of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - 4096; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
