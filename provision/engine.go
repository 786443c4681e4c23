package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/trouble"
)

// engineSocket is where every engine of a lab listens.
const engineSocket = "/var/run/docker.sock"

// socketPatience is how long the node's shell may take to tell what is wrong
// with the socket. It is less than the 5 s of the shortest call of an engine's
// client, which would end first otherwise, and without a reason.
const socketPatience = 4 * time.Second

// DialEngine opens a connection to the node's engine socket
// (/var/run/docker.sock) over the SSH connection: with
// direct-streamlocal@openssh.com, or with a session of `docker system
// dial-stdio` where the server forbids that. Which of them works is
// remembered. The signature is what engine.New takes.
//
// ctx is for the opening only. A deadline set on the connection closes it when
// it passes. A user who may not open the socket gets a trouble.Error
// "docker-group-missing"; a socket that nobody listens on, "engine-down".
func (n *Node) DialEngine(ctx context.Context) (net.Conn, error) {
	if n.useStdio.Load() {
		return n.dialStdio(ctx)
	}
	start := time.Now()
	conn, err := n.client.DialContext(ctx, "unix", engineSocket)
	if err == nil {
		return newEngineConn(conn), nil
	}
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return nil, n.late("open the engine's socket", time.Since(start))
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%s: open the engine's socket: %w", n.Name(), context.Cause(ctx))
		}
		return nil, n.lost(err)
	}
	// OpenSSH says "open failed" whatever the reason was: ask the node.
	if err := n.whyNoSocket(ctx); err != nil {
		return nil, err
	}
	// It may have begun to listen in between.
	if conn, err := n.client.DialContext(ctx, "unix", engineSocket); err == nil {
		return newEngineConn(conn), nil
	}
	n.useStdio.Store(true)
	return n.dialStdio(ctx)
}

// whyNoSocket looks at the engine's socket with the eyes of the user. It gives
// nil when nothing is wrong with it, so that it must be sshd that is in the way.
func (n *Node) whyNoSocket(ctx context.Context) error {
	within := min(n.patience.Answer, socketPatience)
	r, err := n.ask(ctx, "socket.sh", script("socket.sh", engineSocket), nil, within)
	if err != nil {
		return err
	}
	switch state := strings.TrimSpace(string(r.Stdout)); state {
	case "ok":
		return nil
	case "denied":
		return &trouble.Error{
			ID: "docker-group-missing", Where: n.Name(), What: "open the engine's socket",
			Why:  "user " + n.endpoint.User + " is not in the docker group on this connection",
			Next: []string{"dcalab up " + n.Name() + "    # puts the user into the group and connects anew"},
		}
	default:
		why := "the engine is not running: nothing listens on " + engineSocket
		if state == "absent" {
			why = "the engine is not running: there is no " + engineSocket
		}
		return &trouble.Error{
			ID: "engine-down", Where: n.Name(), What: "open the engine's socket", Why: why,
			Next: []string{
				"dcalab ssh " + n.Name() + " -- sudo service docker start",
				"dcalab up " + n.Name() + "    # installs or starts what is missing",
			},
		}
	}
}

// dialStdio carries an engine connection over the streams of a command.
func (n *Node) dialStdio(ctx context.Context) (net.Conn, error) {
	select {
	case n.stdio <- struct{}{}:
	case <-n.done:
		return nil, n.lost(io.EOF)
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: open the engine's socket: %w", n.Name(), context.Cause(ctx))
	}
	s, release, err := n.session(ctx)
	if err != nil {
		<-n.stdio
		return nil, err
	}
	c := &stdioConn{node: n}
	c.release = sync.OnceFunc(func() { release(); <-n.stdio })
	s.Stderr = &c.stderr
	if c.in, err = s.StdinPipe(); err == nil {
		if c.out, err = s.StdoutPipe(); err == nil {
			_, err = await(ctx, func() (struct{}, error) { return struct{}{}, s.Start("docker system dial-stdio") })
		}
	}
	if err != nil {
		c.release()
		return nil, fmt.Errorf("%s: docker system dial-stdio: %w", n.Name(), err)
	}
	c.wait = sync.OnceValue(s.Wait)
	return newEngineConn(c), nil
}

// engineConn gives a connection over SSH what net.Conn promises and an SSH
// channel lacks: deadlines, by closing, and the half-close that the engine's
// hijacked streams (attach, exec) need.
type engineConn struct {
	net.Conn
	closeWrite func() error

	mu    sync.Mutex
	timer *time.Timer
}

func newEngineConn(conn net.Conn) *engineConn {
	c := &engineConn{Conn: conn, closeWrite: conn.Close}
	if half, ok := conn.(interface{ CloseWrite() error }); ok { // of an SSH channel, it has
		c.closeWrite = half.CloseWrite
	}
	return c
}

func (c *engineConn) CloseWrite() error { return c.closeWrite() }

func (c *engineConn) Close() error {
	_ = c.SetDeadline(time.Time{})
	return c.Conn.Close()
}

// SetDeadline closes the connection at t; the zero time never does.
func (c *engineConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if !t.IsZero() {
		c.timer = time.AfterFunc(time.Until(t), func() { _ = c.Conn.Close() })
	}
	return nil
}

func (c *engineConn) SetReadDeadline(t time.Time) error  { return c.SetDeadline(t) }
func (c *engineConn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }

// stdioConn is a session of `docker system dial-stdio` as a connection.
type stdioConn struct {
	node    *Node
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
		return 0, &RunError{Node: c.node.Name(), Command: "docker system dial-stdio", Exit: status.ExitStatus(), Stderr: lastLines(c.stderr.String(), 3)}
	}
	return 0, io.EOF
}

func (c *stdioConn) Close() error {
	c.release()
	return nil
}

func (c *stdioConn) LocalAddr() net.Addr              { return socketAddr("dcalab") }
func (c *stdioConn) RemoteAddr() net.Addr             { return socketAddr(engineSocket) }
func (c *stdioConn) SetDeadline(time.Time) error      { return nil }
func (c *stdioConn) SetReadDeadline(time.Time) error  { return nil }
func (c *stdioConn) SetWriteDeadline(time.Time) error { return nil }

type socketAddr string

func (socketAddr) Network() string  { return "unix" }
func (a socketAddr) String() string { return string(a) }

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

// askEngine gets an answer of the engine's API, JSON of at most limit bytes,
// into v, and gives its HTTP status line.
func (n *Node) askEngine(ctx context.Context, path string, limit int64, v any) (status string, err error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 64 << 10,
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return n.DialEngine(ctx) },
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body := &io.LimitedReader{R: resp.Body, N: limit}
	if err := json.NewDecoder(body).Decode(v); err != nil {
		if body.N <= 0 {
			err = trouble.TooMuch(n.Name(), "ask the engine for "+path, limit)
		}
		return "", fmt.Errorf("%s: read the engine's answer to %s: %w", n.Name(), path, err)
	}
	return resp.Status, nil
}

// engineVersion asks the engine for its version. The engine accepts
// connections before it can answer, so this is also how to wait for one that
// starts.
func (n *Node) engineVersion(ctx context.Context) (string, error) {
	var v struct{ Version string }
	status, err := n.askEngine(ctx, "/version", 1<<20, &v)
	if err != nil {
		return "", err
	}
	if v.Version == "" {
		return "", fmt.Errorf("%s: the engine answered %s and no version", n.Name(), status)
	}
	return v.Version, nil
}

// awaitEngine waits until the engine answers, for as long as patience.
func (n *Node) awaitEngine(ctx context.Context, patience time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 20 * time.Millisecond
	b.MaxInterval = 500 * time.Millisecond
	var last error
	ends := "" // how often the engine had ended before
	version, err := backoff.Retry(ctx, func() (string, error) {
		v, err := n.engineVersion(ctx)
		var t *trouble.Error
		if errors.As(err, &t) && t.ID != "engine-down" && t.ID != "node-timeout" {
			return "", backoff.Permanent(err)
		}
		if err != nil && ctx.Err() == nil {
			last = err
			// The node watches its socket by itself, which costs no round trips;
			// a failure is the next attempt's to tell, but for one.
			r, waited := n.script(ctx, "await.sh", engineSocket, "200", ends)
			if ends == "" {
				ends = strings.TrimSpace(string(r.Stdout))
			}
			if dies(waited) {
				return "", backoff.Permanent(n.engineDies(ctx))
			}
		}
		if err == nil {
			if _, steady := n.script(ctx, "steady.sh"); dies(steady) {
				last = n.engineDies(ctx)
				return "", errors.New("the engine answered, and ended") // it may be the last time
			}
		}
		return v, err
	}, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0))
	if err == nil {
		return version, nil
	}
	var t *trouble.Error
	switch {
	case errors.As(err, &t):
		return "", t
	case errors.As(last, &t):
		return "", t
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return "", &trouble.Error{
			ID: "engine-down", Where: n.Name(), What: "wait for the engine",
			Why:  fmt.Sprintf("it did not answer within %v", patience),
			Next: []string{"dcalab ssh " + n.Name() + " -- sudo service docker status"},
			Err:  errors.Join(err, last),
		}
	}
	return "", err
}

// dies tells whether a script saw the engine end at each start.
func dies(err error) bool {
	var failed *RunError
	return errors.As(err, &failed) && failed.Exit == 2
}

// engineDies says why the engine ends at each start, as far as its log does.
func (n *Node) engineDies(ctx context.Context) error {
	why, _ := rooted{n: n, sudo: n.endpoint.User != "root"}.run(ctx, nil, "last-words.sh")
	e := &trouble.Error{
		ID: "engine-dies", Where: n.Name(), What: "wait for the engine", Why: "it ends each time that it is started",
		Next: []string{
			"fix /etc/docker/daemon.json on the node, or what else its log names: dcalab logs " + n.Name(),
			"then: dcalab up " + n.Name(),
		},
	}
	if word := lastWord(why); word != "" {
		e.Why += ": " + word
	}
	return e
}

// lastWord picks the line of an engine's log that says why it ended: the last
// that is fatal, or without a level; else the last.
func lastWord(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	word := lines[len(lines)-1]
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimSpace(lines[i])
		_, level, leveled := strings.Cut(line, "level=")
		if line != "" && (!leveled || strings.HasPrefix(level, "fatal") || strings.HasPrefix(level, "panic")) &&
			!strings.HasPrefix(line, "docker.service:") && !strings.Contains(line, "Docker Application Container Engine") {
			word = line
			break
		}
	}
	const most = 500
	return strings.ToValidUTF8(word[:min(len(word), most)], "")
}
