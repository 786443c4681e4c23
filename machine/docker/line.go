package docker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcalab/dcalab/machine/sandbox"
	"github.com/dcalab/dcalab/node"
)

// The line to dcalab in a container: one docker exec, with HTTP/2 on its standard
// input and output, so that any number of requests, and of connections to nodes,
// are on it at once. Nothing listens.
//
//	POST /do          a request of the wire; events, and at last its result
//	POST /node/NAME   a connection to that node's sshd, both ways at once

// idle is how long a line stays open with nothing on it.
const idle = 10 * time.Second

// line is our end: a client that opens the line when there is something to send.
type line struct {
	http.Client
	programs atomic.Int32 // that run
	// failed is what the newest program said, where it ended before anything was heard.
	failed atomic.Pointer[string]
}

// newLine makes a line by the program argv.
func newLine(argv []string) *line {
	l := &line{}
	l.Transport = &telling{l, &http.Transport{
		Protocols: onlyHTTP2(), IdleConnTimeout: idle,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return l.start(argv) },
	}}
	return l
}

// telling gives what the program said, where HTTP may only tell that there was no
// connection.
type telling struct {
	line *line
	*http.Transport
}

func (t *telling) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(req)
	if said := t.line.failed.Load(); err != nil && said != nil {
		return nil, errors.New(*said)
	}
	return resp, err
}

func onlyHTTP2() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &p
}

// lineConn is our end of a line.
type lineConn struct {
	net.Conn
	ended chan struct{} // closed once the program has ended
	said  *bytes.Buffer // on standard error; whole once it has ended
	heard atomic.Bool
	line  *line
}

// Read keeps what the program said on standard error where it ended before
// anything was heard.
func (c *lineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(true)
	}
	if errors.Is(err, io.EOF) && !c.heard.Load() {
		<-c.ended
		if said := strings.TrimSpace(c.said.String()); said != "" {
			c.line.failed.Store(&said)
		}
	}
	return n, err
}

// Write leaves it to Read to say why the program has ended, before which HTTP would tell
// that nothing could be written.
func (c *lineConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, io.ErrClosedPipe) && !c.heard.Load() {
		return len(p), nil
	}
	return n, err
}

// start starts the program. It ends when its input does.
func (l *line) start(argv []string) (net.Conn, error) {
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // it lives as long as the line
	node.Separate(cmd)
	c := &lineConn{ended: make(chan struct{}), said: &bytes.Buffer{}, line: l}
	l.failed.Store(nil)
	cmd.Stderr = &ending{c.said, 8 << 10}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	l.programs.Add(1)
	c.Conn = node.Join(out, in, func() {
		_ = cmd.Wait()
		l.programs.Add(-1)
		close(c.ended)
	})
	return c, nil
}

// lineBase is the address of what is at the other end: nobody looks it up.
const lineBase = "http://container"

// unwrapped is an error without the address that net/http puts before it.
func unwrapped(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// serveLine answers what comes over the line, up to its end, and waits for what is
// still being done then.
func serveLine(in io.Reader, out io.WriteCloser, h http.Handler) error {
	l := &oneConn{closed: make(chan struct{})}
	l.conn = node.Join(in, out, nil)
	var doing sync.WaitGroup
	server := &http.Server{
		Protocols: onlyHTTP2(), ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			doing.Add(1)
			defer doing.Done()
			h.ServeHTTP(w, r)
		}),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				_ = l.Close()
			}
		},
	}
	err := server.Serve(l)
	doing.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// oneConn is a net.Listener with one connection.
type oneConn struct {
	conn   net.Conn
	once   sync.Once
	given  bool
	closed chan struct{}
}

// Accept gives the connection, and then waits for the end.
func (l *oneConn) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return l.conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

// Close ends the wait of Accept.
func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is nobody's.
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "line", Net: "unix"} }

// serveNode joins a request to a node's sshd.
func serveNode(w http.ResponseWriter, r *http.Request) {
	var d net.Dialer
	to, err := d.DialContext(r.Context(), "unix", sandbox.Socket(r.URL.Query().Get("id"), r.PathValue("name")))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer to.Close()
	stop := context.AfterFunc(r.Context(), func() { _ = to.Close() })
	defer stop()
	flush := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	if flush.Flush() != nil {
		return
	}
	go func() {
		_, _ = io.Copy(to, r.Body)
		if half, ok := to.(*net.UnixConn); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(flushed{w, flush}, to)
}

// flushed sends what is written at once.
type flushed struct {
	io.Writer
	flush *http.ResponseController
}

func (f flushed) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.flush.Flush()
	}
	return n, err
}
