package vagrant

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// arrivalType is the type of the line that the Vagrantfile's trigger adds to
// the stream when a machine is up: the provider's id of it, and the host,
// port, user and private key with which it is reached.
const arrivalType = "dcalab-machine"

// arrival reads such a line about a node with that hostname; ok is false where
// something is missing in it.
func arrival(name, hostname string, e event) (ep node.Endpoint, id string, ok bool) {
	id, host, user, key := e.data(0), e.data(1), e.data(3), e.data(4)
	port, err := strconv.ParseUint(e.data(2), 10, 16)
	if err != nil || port == 0 || id == "" || host == "" || user == "" || key == "" {
		return node.Endpoint{}, "", false
	}
	return node.Endpoint{
		Node: name, Network: "tcp", Address: net.JoinHostPort(host, strconv.FormatUint(port, 10)), User: user,
		IdentityFile: filepath.FromSlash(key), HostKeyAlias: hostname,
	}, id, true
}

// askEndpoint starts Vagrant to learn how a machine is reached.
func (r runner) askEndpoint(ctx context.Context, n lab.Node) (node.Endpoint, string, error) {
	var text strings.Builder
	out, err := r.run(ctx, func(e event) {
		if e.Type == "ssh-config" {
			text.WriteString(e.data(0))
		}
	}, "ssh-config", n.Name)
	if errors.Is(err, errFailed) {
		for _, e := range out.Errors {
			if e.Class == "Vagrant::Errors::SSHNotReady" {
				return node.Endpoint{}, "", &trouble.Error{
					ID: "node-halted", Where: n.Name, Why: "its machine does not run, or has no address yet", Next: []string{"dcalab start " + n.Name},
				}
			}
		}
		return node.Endpoint{}, "", explain(out)
	}
	if err != nil {
		return node.Endpoint{}, "", err
	}
	endpoints, err := parseSSHConfig([]byte(text.String()))
	if err != nil {
		return node.Endpoint{}, "", err
	}
	ids, err := r.dotfile.machineIDs()
	if err != nil {
		return node.Endpoint{}, "", err
	}
	for _, ep := range endpoints {
		if ep.Node == n.Name && ids[n.Name] != "" {
			ep.HostKeyAlias = r.cfg.Lab.Hostname(n)
			return ep, ids[n.Name], nil
		}
	}
	return node.Endpoint{}, "", fmt.Errorf("%s: Vagrant does not say how to reach it", n.Name)
}

// arrivals are the nodes of one Up that answer.
type arrivals struct {
	logins   logins
	observer machine.Observer
	wg       sync.WaitGroup
	mu       sync.Mutex
	seen     map[string]bool
	errs     []error
}

// add makes a node that is up ready, once, and tells the observer. Other nodes do
// not wait for it.
func (a *arrivals) add(ctx context.Context, n lab.Node, id string, ep node.Endpoint, booted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen[n.Name] {
		return
	}
	a.seen[n.Name] = true
	a.wg.Go(func() {
		err := func() error {
			a.observer.Begin(n.Name, "logging in")
			if err := a.logins.adopt(ctx, n, id, ep, booted, bootTimeout); err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			if a.observer.Ready != nil {
				a.observer.Ready(ep)
			}
			return nil
		}()
		if err != nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.errs = append(a.errs, err)
		}
	})
}

func (a *arrivals) has(node string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen[node]
}

// wait waits for all nodes that were added, and gives what went wrong, once.
func (a *arrivals) wait() error {
	a.wg.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	err := errors.Join(a.errs...)
	a.errs = nil
	return err
}
