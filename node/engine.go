package node

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/trouble"
)

// EngineSocket is where every engine of a lab listens.
const EngineSocket = "/var/run/docker.sock"

// TypedService is how a person has the engine of a node started, stopped or restarted;
// systemd tells whether the node's services are its.
func TypedService(systemd bool, verb string) string {
	switch {
	case !systemd:
		return "sudo service docker " + verb
	case verb == "stop": // its socket would start it again
		return "sudo systemctl stop docker.socket docker.service"
	}
	return "sudo systemctl " + verb + " docker"
}

// socketScript tells what is wrong with the engine's socket.
//
//go:embed socket.sh
var socketScript string

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
func (c *Conn) DialEngine(ctx context.Context) (net.Conn, error) {
	if c.useStdio.Load() {
		return c.dialStdio(ctx)
	}
	start := time.Now()
	conn, err := c.client.DialContext(ctx, "unix", EngineSocket)
	if err == nil {
		return newEngineConn(conn), nil
	}
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return nil, c.late("open the engine's socket", time.Since(start))
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%s: open the engine's socket: %w", c.Name(), context.Cause(ctx))
		}
		return nil, c.lost(err)
	}
	// OpenSSH says "open failed" whatever the reason was: ask the node.
	if err := c.whyNoSocket(ctx); err != nil {
		return nil, err
	}
	// It may have begun to listen in between.
	if conn, err := c.client.DialContext(ctx, "unix", EngineSocket); err == nil {
		return newEngineConn(conn), nil
	}
	c.useStdio.Store(true)
	return c.dialStdio(ctx)
}

// whyNoSocket looks at the engine's socket with the eyes of the user. It gives
// nil when nothing is wrong with it, so that it must be sshd that is in the way.
func (c *Conn) whyNoSocket(ctx context.Context) error {
	within := min(c.timeouts.Answer, socketPatience)
	r, err := c.Script(ctx, Script{Name: "socket.sh", Text: socketScript, Within: within}, EngineSocket)
	if err != nil {
		return err
	}
	switch state := strings.TrimSpace(string(r.Stdout)); state {
	case "ok":
		return nil
	case "denied":
		return &trouble.Error{
			ID: "docker-group-missing", Where: c.Name(), What: "open the engine's socket",
			Why:  "user " + c.endpoint.User + " is not in the docker group on this connection",
			Next: []string{"dcalab up " + c.Name() + "    # puts the user into the group and connects anew"},
		}
	default:
		why := "the engine is not running: nothing listens on " + EngineSocket
		if state == "absent" {
			why = "the engine is not running: there is no " + EngineSocket
		}
		return &trouble.Error{
			ID: "engine-down", Where: c.Name(), What: "open the engine's socket", Why: why,
			Next: []string{
				"dcalab ssh " + c.Name() + " -- sudo service docker start",
				"dcalab up " + c.Name() + "    # installs or starts what is missing",
			},
		}
	}
}

// engineProcess tells the process of the engine that runs, by the file that the engine
// writes.
const engineProcess = `pid=$(cat /var/run/docker.pid 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] && echo "$pid" || :`

// EngineProcess gives the id of the engine's process, empty where none runs. The socket
// is left alone: systemd, where it holds that, would start the engine.
func (c *Conn) EngineProcess(ctx context.Context) (string, error) {
	r, err := c.Run(ctx, "sh -c "+Quote(engineProcess), nil)
	return strings.TrimSpace(string(r.Stdout)), err
}

// dialStdio carries an engine connection over the streams of a command.
func (c *Conn) dialStdio(ctx context.Context) (net.Conn, error) {
	select {
	case c.stdio <- struct{}{}:
	case <-c.done:
		return nil, c.lost(io.EOF)
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: open the engine's socket: %w", c.Name(), context.Cause(ctx))
	}
	const line = "docker system dial-stdio"
	conn, err := c.streams(ctx, line, line, func() { <-c.stdio })
	if err != nil {
		return nil, err
	}
	return newEngineConn(conn), nil
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

// DialTCP opens a connection from the node to an address of TCP, which need not be
// reached from here. ctx is for the opening only.
func (c *Conn) DialTCP(ctx context.Context, address string) (net.Conn, error) {
	conn, err := c.client.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: connect to %s: %w", c.Name(), address, err)
	}
	return conn, nil
}
