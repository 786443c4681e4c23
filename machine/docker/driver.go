package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

// Config is what a Driver is made of.
type Config struct {
	Lab *lab.Lab
	// ID is unique to this lab on this machine: 12 hex digits.
	ID string
	// Root is the folder whose .dcalab holds the lab's state: a label tells it to
	// whoever lists containers.
	Root string
	// Binary is the path of dcalab for Linux, for the container; empty where there
	// is none.
	Binary string
	// AuthorizedKey, IdentityFile, PinHostKey and ForgetHostKey are as for the
	// sandbox driver.
	AuthorizedKey func() (ssh.PublicKey, error)
	IdentityFile  string
	PinHostKey    func(host string, key ssh.PublicKey) error
	ForgetHostKey func(host string) error
	// State keeps which Docker the lab is in. May be nil: the user's current one.
	State  *lab.State
	Getenv func(string) string
	// Log gets the commands that are run and what they say. May be nil.
	Log io.Writer
}

// Driver is the docker driver for one lab.
type Driver struct {
	cfg Config
	mu  sync.Mutex // of what follows
	in  target     // once it is known
	way *line      // to the container; nil until it is used
}

var (
	_ machine.Driver       = (*Driver)(nil)
	_ machine.Limited      = (*Driver)(nil)
	_ machine.Examiner     = (*Driver)(nil)
	_ machine.Snapshotter  = (*Driver)(nil)
	_ machine.SnapshotRoom = (*Driver)(nil)
	_ machine.OrphanLister = (*Driver)(nil)
)

// New makes the driver for one lab. It touches nothing.
func New(cfg Config) *Driver {
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	return &Driver{cfg: cfg}
}

// Name is "docker".
func (d *Driver) Name() string { return Name }

// Traits of a driver whose machines belong to the user of Docker.
func (d *Driver) Traits() machine.Traits { return machine.Traits{SlowStatus: true, Private: true} }

// container is the name of the lab's, and of its volume.
func (d *Driver) container() string { return "dcalab-" + d.cfg.ID }

// state tells of the host container: "running", "exited", …; empty where there
// is none.
func (d *Driver) state(ctx context.Context) (string, error) {
	d.mu.Lock()
	open := d.way != nil && d.way.programs.Load() > 0
	d.mu.Unlock()
	if open {
		return stateRunning, nil // else what is in it would have ended
	}
	state, err := d.run(ctx, "container", "inspect", "--format", "{{.State.Status}}", d.container())
	if isMissing(err) {
		return "", nil
	}
	return state, err
}

// Up makes the host container where there is none, and the nodes in it.
func (d *Driver) Up(ctx context.Context, o machine.Observer, nodes ...string) error {
	if _, err := d.cfg.Lab.Pick(nodes); err != nil {
		return err
	}
	state, err := d.state(ctx)
	if err == nil {
		err = d.wake(ctx, o, state)
	}
	if err != nil {
		return err
	}
	_, err = d.do(ctx, o, request{Method: methodUp, Nodes: nodes})
	return err
}

// Start starts nodes that exist.
func (d *Driver) Start(ctx context.Context, o machine.Observer, nodes ...string) error {
	picked, err := d.cfg.Lab.Pick(nodes)
	if err != nil {
		return err
	}
	if err := d.atHand(ctx, o, machine.NotCreated(picked[0].Name)); err != nil {
		return err
	}
	_, err = d.do(ctx, o, request{Method: methodStart, Nodes: nodes})
	return err
}

// Halt powers nodes off in order.
func (d *Driver) Halt(ctx context.Context, o machine.Observer, nodes ...string) error {
	return d.off(ctx, o, methodHalt, nodes)
}

// Kill ends all processes of nodes at once.
func (d *Driver) Kill(ctx context.Context, o machine.Observer, nodes ...string) error {
	return d.off(ctx, o, methodKill, nodes)
}

func (d *Driver) off(ctx context.Context, o machine.Observer, how method, nodes []string) error {
	if _, err := d.cfg.Lab.Pick(nodes); err != nil {
		return err
	}
	state, err := d.state(ctx)
	if err != nil || state != stateRunning {
		return err
	}
	_, err = d.do(ctx, o, request{Method: how, Nodes: nodes})
	return err
}

// Destroy removes nodes, and with the last of them the container and its volume.
func (d *Driver) Destroy(ctx context.Context, o machine.Observer, nodes ...string) error {
	state, err := d.state(ctx)
	if err != nil {
		return err
	}
	if len(nodes) > 0 && state == "" {
		_, err := d.cfg.Lab.Pick(nodes)
		return err
	}
	if len(nodes) > 0 || state == stateRunning {
		if err := d.wake(ctx, o, state); err != nil {
			return err
		}
		if _, err := d.do(ctx, o, request{Method: methodDestroy, Nodes: nodes}); err != nil {
			return err
		}
	}
	if len(nodes) > 0 {
		left, err := d.do(ctx, o, request{Method: methodStatus})
		if err != nil {
			return err
		}
		for _, s := range left.Machines {
			if s != machine.StatusAbsent {
				return nil
			}
		}
		// Snapshots bring back nodes that were destroyed one by one.
		if kept, err := d.Snapshots(ctx); err != nil || len(kept) > 0 {
			return err
		}
	}
	return d.remove(ctx)
}

// remove removes the container and the volume, of which each may be gone already.
func (d *Driver) remove(ctx context.Context) error {
	d.mu.Lock()
	d.way = nil
	d.mu.Unlock()
	if _, err := d.run(ctx, "container", "rm", "--force", "--volumes", d.container()); err != nil && !isMissing(err) {
		return err
	}
	if _, err := d.run(ctx, "volume", "rm", "--force", d.container()); err != nil && !isMissing(err) {
		return err
	}
	var errs []error
	for _, n := range d.cfg.Lab.Nodes {
		errs = append(errs, d.cfg.ForgetHostKey(d.cfg.Lab.Hostname(n)))
	}
	return errors.Join(errs...)
}

// Status tells the state of every node.
func (d *Driver) Status(ctx context.Context) (map[string]machine.Status, error) {
	out := map[string]machine.Status{}
	state, err := d.state(ctx)
	if err != nil {
		return nil, err
	}
	if state == stateRunning {
		res, err := d.do(ctx, machine.Observer{}, request{Method: methodStatus})
		if err != nil {
			return nil, err
		}
		return res.Machines, nil
	}
	for _, n := range d.cfg.Lab.Nodes {
		out[n.Name] = machine.StatusAbsent
		if state != "" {
			out[n.Name] = machine.StatusHalted // or absent: its container would have to run to tell
		}
	}
	return out, nil
}

// Endpoint leads through docker exec.
func (d *Driver) Endpoint(ctx context.Context, name string) (node.Endpoint, error) {
	n, ok := d.cfg.Lab.Node(name)
	if !ok {
		orphans, err := d.Orphans(ctx)
		if err != nil {
			return node.Endpoint{}, err
		}
		if _, ok := orphans[name]; !ok {
			_, err := d.cfg.Lab.Pick([]string{name})
			return node.Endpoint{}, err
		}
		n = lab.Node{Name: name}
	}
	socket := sandbox.Socket(d.cfg.ID, n.Name)
	_, in, err := d.docker(ctx)
	if err != nil {
		return node.Endpoint{}, err
	}
	return node.Endpoint{
		Node: n.Name, Network: "command", Address: d.container() + ":" + socket,
		Dial:    func(ctx context.Context) (net.Conn, error) { return d.reach(ctx, n.Name) },
		Command: slices.Concat([]string{program}, in.options(), []string{"exec", "--interactive", d.container(), dcalabInside, "ssh-proxy", socket}),
		User:    sandbox.User, IdentityFile: d.cfg.IdentityFile, HostKeyAlias: d.cfg.Lab.Hostname(n),
	}, nil
}

// Orphans are asked for where the container runs.
func (d *Driver) Orphans(ctx context.Context) (map[string]machine.Status, error) {
	return asked(ctx, d, methodOrphans, func(r *result) map[string]machine.Status { return r.Machines })
}

// Snapshots lists those that are complete.
func (d *Driver) Snapshots(ctx context.Context) ([]machine.Snapshot, error) {
	return asked(ctx, d, methodSnapshots, func(r *result) []machine.Snapshot { return r.Snapshots })
}

// asked asks what only a container that runs can tell; the zero value elsewhere.
func asked[T any](ctx context.Context, d *Driver, m method, of func(*result) T) (T, error) {
	var none T
	state, err := d.state(ctx)
	if err != nil || state != stateRunning {
		return none, err
	}
	res, err := d.do(ctx, machine.Observer{}, request{Method: m})
	if err != nil {
		return none, err
	}
	return of(res), nil
}

// SaveSnapshot keeps the disks of all nodes.
func (d *Driver) SaveSnapshot(ctx context.Context, o machine.Observer, name string) error {
	return d.snapshot(ctx, o, methodSave, name)
}

// RestoreSnapshot brings them back.
func (d *Driver) RestoreSnapshot(ctx context.Context, o machine.Observer, name string) error {
	return d.snapshot(ctx, o, methodRestore, name)
}

// DeleteSnapshot removes one.
func (d *Driver) DeleteSnapshot(ctx context.Context, o machine.Observer, name string) error {
	return d.snapshot(ctx, o, methodDelete, name)
}

// RoomToSave tells whether there is room for the disks once more.
func (d *Driver) RoomToSave(ctx context.Context) error {
	return d.snapshot(ctx, machine.Observer{}, methodSaveRoom, "")
}

// RoomToRestore tells whether there is room for a snapshot's disks.
func (d *Driver) RoomToRestore(ctx context.Context, name string) error {
	return d.snapshot(ctx, machine.Observer{}, methodBackRoom, name)
}

func (d *Driver) snapshot(ctx context.Context, o machine.Observer, m method, name string) error {
	absent := fmt.Errorf("snapshot %s: %w", name, machine.ErrNoSnapshot)
	if m == methodSave || m == methodSaveRoom {
		absent = machine.NotCreated(d.cfg.Lab.Nodes[0].Name)
	}
	if err := d.atHand(ctx, o, absent); err != nil {
		return err
	}
	_, err := d.do(ctx, o, request{Method: m, Snapshot: name})
	return err
}

// do has a request done in the container, which runs.
func (d *Driver) do(ctx context.Context, o machine.Observer, req request) (*result, error) {
	text, err := d.text(req)
	if err != nil {
		return nil, err
	}
	c := &conversation{d: d, o: o}
	res, err := c.hold(ctx, text)
	c.readers.Wait()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // whatever the container's side makes of the end of its input
	}
	return res, errors.Join(append(c.errs, err)...)
}

// text is a request as it is sent: about this lab.
func (d *Driver) text(req request) ([]byte, error) {
	req.Format, req.ID, req.Lab = wireFormat, d.cfg.ID, d.cfg.Lab
	if d.cfg.AuthorizedKey != nil {
		key, err := d.cfg.AuthorizedKey()
		if err != nil {
			return nil, err
		}
		req.AuthorizedKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	}
	return json.Marshal(req)
}

// grace is how long the container's side may take to end in order once it has
// been told to.
const grace = 20 * time.Second

// conversation is one request under way.
type conversation struct {
	d       *Driver
	o       machine.Observer
	readers sync.WaitGroup
	errs    []error
}

// hold asks, and gives the answer. When ctx ends, the end of the request tells
// the container's side to end in order; its answer is still waited for.
func (c *conversation) hold(ctx context.Context, request []byte) (*result, error) {
	line, err := c.d.line(ctx)
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
		ep, _ := c.d.Endpoint(context.Background(), e.Ready)
		c.readers.Go(func() { c.o.Ready(ep) })
	case e.HostKey != nil:
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(e.HostKey.Key))
		if err == nil {
			err = c.d.cfg.PinHostKey(e.HostKey.Host, key)
		}
		c.fails(err)
	case e.Forget != "":
		c.fails(c.d.cfg.ForgetHostKey(e.Forget))
	case e.Log != "":
		_, _ = io.WriteString(c.d.cfg.Log, e.Log)
	}
}

func (c *conversation) fails(err error) {
	if err != nil {
		c.errs = append(c.errs, err)
	}
}
