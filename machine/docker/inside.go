package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox"
	"github.com/dcalab/dcalab/node"
)

// inside is dcalab in the lab's container, which has the nodes: what is asked of it
// over the line, and the connections to nodes.
type inside struct {
	cfg  *Config
	host *host
}

// do has a request done in the container, which runs.
func (i *inside) do(ctx context.Context, o machine.Observer, req request) (*result, error) {
	text, err := i.text(req)
	if err != nil {
		return nil, err
	}
	c := &conversation{inside: i, o: o}
	res, err := c.hold(ctx, text)
	c.readers.Wait()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // whatever the container's side makes of the end of its input
	}
	return res, errors.Join(append(c.errs, err)...)
}

// text is a request as it is sent: about this lab.
func (i *inside) text(req request) ([]byte, error) {
	req.Format, req.ID, req.Lab = wireFormat, i.cfg.ID, i.cfg.Lab
	if i.cfg.AuthorizedKey != nil {
		key, err := i.cfg.AuthorizedKey()
		if err != nil {
			return nil, err
		}
		req.AuthorizedKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	}
	return json.Marshal(req)
}

// grace is how long the container's side may take to end gracefully once it has
// been told to.
const grace = 20 * time.Second

// conversation is one request under way.
type conversation struct {
	inside  *inside
	o       machine.Observer
	readers sync.WaitGroup
	errs    []error
}

// hold asks, and gives the answer. When ctx ends, the end of the request tells
// the container's side to end gracefully; its answer is still waited for.
func (c *conversation) hold(ctx context.Context, request []byte) (*result, error) {
	line, err := c.inside.host.line(ctx)
	if err != nil {
		return nil, err
	}
	body, write := io.Pipe()
	running, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	stop := context.AfterFunc(ctx, func() {
		_ = write.Close()
		time.AfterFunc(grace, kill)
	})
	defer stop()
	req, err := http.NewRequestWithContext(running, http.MethodPost, lineBase+"/do", body)
	if err != nil {
		return nil, err
	}
	go func() { _, _ = write.Write(request) }()
	defer write.Close()
	resp, err := line.Do(req)
	if err != nil {
		return nil, unwrapped(err)
	}
	defer resp.Body.Close()
	return answer(resp.Body, c.event)
}

func (c *conversation) event(e event) {
	switch {
	case e.Step != nil:
		c.o.Begin(e.Step.Node, e.Step.Text)
	case e.Ready != "" && c.o.Ready != nil:
		ep, _ := c.inside.endpoint(context.Background(), e.Ready)
		c.readers.Go(func() { c.o.Ready(ep) })
	case e.HostKey != nil:
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(e.HostKey.Key))
		if err == nil {
			err = c.inside.cfg.PinHostKey(e.HostKey.Host, key)
		}
		c.fails(err)
	case e.Forget != "":
		c.fails(c.inside.cfg.ForgetHostKey(e.Forget))
	case e.Log != "":
		_, _ = io.WriteString(c.inside.cfg.Log, e.Log)
	}
}

func (c *conversation) fails(err error) {
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

// asked asks what only a container that runs can tell; the zero value elsewhere.
func asked[T any](ctx context.Context, i *inside, m method, of func(*result) T) (T, error) {
	var none T
	state, err := i.host.state(ctx)
	if err != nil || state != stateRunning {
		return none, err
	}
	res, err := i.do(ctx, machine.Observer{}, request{Method: m})
	if err != nil {
		return none, err
	}
	return of(res), nil
}

// imports sends disks. When ctx ends, they end, which the container's side refuses
// unless it had all of them; its answer is waited for, since it works until then.
func (i *inside) imports(ctx context.Context, o machine.Observer, req request, r io.Reader) error {
	running, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	disks := &sent{ctx: ctx, r: r}
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, kill) })()
	resp, err := i.post(running, "/import", req, disks)
	if err == nil {
		defer resp.Body.Close()
		c := &conversation{inside: i, o: o}
		_, err = answer(resp.Body, c.event)
		err = errors.Join(append(c.errs, err)...)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case disks.failure() != nil: // what is read is what is wrong
		return disks.failure()
	}
	return err
}

// post sends a request, and what follows it.
func (i *inside) post(ctx context.Context, path string, req request, disks io.Reader) (*http.Response, error) {
	line, err := i.host.line(ctx)
	if err != nil {
		return nil, err
	}
	text, err := i.text(req)
	if err != nil {
		return nil, err
	}
	body, write := io.Pipe()
	asked, err := http.NewRequestWithContext(ctx, http.MethodPost, lineBase+path, body)
	if err != nil {
		return nil, err
	}
	go func() {
		_, err := write.Write(text)
		if err == nil && disks != nil {
			_, err = io.Copy(write, disks)
		}
		_ = write.CloseWithError(err)
	}()
	resp, err := line.Do(asked)
	return resp, unwrapped(err)
}

// orphans are the nodes that are there, and that labs.yaml no longer has.
func (i *inside) orphans(ctx context.Context) (map[string]machine.Status, error) {
	return asked(ctx, i, methodOrphans, func(r *result) map[string]machine.Status { return r.Machines })
}

// endpoint of a node is its sshd, through docker exec.
func (i *inside) endpoint(ctx context.Context, name string) (node.Endpoint, error) {
	n, ok := i.cfg.Lab.Node(name)
	if !ok {
		orphans, err := i.orphans(ctx)
		if err != nil {
			return node.Endpoint{}, err
		}
		if _, ok := orphans[name]; !ok {
			_, err := i.cfg.Lab.Pick([]string{name})
			return node.Endpoint{}, err
		}
		n = lab.Node{Name: name}
	}
	socket := sandbox.Socket(i.cfg.ID, n.Name)
	_, in, err := i.host.docker.find(ctx)
	if err != nil {
		return node.Endpoint{}, err
	}
	return node.Endpoint{
		Node: n.Name, Network: "command", Address: i.cfg.container() + ":" + socket,
		Dial:    func(ctx context.Context) (net.Conn, error) { return i.reach(ctx, n.Name) },
		Command: slices.Concat([]string{program}, in.options(), []string{"exec", "--interactive", i.cfg.container(), dcalabInside, "ssh-proxy", socket}),
		User:    sandbox.User, IdentityFile: i.cfg.IdentityFile, HostKeyAlias: i.cfg.Lab.Hostname(n),
	}, nil
}

// reach opens a connection to a node's sshd over the line.
func (i *inside) reach(ctx context.Context, name string) (net.Conn, error) {
	line, err := i.host.line(ctx)
	if err != nil {
		return nil, err
	}
	// The request lives as long as the connection, and ctx only opens it.
	whole, end := context.WithCancel(context.WithoutCancel(ctx))
	opening := context.AfterFunc(ctx, end)
	body, write := io.Pipe()
	req, err := http.NewRequestWithContext(whole, http.MethodPost, lineBase+"/node/"+url.PathEscape(name)+"?id="+i.cfg.ID, body)
	if err != nil {
		end()
		return nil, err
	}
	resp, err := line.Do(req)
	if err == nil && !opening() {
		err = ctx.Err()
	}
	if err != nil {
		end()
		return nil, unwrapped(err)
	}
	if resp.StatusCode != http.StatusOK {
		defer end()
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("%s: %s", name, bytes.TrimSpace(text))
	}
	return node.Join(resp.Body, write, func() {
		_ = resp.Body.Close()
		end()
	}), nil
}
