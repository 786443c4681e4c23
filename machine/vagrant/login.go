package vagrant

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

const (
	// connectTimeout is for the connection alone: the hypervisor's own network
	// is near.
	connectTimeout = time.Second
	// helloTimeout is how long a machine that is up may take to show its host
	// key, before Vagrant is asked instead.
	helloTimeout = 5 * time.Second
	// loginTimeout is for one attempt to log in to a machine that boots.
	loginTimeout = 20 * time.Second
	// visitTimeout is for a machine that runs, and not just since now: it lets
	// somebody in, and takes its names, or it is told of.
	visitTimeout = 10 * time.Second
	// maxSaid is how much a machine may say while it is given its names.
	maxSaid = 1 << 20
)

// The input of the two, one after the other, is namesOf.
var (
	//go:embed hostname.sh
	hostnameScript string
	//go:embed hosts.sh
	hostsScript string
)

// answering finds the nodes that can be reached where they were last seen, and
// that show the host key that is pinned for them. (Another machine may have
// their port by now.)
func (d *Driver) answering(ctx context.Context, nodes []lab.Node, ids map[string]string) map[string]node.Endpoint {
	found := map[string]node.Endpoint{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, n := range nodes {
		ep, ok, err := d.memory.endpoint(n.Name, ids[n.Name])
		if err != nil || !ok {
			continue
		}
		wg.Go(func() {
			began := time.Now()
			answers := d.hello(ctx, n, ep)
			mu.Lock()
			defer mu.Unlock()
			if answers {
				found[n.Name] = ep
			} else if ctx.Err() == nil {
				// The log tells so why Vagrant was asked.
				fmt.Fprintf(d.cfg.Log, "%s: no answer after %.1fs\n", n.Name, time.Since(began).Seconds())
			}
		})
	}
	wg.Wait()
	return found
}

// errSeen ends a handshake when the host key has been seen.
var errSeen = errors.New("host key seen")

// hello tells whether the node is there and shows its pinned key. Nobody logs
// in.
func (d *Driver) hello(ctx context.Context, n lab.Node, ep node.Endpoint) bool {
	pinned, err := d.cfg.State.HostKeys(d.cfg.Lab.Hostname(n))
	if err != nil || len(pinned) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	_, err = handshake(ctx, ep, &ssh.ClientConfig{
		User: ep.User, HostKeyAlgorithms: algorithms(pinned),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if !has(pinned, key) {
				return errors.New("another host key")
			}
			return errSeen
		},
	})
	return errors.Is(err, errSeen)
}

func has(keys []ssh.PublicKey, key ssh.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) })
}

// algorithms are those under which a server shows one of these keys.
func algorithms(keys []ssh.PublicKey) []string {
	var algos []string
	for _, k := range keys {
		if k.Type() == ssh.KeyAlgoRSA {
			algos = append(algos, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			algos = append(algos, k.Type())
		}
	}
	return algos
}

// handshake connects and does what the configuration asks for, within ctx.
func handshake(ctx context.Context, ep node.Endpoint, config *ssh.ClientConfig) (*ssh.Client, error) {
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, ep.Network, ep.Address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(conn, ep.Address, config)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// meet makes a machine that is up one of the lab's: its host key is pinned, or
// checked where it is the machine that it was; its own name is the node's full
// name, and it knows the other nodes' names. booted says that it was started
// just now.
// It may take as long as within.
func (d *Driver) meet(ctx context.Context, n lab.Node, id string, ep node.Endpoint, booted bool, within time.Duration) error {
	known, err := d.memory.get(n.Name)
	if err != nil {
		return err
	}
	alias := d.cfg.Lab.Hostname(n)
	if known.ID != id {
		// Vagrant made another machine: its key is new, and that is right. Noted
		// at once, so that this key is forgotten once.
		if err := d.cfg.State.ForgetHost(alias); err != nil {
			return err
		}
		if err := d.memory.edit(n.Name, func(remembered) remembered { return remembered{ID: id} }); err != nil {
			return err
		}
	}
	arguments := d.namesOf(n)
	if booted || known.ID != id || known.Names != arguments {
		if err := d.setNames(ctx, n, ep, arguments, within); err != nil {
			return err
		}
	}
	return d.memory.edit(n.Name, func(remembered) remembered {
		return remembered{ID: id, Endpoint: &ep, Names: arguments}
	})
}

// namesOf is what a node is to know of names: the node's full name, and the lines of
// /etc/hosts.
func (d *Driver) namesOf(n lab.Node) string {
	var b strings.Builder
	fmt.Fprintln(&b, d.cfg.Lab.Hostname(n))
	for _, other := range d.cfg.Lab.Nodes {
		if full := d.cfg.Lab.Hostname(other); full != other.Name {
			fmt.Fprintf(&b, "%s %s %s\n", other.IP, full, other.Name)
		} else {
			fmt.Fprintf(&b, "%s %s\n", other.IP, other.Name)
		}
	}
	return b.String()
}

func (d *Driver) setNames(ctx context.Context, n lab.Node, ep node.Endpoint, names string, within time.Duration) error {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	late := func(what string, err error) error {
		if whole.Err() != nil {
			return whole.Err()
		}
		return &trouble.Error{
			ID: "node-timeout", Where: n.Name, What: what, Why: fmt.Sprintf("not done after %v: %v", within, err),
			Next: []string{"see what the machine does: dcalab vagrant -- ssh " + n.Name, "or restart it: dcalab halt " + n.Name + " && dcalab start " + n.Name}, Err: err,
		}
	}
	client, err := d.login(ctx, n, ep)
	if err != nil && ctx.Err() != nil {
		return late("log in over SSH at "+ep.Address, err)
	}
	if err != nil {
		return err
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	session, err := client.NewSession()
	if err != nil && ctx.Err() != nil {
		return late("set its names", err)
	}
	if err != nil {
		return fmt.Errorf("set its names: %w", err)
	}
	// The script travels on the command line, so that its input is the names.
	session.Stdin = strings.NewReader(names)
	said := &trouble.Bound{Max: maxSaid, Node: n.Name, What: "set its names"}
	session.Stdout, session.Stderr = cutting{said, client.Close}, cutting{said, client.Close}
	err = session.Run("sudo -n sh -c '" + strings.ReplaceAll(hostnameScript+hostsScript, "'", `'\''`) + "'")
	switch {
	case err == nil:
		return nil
	case said.Len() == said.Max:
		return trouble.TooMuch(n.Name, said.What, maxSaid)
	case ctx.Err() != nil:
		return late("set its names", err)
	}
	return fmt.Errorf("set its names: %w: %s", err, strings.TrimSpace(said.String()))
}

// cutting cuts the connection of a writer that takes no more: a session waits
// for its command, and the command for somebody who reads.
type cutting struct {
	io.Writer
	cut func() error
}

func (c cutting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	if err != nil {
		_ = c.cut()
	}
	return n, err
}

// letsIn tells whether a machine that Vagrant gave up on can be logged in to.
func (d *Driver) letsIn(ctx context.Context, n lab.Node, ep node.Endpoint) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := d.login(ctx, n, ep)
	if err != nil {
		return false
	}
	_ = client.Close()
	return true
}

// login logs in to a machine that Vagrant calls up, and pins its host key
// where none is pinned yet. It is tried until ctx ends.
func (d *Driver) login(ctx context.Context, n lab.Node, ep node.Endpoint) (*ssh.Client, error) {
	key, err := os.ReadFile(ep.IdentityFile)
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("log in with %s: %w", ep.IdentityFile, err)
	}
	alias := d.cfg.Lab.Hostname(n)
	pinned, err := d.cfg.State.HostKeys(alias)
	if err != nil {
		return nil, err
	}
	var shown ssh.PublicKey
	config := &ssh.ClientConfig{
		User: ep.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, Timeout: loginTimeout,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			shown = key
			if len(pinned) == 0 || has(pinned, key) {
				return nil
			}
			return backoff.Permanent(&trouble.Error{
				ID: "host-key-changed", What: "log in at " + ep.Address,
				Why:  "its host key has changed (it shows " + ssh.FingerprintSHA256(key) + "): this is not the machine that was created",
				Next: []string{"dcalab destroy " + n.Name + " && dcalab up " + n.Name + "    # a new machine with a new key"},
			})
		},
	}
	if len(pinned) > 0 {
		config.HostKeyAlgorithms = algorithms(pinned)
	}
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, time.Second
	return backoff.Retry(ctx, func() (*ssh.Client, error) {
		attempt, cancel := context.WithTimeout(ctx, loginTimeout)
		defer cancel()
		client, err := handshake(attempt, ep, config)
		if err != nil {
			return nil, fmt.Errorf("log in at %s: %w", ep.Address, err)
		}
		// Only a machine that takes the key of this one is this one.
		if len(pinned) == 0 {
			if err := d.cfg.State.PinHost(alias, shown); err != nil {
				_ = client.Close()
				return nil, backoff.Permanent(err)
			}
		}
		return client, nil
	}, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0))
}
