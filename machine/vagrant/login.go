package vagrant

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
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
func (d *Driver) answering(ctx context.Context, nodes []lab.Node, ids map[string]string) map[string]machine.Endpoint {
	found := map[string]machine.Endpoint{}
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
func (d *Driver) hello(ctx context.Context, n lab.Node, ep machine.Endpoint) bool {
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
func handshake(ctx context.Context, ep machine.Endpoint, config *ssh.ClientConfig) (*ssh.Client, error) {
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
func (d *Driver) meet(ctx context.Context, n lab.Node, id string, ep machine.Endpoint, booted bool) error {
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
		if err := d.setNames(ctx, n, ep, arguments); err != nil {
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

func (d *Driver) setNames(ctx context.Context, n lab.Node, ep machine.Endpoint, names string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := d.login(ctx, n, ep)
	if err != nil {
		return err
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	session, err := client.NewSession()
	if err != nil {
		return fmt.Errorf("set its names: %w", err)
	}
	// The script travels on the command line, so that its input is the names.
	session.Stdin = strings.NewReader(names)
	if out, err := session.CombinedOutput("sudo -n sh -c '" + strings.ReplaceAll(hostnameScript+hostsScript, "'", `'\''`) + "'"); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("set its names: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// letsIn tells whether a machine that Vagrant gave up on can be logged in to.
func (d *Driver) letsIn(ctx context.Context, n lab.Node, ep machine.Endpoint) bool {
	client, err := d.login(ctx, n, ep)
	if err != nil {
		return false
	}
	_ = client.Close()
	return true
}

// login logs in to a machine that Vagrant calls up, and pins its host key
// where none is pinned yet.
func (d *Driver) login(ctx context.Context, n lab.Node, ep machine.Endpoint) (*ssh.Client, error) {
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
	}, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(patience))
}
