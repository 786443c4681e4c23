package session

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/dcalab/dcalab/lab"
)

// forwardPatience is how long a node may take to connect to its own port.
const forwardPatience = 10 * time.Second

// Forward carries connections from a port of this machine to one of the lab's
// nodes, through SSH.
type Forward struct {
	// Listener is on this machine; Serve closes it.
	Listener net.Listener
	// Port is of TCP, on each of Nodes. A connection goes to the first of them that
	// takes it.
	Port  uint16
	Nodes []lab.Node
}

// Serve carries connections until ctx ends, and cuts off then what is open. failed
// is told of those that no node took.
func (f Forward) Serve(ctx context.Context, p *Pool, failed func(error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { _ = f.Listener.Close() })()
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel() // what is open is cut off, whatever the reason
	for {
		from, err := f.Listener.Accept()
		switch {
		case err == nil && ctx.Err() != nil:
			return from.Close()
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		open.Go(func() {
			defer from.Close()
			to, err := f.dial(ctx, p)
			if err != nil {
				if ctx.Err() == nil {
					failed(err)
				}
				return
			}
			defer to.Close()
			defer context.AfterFunc(ctx, func() { _ = errors.Join(from.Close(), to.Close()) })()
			carry(from, to)
		})
	}
}

func (f Forward) dial(ctx context.Context, p *Pool) (net.Conn, error) {
	var errs []error
	for _, n := range f.Nodes {
		to, err := f.dialOn(ctx, p, n)
		if err == nil {
			return to, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (f Forward) dialOn(ctx context.Context, p *Pool, n lab.Node) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardPatience)
	defer cancel()
	c, err := p.Conn(ctx, n.Name)
	if err != nil {
		return nil, err
	}
	return c.DialTCP(ctx, net.JoinHostPort(n.IP.String(), strconv.Itoa(int(f.Port))))
}

// carry copies both ways, up to the end of both.
func carry(a, b net.Conn) {
	var ways sync.WaitGroup
	way := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
			return
		}
		_ = to.Close()
	}
	ways.Go(func() { way(a, b) })
	ways.Go(func() { way(b, a) })
	ways.Wait()
}
