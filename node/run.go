package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/trouble"
)

const (
	// openPatience is how long a session that sshd refuses is asked for
	// again: one that has just ended may still count against MaxSessions.
	openPatience = 2 * time.Second
	// cancelPatience is how long a command that was told to stop may take
	// before it is left behind.
	cancelPatience = 300 * time.Millisecond
	// MaxOutput is how much a command may write to either stream where dcalab
	// wants its answer, in bytes. The longest answer there is (what a package
	// manager says) has some hundred KiB.
	MaxOutput = 8 << 20
)

// Timeouts are how long a node may take for what dcalab asks of it; a field that
// is zero has a default. It is not for the commands of a person (Stream,
// Interactive, Files), which end when they do.
type Timeouts struct {
	// Answer is for one question. Default 15 s.
	Answer time.Duration
	// Ready is for each step of making a node ready that moves little: the node
	// may be booting. Default 1 min.
	Ready time.Duration
	// Work is for a step that may move much: installing packages over a slow
	// network, starting an engine, emptying it. Default 30 min.
	Work time.Duration
}

func (t Timeouts) orDefault() Timeouts {
	return Timeouts{
		Answer: cmp.Or(t.Answer, 15*time.Second),
		Ready:  cmp.Or(t.Ready, time.Minute),
		Work:   cmp.Or(t.Work, 30*time.Minute),
	}
}

// Result is what a command left behind.
type Result struct {
	Stdout, Stderr []byte
	// Exit is the status; 128+n for a command that signal n ended.
	Exit int
}

// RunError is a command that ran on a node and did not exit with 0.
type RunError struct {
	Node    string
	Command string // redacted, and shortened to its first line
	Exit    int
	Stderr  string // the last lines, redacted
}

func (e *RunError) Error() string {
	s := fmt.Sprintf("%s: %s: exit status %d", e.Node, e.Command, e.Exit)
	if e.Stderr != "" {
		s += ": " + e.Stderr
	}
	return s
}

// Run asks a question: it runs one command line with the login shell of the
// node's user and collects what it writes. stdin may be nil. When the command
// ends with another status than 0 the error is a *RunError, and the Result is
// complete all the same. When ctx ends first, the command is sent SIGTERM (which
// sshd does not pass on to commands of root), the session is closed, and the
// error is ctx's. The same happens to a command that does not answer in time
// ("node-timeout") or never stops talking ("node-too-much-output").
func (c *Conn) Run(ctx context.Context, cmd string, stdin io.Reader) (Result, error) {
	return c.ask(ctx, shortCommand(cmd), cmd, stdin, c.timeouts.Answer)
}

// ask is Run that may take as long as within. what is the command's name for
// a person.
func (c *Conn) ask(ctx context.Context, what, cmd string, stdin io.Reader, within time.Duration) (Result, error) {
	stdout := &trouble.Bound{Max: MaxOutput, Node: c.Name(), What: "run " + what}
	stderr := &trouble.Bound{Max: MaxOutput, Node: c.Name(), What: "run " + what}
	ctx, cancel := context.WithTimeoutCause(ctx, within, c.late("run "+what, within))
	defer cancel()
	exit, err := c.exec(ctx, func(s *ssh.Session) error { return s.Start(cmd) }, stdin, stdout, stderr)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %s: %w", c.Name(), what, err)
	}
	r := Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Exit: exit}
	if exit != 0 {
		return r, &RunError{Node: c.Name(), Command: what, Exit: exit, Stderr: trouble.LastLines(stderr.String(), 5)}
	}
	return r, nil
}

// late is the error of a node that has not answered a question in time.
func (c *Conn) late(what string, within time.Duration) error {
	return &trouble.Error{
		ID: "node-timeout", Where: c.Name(), What: what, Why: fmt.Sprintf("no answer after %v: the shell there, or the machine, hangs", within.Round(time.Millisecond)),
		Next: []string{"see what it does: dcalab ssh " + c.Name(), "or restart it: dcalab halt " + c.Name() + " && dcalab start " + c.Name()},
		Err:  context.DeadlineExceeded,
	}
}

// Stream runs one command line with the three streams connected, without a
// terminal. Any of them may be nil. It returns the exit status as Result.Exit
// describes it; the error is only for a command that could not be run or
// whose status was lost ("connection-lost"), or what a writer said that failed:
// the command is then told to end. Nothing is written to stdout and
// stderr after it has returned; a Read of stdin may still be under way.
func (c *Conn) Stream(ctx context.Context, cmd string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	exit, err := c.exec(ctx, func(s *ssh.Session) error { return s.Start(cmd) }, stdin, stdout, stderr)
	if err != nil {
		return 0, fmt.Errorf("%s: %s: %w", c.Name(), shortCommand(cmd), err)
	}
	return exit, nil
}

// exec opens a session, starts what start starts, and waits for its status.
func (c *Conn) exec(ctx context.Context, start func(*ssh.Session) error, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	s, release, err := c.session(ctx)
	if err != nil {
		return 0, err
	}
	broken := make(chan error, 2)
	outGate, errGate := &gate{w: stdout, broken: broken}, &gate{w: stderr, broken: broken}
	if stdout != nil {
		s.Stdout = outGate
	}
	if stderr != nil {
		s.Stderr = errGate
	}
	if stdin != nil {
		s.Stdin = stdin // Wait does not wait for its end
	}
	ended := make(chan error, 1)
	go func() {
		defer release()
		err := start(s)
		if err == nil {
			err = s.Wait()
		}
		ended <- err
	}()

	var why error
	select {
	case err = <-ended:
		select {
		case why = <-broken:
			return 0, why
		default:
		}
	case <-ctx.Done():
		why = context.Cause(ctx)
	case why = <-broken:
		// As a program here ends whose output is gone. Left alone, it would wait
		// for ever for somebody to read on.
	}
	if why != nil {
		// Closing the session alone would leave a silent command running
		// there: sshd tells only a terminal's processes.
		go func() {
			_ = s.Signal(ssh.SIGTERM)
			_ = s.Close()
		}()
		patience := time.NewTimer(cancelPatience)
		defer patience.Stop()
		select {
		case <-ended: //nolint:errcheck // it was told to end: ctx's error is the one
		case <-patience.C:
		}
		outGate.shut()
		errGate.shut()
		return 0, why
	}
	var status *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &status):
		return status.ExitStatus(), nil
	}
	return 0, c.lost(err)
}

// session opens a session, waiting for its turn.
func (c *Conn) session(ctx context.Context) (*ssh.Session, func(), error) {
	select {
	case c.sessions <- struct{}{}:
	case <-c.done:
		return nil, nil, c.lost(io.EOF)
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	free := func() { <-c.sessions }

	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 20 * time.Millisecond
	b.MaxInterval = 200 * time.Millisecond
	alone := time.Now()
	s, err := backoff.Retry(ctx, func() (*ssh.Session, error) {
		s, err := c.openSession(ctx)
		if err == nil {
			c.open.Add(1)
			return s, nil
		}
		if c.open.Load() > 0 { // a server that allows fewer: wait for one of ours to end
			alone = time.Now()
		}
		refused := (*ssh.OpenChannelError)(nil)
		if !errors.As(err, &refused) || time.Since(alone) > openPatience {
			return nil, backoff.Permanent(err)
		}
		return nil, err
	}, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0))
	if err != nil {
		free()
		if p := (*backoff.PermanentError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		var refused *ssh.OpenChannelError
		switch {
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case errors.As(err, &refused):
			return nil, nil, &trouble.Error{
				ID: "session-refused", Where: c.Name(), What: "open a session on the connection",
				Why:  "sshd refuses it: " + refused.Error(),
				Next: []string{"see MaxSessions in the node's /etc/ssh/sshd_config: dcalab needs 8, the default is 10"},
				Err:  err,
			}
		}
		return nil, nil, c.lost(err)
	}
	var once sync.Once
	return s, func() { once.Do(func() { _ = s.Close(); c.open.Add(-1); free() }) }, nil
}

// openSession is NewSession that ends with ctx. A session that is granted too
// late is closed by the goroutine left behind, which ends with the connection
// at the latest.
func (c *Conn) openSession(ctx context.Context) (*ssh.Session, error) {
	type opened struct {
		s   *ssh.Session
		err error
	}
	ch := make(chan opened)
	go func() {
		s, err := c.client.NewSession()
		select {
		case ch <- opened{s, err}:
		case <-ctx.Done():
			if s != nil {
				_ = s.Close()
			}
		}
	}()
	select {
	case o := <-ch:
		return o.s, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// await waits for f, which waits for the node, and no longer than ctx. What is
// left behind then ends with the connection at the latest.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	got := make(chan result, 1)
	go func() {
		v, err := f()
		got <- result{v, err}
	}()
	select {
	case r := <-got:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// lost is the error of a connection that ended in the middle of something.
func (c *Conn) lost(err error) error {
	return &trouble.Error{
		ID: "connection-lost", Where: c.Name(), What: "keep the SSH connection",
		Why:  "it ended before the command did",
		Next: []string{"dcalab status    # is the machine still running?"},
		Err:  err,
	}
}

// gate passes writes on until it is shut, so that a caller's buffer is its own
// again when the call has returned.
type gate struct {
	mu     sync.Mutex
	done   atomic.Bool
	w      io.Writer
	broken chan<- error // gets the error of a write that failed, once
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done.Load() {
		return 0, io.ErrClosedPipe
	}
	n, err := g.w.Write(p)
	if err != nil {
		select {
		case g.broken <- err:
		default: // it is told already
		}
	}
	return n, err
}

// shut waits for a Write under way, but not for ever: it may be one to a pipe
// that nobody reads.
func (g *gate) shut() {
	g.done.Store(true)
	free := make(chan struct{})
	go func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		close(free)
	}()
	patience := time.NewTimer(cancelPatience)
	defer patience.Stop()
	select {
	case <-free:
	case <-patience.C:
	}
}

// shortCommand is a command line as an error shows it.
func shortCommand(cmd string) string {
	line, rest, more := strings.Cut(strings.TrimSpace(trouble.Redact(cmd)), "\n")
	if more && strings.TrimSpace(rest) != "" {
		line += " …"
	}
	return line
}
