package engine

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/client"

	"github.com/dcalab/dcalab/trouble"
)

// How long one call may take, on top of whatever deadline the caller's
// context has. A manager without a quorum keeps a caller waiting for 20 s
// before it says so (moby, daemon/cluster, swarmRequestTimeout), so nothing
// is ever called without a limit.
const (
	// dialTimeout bounds one connection to the engine's socket.
	dialTimeout = 10 * time.Second
	// infoTimeout bounds the calls that only ask.
	infoTimeout = 5 * time.Second
	// aliveTimeout bounds the ping that follows a call without an answer.
	aliveTimeout = 5 * time.Second
	// changeTimeout bounds the calls that change one object.
	changeTimeout = 10 * time.Second
	// joinTimeout bounds init, join, leave and unlock. The engine itself gives
	// up waiting for a join after 20 s and carries on in the background.
	joinTimeout = 30 * time.Second
)

// caller makes the calls to the engine of one node: each has a limit, and its error
// says which node and what was asked. It is safe for concurrent use.
type caller struct {
	node string
	api  *client.Client

	negotiating sync.Mutex
	negotiated  bool
}

// call runs do with the API version negotiated and turns what comes back into
// an *Error. One ping is spent on it in a client's life. Docker's client can
// do this by itself, but swallows the error of a failed ping and then continues
// with a version that an older engine refuses.
func (c *caller) call(ctx context.Context, op string, limit time.Duration, do func(context.Context) error) error {
	err := c.raw(ctx, op, limit, func(ctx context.Context) error {
		if err := c.negotiate(ctx); err != nil {
			return err
		}
		return do(ctx)
	})
	var e *Error
	if errors.As(err, &e) && errors.Is(e.cause, context.DeadlineExceeded) && ctx.Err() == nil && c.alive(ctx) {
		e.hangs = true
	}
	return err
}

// alive tells an engine that waits for a leader from one that is stopped: the
// first answers a ping at once.
func (c *caller) alive(ctx context.Context) bool {
	return c.ping(ctx, aliveTimeout) == nil
}

func (c *caller) ping(ctx context.Context, limit time.Duration) error {
	return c.raw(ctx, "ping", limit, func(ctx context.Context) error {
		_, err := c.api.Ping(ctx)
		return err
	})
}

func (c *caller) negotiate(ctx context.Context) error {
	c.negotiating.Lock()
	defer c.negotiating.Unlock()
	if c.negotiated {
		return nil
	}
	ping, err := c.api.Ping(ctx)
	if err != nil {
		return err
	}
	c.api.NegotiateAPIVersionPing(ping)
	c.negotiated = true
	return nil
}

func (c *caller) raw(ctx context.Context, op string, limit time.Duration, do func(context.Context) error) error {
	var said note
	inner, cancel := context.WithTimeout(context.WithValue(ctx, noteKey{}, &said), limit)
	defer cancel()
	start := time.Now()
	err := do(inner)
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	if t := said.getCut(); t != nil {
		return &Error{Node: c.node, Op: op, Kind: ErrUnreachable, Message: t.Why, cause: t}
	}
	// Where the answer was being read, the client's error has the text alone.
	late := errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(inner.Err(), context.DeadlineExceeded) && strings.HasSuffix(err.Error(), context.DeadlineExceeded.Error())
	if said.getDial() == nil && late {
		return &Error{Node: c.node, Op: op, Kind: ErrUnreachable, cause: context.DeadlineExceeded,
			Message: "no answer within " + time.Since(start).Round(100*time.Millisecond).String()}
	}
	return classify(c.node, op, err, said.getDial())
}

// note carries what Docker's client replaces by words of its own past it: the
// error of a failed dial, and that of an answer that was cut off.
type note struct {
	mu   sync.Mutex
	dial error
	cut  *trouble.Error
}

type noteKey struct{}

func (n *note) setDial(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dial = err
}

func (n *note) getDial() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dial
}

func (n *note) setCut(err *trouble.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = err
}

func (n *note) getCut() *trouble.Error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut
}
