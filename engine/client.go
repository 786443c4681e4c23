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
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/docker/docker/client"
)

// Client speaks to the engine of one node. It is safe for concurrent use, and so are its
// parts, which need no closing of their own.
type Client struct {
	*caller
	http *http.Transport
	stop context.CancelFunc // ends the dials under way

	Swarm    Swarm
	Services Services
	Configs  Configs
	Images   Images
}

// New makes a client for the engine of node (a name, used in errors), whose
// socket dial connects to. Nothing is dialled yet. dial is called whenever a
// new connection is wanted, from any goroutine, with a context that ends
// after 10 s or at Close.
func New(node string, dial func(ctx context.Context) (net.Conn, error)) (*Client, error) {
	life, stop := context.WithCancel(context.Background())
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
	transport := &http.Transport{
		DialContext: dialContext, DisableCompression: true, MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}
	// The host is only a name here. It comes first: it wants a transport of its
	// own making.
	api, err := client.NewClientWithOpts(client.WithHost("unix:///var/run/docker.sock"),
		client.WithHTTPClient(&http.Client{Transport: bounded{node, transport}, CheckRedirect: client.CheckRedirect}))
	if err != nil {
		stop()
		return nil, fmt.Errorf("%s: engine client: %w", node, err)
	}
	c := &caller{node: node, api: api}
	return &Client{caller: c, http: transport, stop: stop, Swarm: Swarm{c}, Services: Services{c}, Configs: Configs{c}, Images: Images{c}}, nil
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
	return c.ping(ctx, infoTimeout)
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

// Platform gives the system and processor that the engine runs containers
// for, in Go's terms ("linux", "amd64").
func (c *Client) Platform(ctx context.Context) (os, arch string, err error) {
	err = c.call(ctx, "version", infoTimeout, func(ctx context.Context) error {
		v, err := c.api.ServerVersion(ctx)
		os, arch = v.Os, v.Arch
		return err
	})
	return os, arch, err
}
