// Package engine is the Docker Engine API of one node, in dcalab's own terms.
// It is the only package that touches Docker's client library, so that moving
// to that library's successor is an afternoon's work. It knows neither SSH
// nor labs: it is given a way to dial the engine's socket.
//
// Engines from 20.10 (API 1.41) to 29 are spoken to; the version is negotiated
// once per Client, never pinned.
package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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

// Client speaks to the engine of one node. It is safe for concurrent use.
type Client struct {
	node string
	api  *client.Client
	http *http.Transport
	stop context.CancelFunc // ends the dials under way

	negotiating sync.Mutex
	negotiated  bool
}

// New makes a client for the engine of node (a name, used in errors), whose
// socket dial connects to. Nothing is dialled yet. dial is called whenever a
// new connection is wanted, from any goroutine, with a context that ends
// after 10 s or at Close.
func New(node string, dial func(ctx context.Context) (net.Conn, error)) (*Client, error) {
	life, stop := context.WithCancel(context.Background())
	c := &Client{node: node, stop: stop}
	dialContext := func(ctx context.Context, _, _ string) (net.Conn, error) {
		// net/http dials on behalf of any request that waits, with a context
		// cut off from the request's own end: it needs an end of its own.
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		conn, err := dial(ctx)
		if err != nil {
			if n, ok := ctx.Value(noteKey{}).(*note); ok {
				n.setDial(err)
			}
		}
		return conn, err
	}
	// As Docker's client makes it, but bounded.
	c.http = &http.Transport{
		DialContext: dialContext, DisableCompression: true, MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}
	// The host is only a name here. It comes first: it wants a transport of its
	// own making.
	api, err := client.NewClientWithOpts(client.WithHost("unix:///var/run/docker.sock"),
		client.WithHTTPClient(&http.Client{Transport: bounded{node, c.http}, CheckRedirect: client.CheckRedirect}))
	if err != nil {
		stop()
		return nil, fmt.Errorf("%s: engine client: %w", node, err)
	}
	c.api = api
	return c, nil
}

// Close ends the idle connections and the dials under way.
func (c *Client) Close() error {
	c.stop()
	c.http.CloseIdleConnections()
	if err := c.api.Close(); err != nil {
		return fmt.Errorf("%s: close: %w", c.node, err)
	}
	return nil
}

// Ping asks whether the engine answers.
func (c *Client) Ping(ctx context.Context) error {
	return c.raw(ctx, "ping", infoTimeout, func(ctx context.Context) error {
		_, err := c.api.Ping(ctx)
		return err
	})
}

// Version gives the engine's version ("20.10.24").
func (c *Client) Version(ctx context.Context) (string, error) {
	var version string
	err := c.call(ctx, "version", infoTimeout, func(ctx context.Context) error {
		v, err := c.api.ServerVersion(ctx)
		version = v.Version
		return err
	})
	return version, err
}

// call runs do with the API version negotiated and turns what comes back into
// an *Error. One ping is spent on it in a client's life. Docker's client can
// do this by itself, but swallows the error of a failed ping and then continues
// with a version that an older engine refuses.
func (c *Client) call(ctx context.Context, op string, limit time.Duration, do func(context.Context) error) error {
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
func (c *Client) alive(ctx context.Context) bool {
	return c.raw(ctx, "ping", aliveTimeout, func(ctx context.Context) error {
		_, err := c.api.Ping(ctx)
		return err
	}) == nil
}

func (c *Client) negotiate(ctx context.Context) error {
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

func (c *Client) raw(ctx context.Context, op string, limit time.Duration, do func(context.Context) error) error {
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
