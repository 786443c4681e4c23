package vagrant

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

const (
	// connectTimeout is for the connection alone: the hypervisor's own network
	// is near.
	connectTimeout = time.Second
	// hostKeyTimeout is how long a running machine may take to show its host key,
	// before Vagrant is asked instead.
	hostKeyTimeout = 5 * time.Second
	// loginTimeout is for one attempt to log in to a machine that boots.
	loginTimeout = 20 * time.Second
	// runningTimeout is for a machine that has been running for a while to let
	// dcalab in and take its names.
	runningTimeout = 10 * time.Second
	// bootTimeout is the same for a machine that Vagrant has just called up.
	bootTimeout = 2 * time.Minute
)

// Both read the output of namesOf.
var (
	//go:embed hostname.sh
	hostnameScript string
	//go:embed hosts.sh
	hostsScript string
)

// logins makes machines that run the lab's nodes, over SSH, and remembers how
// they are reached.
type logins struct {
	lab    *lab.Lab
	state  *lab.State
	memory *memory
	log    io.Writer
}

// answering finds the nodes that answer where they were last seen, and show the
// host key that is pinned for them. (Another machine may have their port by now.)
func (l logins) answering(ctx context.Context, nodes []lab.Node, ids map[string]string) map[string]node.Endpoint {
	found := map[string]node.Endpoint{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, n := range nodes {
		ep, ok, err := l.memory.endpoint(n.Name, ids[n.Name])
		if err != nil || !ok {
			continue
		}
		wg.Go(func() {
			began := time.Now()
			within, cancel := context.WithTimeout(ctx, hostKeyTimeout)
			defer cancel()
			answers := node.ShowsPinnedKey(within, ep, l.state.KnownHosts(), connectTimeout)
			mu.Lock()
			defer mu.Unlock()
			if answers {
				found[n.Name] = ep
			} else if ctx.Err() == nil {
				// The log shows why Vagrant was asked.
				fmt.Fprintf(l.log, "%s: no answer after %.1fs\n", n.Name, time.Since(began).Seconds())
			}
		})
	}
	wg.Wait()
	return found
}

// adopt makes a machine that is up the node n: its host key is pinned, or
// checked where it is the machine that it was; its host name is the node's full
// name, and it knows the other nodes' names. booted says that it was started just
// now. It may take as long as within.
func (l logins) adopt(ctx context.Context, n lab.Node, id string, ep node.Endpoint, booted bool, within time.Duration) error {
	known, err := l.memory.get(n.Name)
	if err != nil {
		return err
	}
	if known.ID != id {
		// Vagrant made another machine, which rightly has a new key. Noted at once,
		// so that this key is forgotten only once.
		if err := l.state.ForgetHost(l.lab.Hostname(n)); err != nil {
			return err
		}
		if err := l.memory.edit(n.Name, func(remembered) remembered { return remembered{ID: id} }); err != nil {
			return err
		}
	}
	names := namesOf(l.lab, n)
	if booted || known.ID != id || known.Names != names {
		if err := l.setNames(ctx, n, ep, names, within); err != nil {
			return err
		}
	}
	return l.memory.edit(n.Name, func(remembered) remembered {
		return remembered{ID: id, Endpoint: &ep, Names: names}
	})
}

// namesOf is what a node is to know of names: its own full name, and the lines
// of /etc/hosts.
func namesOf(l *lab.Lab, n lab.Node) string { return l.Hostname(n) + "\n" + machine.HostsLines(l) }

func (l logins) setNames(ctx context.Context, n lab.Node, ep node.Endpoint, names string, within time.Duration) error {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	what := "log in over SSH at " + ep.Address
	conn, err := l.login(ctx, ep)
	if err == nil {
		defer conn.Close()
		what = "set its names"
		_, err = conn.Root(ctx, node.Script{Name: "names.sh", Text: hostnameScript + hostsScript, Within: within}, []byte(names))
	}
	switch {
	case err == nil:
		return nil
	case whole.Err() != nil:
		return whole.Err()
	case ctx.Err() != nil:
		return &trouble.Error{
			ID: "node-timeout", Where: n.Name, What: what, Why: fmt.Sprintf("not done after %v: %v", within, err),
			Next: []string{"see what the machine does: dcalab vagrant -- ssh " + n.Name, "or restart it: dcalab halt " + n.Name + " && dcalab start " + n.Name}, Err: err,
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// canLogIn tells whether a machine that Vagrant gave up on lets dcalab in.
func (l logins) canLogIn(ctx context.Context, ep node.Endpoint) bool {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	conn, err := l.login(ctx, ep)
	if err == nil {
		err = conn.Close()
	}
	return err == nil
}

// login logs in to a machine that Vagrant calls up, trying until ctx ends. Where
// no host key is pinned yet, the one it shows is: only the machine that accepts
// the private key is the right one.
func (l logins) login(ctx context.Context, ep node.Endpoint) (*node.Conn, error) {
	var shown ssh.PublicKey
	conn, err := node.Dial(ctx, ep, node.Options{
		KnownHosts: l.state.KnownHosts(), Timeout: loginTimeout, Wait: bootTimeout,
		LearnHostKey: func(_ string, key ssh.PublicKey) error { shown = key; return nil },
	})
	if err == nil && shown != nil {
		if err = l.state.PinHost(ep.HostKeyAlias, shown); err != nil {
			_ = conn.Close()
		}
	}
	return conn, err
}
