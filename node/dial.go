package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/trouble"
)

const (
	// defaultTimeout is for a node that runs; one that boots (Options.Wait) may
	// be twice as slow.
	defaultTimeout   = 10 * time.Second
	defaultKeepAlive = 5 * time.Second
	// maxSessions stays below the 10 that sshd_config(5) gives a connection
	// (MaxSessions), so that a ssh of somebody else's making still fits.
	maxSessions = 8
	// maxStdio is how many of these may carry an engine connection for long,
	// so that a command always finds a session free.
	maxStdio = 6
)

// Options is how a connection is made. The zero value of each field but
// KnownHosts is a sensible default.
type Options struct {
	// KnownHosts is the path of the lab's own known_hosts file. A missing file
	// is an empty one. The user's ~/.ssh/known_hosts is never looked at.
	KnownHosts string
	// LearnHostKey is called with the key of a node that KnownHosts does not
	// name, and the connection goes on if it returns nil: for a
	// machine that was just created, whose key it writes there. When nil, an
	// unknown key is an error ("host-key-unknown"). A changed key is an error
	// always ("host-key-changed").
	LearnHostKey func(alias string, key ssh.PublicKey) error
	// AgentSocket is the path of the user's ssh-agent, whose keys are offered
	// after the endpoint's identity file. Empty means no agent.
	AgentSocket string
	// Wait keeps trying while nothing answers yet (no socket, connection
	// refused, closed before the handshake ended: a node that boots), for as
	// long as this. Without it the first failure is returned. A refused key or
	// a wrong host key ends the wait at once.
	Wait time.Duration
	// Timeout of one attempt: connecting, handshake and login. Default 10 s, and
	// 20 s with Wait.
	Timeout time.Duration
	// KeepAlive is how often the connection is asked for a sign of life; one
	// from which nothing is heard in six times as long is closed. Default 5 s.
	KeepAlive time.Duration
	// Timeouts are how long the node may take for what it is asked.
	Timeouts Timeouts
}

// Conn is one SSH connection to one node. Its methods may be called from
// several goroutines; each opens a session of its own on the connection, at
// most eight at a time, and more wait their turn.
type Conn struct {
	endpoint Endpoint
	client   *ssh.Client
	done     chan struct{}
	sessions chan struct{} // a token per open session
	stdio    chan struct{} // a token per session that carries the engine
	open     atomic.Int32  // sessions that sshd has granted
	useStdio atomic.Bool   // the server forbids forwarding
	timeouts Timeouts
}

// Dial opens the connection to a node and logs in. The caller closes it.
//
// Errors that a person acts on are trouble.Error with these IDs:
// "host-key-changed", "host-key-unknown", "key-refused", "identity-unreadable",
// "node-unreachable".
func Dial(ctx context.Context, ep Endpoint, o Options) (*Conn, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
		if o.Wait > 0 {
			o.Timeout *= 2
		}
	}
	if o.KeepAlive <= 0 {
		o.KeepAlive = defaultKeepAlive
	}
	if ep.HostKeyAlias == "" {
		ep.HostKeyAlias = ep.Node
	}
	// Read before the first attempt: a key that cannot be read is no reason to
	// wait for a node to boot.
	identity, err := readIdentity(ep, o)
	if err != nil {
		return nil, err
	}
	var heard moment
	if o.Wait <= 0 {
		client, err := dialOnce(ctx, ep, o, identity, &heard)
		if err != nil {
			return nil, explainDial(ctx, ep, err)
		}
		return newConn(ep, client, o, &heard), nil
	}

	// A node that boots is looked for often at first: on the sandbox its sshd
	// is there within tens of milliseconds.
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 10 * time.Millisecond
	b.Multiplier = 1.3
	b.MaxInterval = 250 * time.Millisecond
	var last error
	client, err := backoff.Retry(ctx, func() (*ssh.Client, error) {
		client, err := dialOnce(ctx, ep, o, identity, &heard)
		if err != nil {
			if !notYet(err) {
				return nil, backoff.Permanent(err)
			}
			if ctx.Err() == nil { // else it is only the end of the wait
				last = err
			}
		}
		return client, err
	}, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(o.Wait))
	if err != nil {
		if p := (*backoff.PermanentError)(nil); errors.As(err, &p) {
			err = p.Err
		} else if last != nil {
			err = last
		}
		return nil, explainDial(ctx, ep, err)
	}
	return newConn(ep, client, o, &heard), nil
}

func newConn(ep Endpoint, client *ssh.Client, o Options, heard *moment) *Conn {
	c := &Conn{
		endpoint: ep,
		client:   client,
		done:     make(chan struct{}),
		sessions: make(chan struct{}, maxSessions),
		stdio:    make(chan struct{}, maxStdio),
		timeouts: o.Timeouts.orDefault(),
	}
	go func() {
		_ = client.Wait()
		close(c.done)
	}()
	go c.keepAlive(o.KeepAlive, heard)
	return c
}

// Name is the node's short name.
func (c *Conn) Name() string { return c.endpoint.Node }

// Timeouts are how long the node may take for what it is asked.
func (c *Conn) Timeouts() Timeouts { return c.timeouts }

// Endpoint is what the node was dialled with.
func (c *Conn) Endpoint() Endpoint { return c.endpoint }

// Close ends every session and the connection. Closing twice is fine.
func (c *Conn) Close() error {
	err := c.client.Close()
	<-c.done
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Done is closed when the connection has ended, by Close or by itself.
func (c *Conn) Done() <-chan struct{} { return c.done }

// silences is how many times KeepAlive a connection may be silent before it is
// taken for dead. A node that unpacks images on a busy host was seen to keep its
// sshd from answering for 15 s.
const silences = 6

// moment is when something was last heard.
type moment struct{ at atomic.Pointer[time.Time] }

func (m *moment) now() { t := time.Now(); m.at.Store(&t) }

// ago is how long it is since then; something must have been heard.
func (m *moment) ago() time.Duration { return time.Since(*m.at.Load()) }

// heardConn notes when something was last read from it.
type heardConn struct {
	net.Conn
	heard *moment
}

func (c heardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.now()
	}
	return n, err
}

// keepAlive ends the connection of a node that went away without a word
// (powered off, suspended, its network cut), so that nothing waits for it for
// ever. Any answer will do (OpenSSH answers that it does not know the request),
// and so does whatever else is heard: an sshd that is slow to answer may carry
// the output of commands meanwhile.
func (c *Conn) keepAlive(every time.Duration, heard *moment) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
		heard.now() // what it is silent for begins with the question
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_, _, _ = c.client.SendRequest("keepalive@openssh.com", true, nil)
		}()
		for alive := false; !alive; {
			select {
			case <-answered:
				alive = true
			case <-time.After(silences*every - heard.ago()):
				if heard.ago() >= silences*every {
					_ = c.client.Close()
					<-answered
					return
				}
			}
		}
	}
}

// dialOnce makes one attempt, and keeps noting when something is heard. Its
// errors are hostKeyError, authError or whatever the network said.
func dialOnce(ctx context.Context, ep Endpoint, o Options, identity ssh.Signer, heard *moment) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()

	pins, err := loadPins(o.KnownHosts, ep.HostKeyAlias)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	conn, err := ep.connect(ctx, net.Dialer{})
	if err != nil {
		return nil, err
	}
	signers, closeAgent := loginKeys(ctx, identity, o.AgentSocket)
	defer closeAgent()
	var keyErr error // the handshake's own error does not always carry it
	cfg := &ssh.ClientConfig{
		User:              ep.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeysCallback(signers)},
		HostKeyAlgorithms: pins.algorithms(),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			keyErr = pins.check(key, o.LearnHostKey)
			return keyErr
		},
	}
	client, err := handshake(ctx, heardConn{conn, heard}, ep, cfg)
	if err != nil {
		var neg *ssh.AlgorithmNegotiationError
		switch {
		case keyErr != nil:
			return nil, keyErr
		case errors.As(err, &neg) && len(pins.known) > 0 && strings.Contains(neg.Error(), "host key"):
			// The server no longer has a key of the kind that was pinned.
			return nil, &hostKeyError{alias: pins.alias, path: pins.path, changed: true}
		case strings.Contains(err.Error(), "unable to authenticate"):
			return nil, &authError{err}
		case ctx.Err() != nil:
			return nil, &slowError{ctx.Err()}
		}
	}
	return client, err
}

// handshake logs in over a connection, within ctx. Where it fails, it closes it.
func handshake(ctx context.Context, conn net.Conn, ep Endpoint, cfg *ssh.ClientConfig) (*ssh.Client, error) {
	// Closing the connection is what interrupts a handshake.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	sc, chans, reqs, err := ssh.NewClientConn(conn, ep.HostKeyAlias, cfg)
	if !stop() && err == nil {
		_ = sc.Close()
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return ssh.NewClient(sc, chans, reqs), nil
}

// ShowsPinnedKey tells whether a node answers and shows a host key that the file
// knownHosts has for it. Nobody logs in. connect is how long the connection may
// take, apart from the handshake.
func ShowsPinnedKey(ctx context.Context, ep Endpoint, knownHosts string, connect time.Duration) bool {
	pins, err := loadPins(knownHosts, ep.HostKeyAlias)
	if err != nil || len(pins.known) == 0 {
		return false
	}
	conn, err := ep.connect(ctx, net.Dialer{Timeout: connect})
	if err != nil {
		return false
	}
	seen := errors.New("host key seen")
	_, err = handshake(ctx, conn, ep, &ssh.ClientConfig{
		User: ep.User, HostKeyAlgorithms: pins.algorithms(),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			return cmp.Or(pins.check(key, nil), seen)
		},
	})
	return errors.Is(err, seen)
}

// slowError is an sshd that took the connection, and did not let anybody in
// before the time was up.
type slowError struct{ err error }

func (e *slowError) Error() string { return "it did not finish the SSH handshake in time" }
func (e *slowError) Unwrap() error { return e.err }

// authError is a login that sshd refused.
type authError struct{ err error }

func (e *authError) Error() string { return e.err.Error() }
func (e *authError) Unwrap() error { return e.err }

// notYet tells a node that may answer later from one that has answered no.
func notYet(err error) bool {
	var hk *hostKeyError
	var auth *authError
	var neg *ssh.AlgorithmNegotiationError
	var permanent *backoff.PermanentError
	return !errors.As(err, &hk) && !errors.As(err, &auth) && !errors.As(err, &neg) &&
		!errors.As(err, &permanent) && !errors.Is(err, fs.ErrPermission)
}

// explainDial makes the error of a connection one that its reader can act on.
func explainDial(ctx context.Context, ep Endpoint, err error) error {
	if p := (*backoff.PermanentError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	var t *trouble.Error
	var hk *hostKeyError
	var auth *authError
	switch {
	case errors.As(err, &t):
		return err
	case errors.As(err, &hk):
		return hk.trouble(ep.Node)
	case errors.As(err, &auth):
		return &trouble.Error{
			ID: "key-refused", Where: ep.Node, What: "log in over SSH as " + ep.User,
			Why: "the node answers, and refuses the key " + ep.IdentityFile,
			Next: []string{
				"if the node's authorized_keys was changed, put the lab's public key back",
				"dcalab destroy " + ep.Node + " && dcalab up " + ep.Node + "    # a node with a fresh key",
			},
			Err: err,
		}
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("connect to %s: %w", ep.Node, context.Cause(ctx))
	}
	why := "nothing answers at " + ep.Address
	var slow *slowError
	switch {
	case errors.Is(err, fs.ErrPermission):
		why = "this user may not open " + ep.Address
	case errors.As(err, &slow):
		why = "the sshd at " + ep.Address + " is too slow"
	}
	cause := err
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		cause = fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
	}
	return &trouble.Error{
		ID: "node-unreachable", Where: ep.Node, What: "connect over SSH",
		Why:  why + ": " + cause.Error(),
		Next: []string{"dcalab status    # is the machine running?", "dcalab up " + ep.Node},
		Err:  cause,
	}
}
