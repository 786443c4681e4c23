package vagrant

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// Name is this driver's name in labs.yaml.
const Name = lab.DriverVagrant

// Config is what a Driver needs.
type Config struct {
	Lab *lab.Lab
	// ID tells this lab's machines from those of a lab of the same name in
	// another folder.
	ID string
	// Provider that the machines have, or are to have.
	Provider string
	// ProviderOrigin is what names Lab.Provider in place of labs.yaml; may be
	// empty.
	ProviderOrigin string
	// Template of the Vagrantfile.
	Template string
	// State is the lab's folder: Vagrant runs in it.
	State *lab.State
	// Index knows where Vagrant has its own folder for the lab.
	Index *lab.Index
	// Program is Vagrant; empty means the first on PATH.
	Program string
	// Log gets everything that Vagrant says. May be nil.
	Log io.Writer
}

// Driver runs a lab's nodes as virtual machines, through Vagrant.
//
// Starting Vagrant costs seconds of Ruby, so that every method starts it once
// at most: Up learns from the stream of one `vagrant up` when each machine is
// there and how it is reached (the Vagrantfile has a trigger that says so),
// remembers it, and from then on nodes are asked over SSH. Only what SSH cannot
// tell is asked of Vagrant.
type Driver struct {
	cfg     Config
	memory  *memory
	dotfile dotfile
	vagrant runner
	logins  logins
	*snapshots
}

var (
	_ machine.Driver       = (*Driver)(nil)
	_ machine.OrphanLister = (*Driver)(nil)
)

// New makes the driver for one lab. It touches nothing.
func New(cfg Config) *Driver {
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	if cfg.Program == "" {
		cfg.Program = "vagrant"
	}
	m := &memory{state: cfg.State}
	notes := dotfile{id: cfg.ID, lab: cfg.Lab, state: cfg.State, index: cfg.Index, memory: m, log: cfg.Log}
	d := &Driver{
		cfg: cfg, memory: m, dotfile: notes, vagrant: runner{cfg, notes},
		logins: logins{lab: cfg.Lab, state: cfg.State, memory: m, log: cfg.Log},
	}
	d.snapshots = &snapshots{lab: cfg.Lab, state: cfg.State, dotfile: notes, vagrant: d.vagrant, status: d.Status}
	return d
}

// Name is "vagrant".
func (d *Driver) Name() string { return Name }

// Traits of a driver that starts another program, which keeps its machines for
// the user who runs it.
func (d *Driver) Traits() machine.Traits {
	return machine.Traits{PerUser: true, Systemd: true, Boxes: true, SlowStatus: true, Login: d.loginLine}
}

// Command is Vagrant with these arguments, for a person who uses it directly.
func (d *Driver) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	return d.vagrant.Command(ctx, args...)
}

// Up creates the nodes that are absent and starts those that are halted.
func (d *Driver) Up(ctx context.Context, o machine.Observer, names ...string) error {
	return d.power(ctx, o, names, true)
}

// Start starts nodes that exist.
func (d *Driver) Start(ctx context.Context, o machine.Observer, names ...string) error {
	return d.power(ctx, o, names, false)
}

func (d *Driver) power(ctx context.Context, o machine.Observer, names []string, create bool) error {
	nodes, err := d.cfg.Lab.Pick(names)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ids, err := d.dotfile.machineIDs()
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if _, ok := ids[n.Name]; !ok && !create {
			return machine.NotCreated(n.Name)
		}
	}
	if err := d.settled(); err != nil {
		return err
	}
	answering := d.logins.answering(ctx, nodes, ids)

	a := &arrivals{logins: d.logins, observer: o, seen: map[string]bool{}}
	var rest []string
	for _, n := range nodes {
		if ep, ok := answering[n.Name]; ok {
			a.add(ctx, n, ids[n.Name], ep, false)
		} else {
			rest = append(rest, n.Name)
		}
	}
	if len(rest) == 0 {
		return a.wait()
	}
	return errors.Join(d.boot(ctx, a, rest), a.wait())
}

// boot runs `vagrant up` and makes each machine ready as the stream reports it.
func (d *Driver) boot(ctx context.Context, a *arrivals, names []string) error {
	out, err := d.arriving(ctx, a, append([]string{"up", "--provider", d.cfg.Provider}, names...)...)
	if err != nil && !errors.Is(err, errFailed) {
		return err
	}
	failed := err != nil
	if failed && !out.onlyBootTimeouts() {
		return explain(out)
	}
	late := out.bootTimeouts()
	var errs []error
	for _, name := range names {
		if a.has(name) || failed && !slices.Contains(late, name) {
			continue
		}
		n, _ := d.cfg.Lab.Node(name)
		ep, id, err := d.vagrant.askEndpoint(ctx, n)
		switch {
		case failed && (err != nil || !d.logins.canLogIn(ctx, ep)):
			return explain(out) // Vagrant was right
		case err != nil:
			errs = append(errs, err)
		case !failed:
			// No line reported it: an old Vagrant, or a plugin replaces its triggers.
			a.add(ctx, n, id, ep, true)
		}
	}
	if !failed {
		return errors.Join(errs...)
	}
	// Vagrant gave up on machines whose boot takes long, and left them without the
	// lab's network. They answer now, and a reload configures them.
	if err := explained(d.arriving(ctx, a, append([]string{"reload"}, late...)...)); err != nil {
		return err
	}
	for _, name := range late {
		if !a.has(name) {
			return explain(out)
		}
	}
	// Where machines boot one after another, the first failure ended the run. Each
	// round fixes at least one, so that this ends.
	if rest := slices.DeleteFunc(slices.Clone(names), a.has); len(rest) > 0 {
		return d.boot(ctx, a, rest)
	}
	return nil
}

// arriving runs Vagrant once and makes each machine that its stream reports ready.
func (d *Driver) arriving(ctx context.Context, a *arrivals, args ...string) (outcome, error) {
	step := d.vagrant.steps(a.observer)
	return d.vagrant.runInTurn(ctx, func(e event) {
		n, ok := d.cfg.Lab.Node(e.Target)
		if !ok || e.Type != arrivalType {
			step(e)
		} else if ep, id, ok := arrival(n.Name, d.cfg.Lab.Hostname(n), e); ok {
			a.add(ctx, n, id, ep, true)
		}
	}, args...)
}

// Halt shuts nodes down gracefully and keeps their disks.
func (d *Driver) Halt(ctx context.Context, o machine.Observer, names ...string) error {
	return d.off(ctx, o, names, "halt")
}

// Kill cuts the power of nodes.
func (d *Driver) Kill(ctx context.Context, o machine.Observer, names ...string) error {
	return d.off(ctx, o, names, "halt", "--force")
}

func (d *Driver) off(ctx context.Context, o machine.Observer, names []string, args ...string) error {
	nodes, err := d.cfg.Lab.Pick(names)
	if err != nil {
		return err
	}
	ids, err := d.dotfile.machineIDs()
	if err != nil {
		return err
	}
	var there []string
	for _, n := range nodes {
		if _, ok := ids[n.Name]; ok {
			there = append(there, n.Name)
		}
	}
	if len(there) == 0 {
		return ctx.Err()
	}
	for _, name := range there {
		if err := d.memory.dropEndpoint(name); err != nil {
			return err
		}
	}
	return d.vagrant.do(ctx, o, slices.Concat(args, there)...)
}

// Destroy removes nodes and everything that belongs to them. With none named,
// machines of the lab that labs.yaml no longer has go too.
func (d *Driver) Destroy(ctx context.Context, o machine.Observer, names ...string) error {
	ids, err := d.dotfile.machineIDs()
	if err != nil {
		return err
	}
	var orphans []string
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		orphan := d.orphan(name, ids)
		if orphan && !slices.Contains(orphans, name) {
			orphans = append(orphans, name)
		}
		return orphan
	})
	var nodes []lab.Node
	if len(orphans) == 0 || len(names) > 0 {
		if nodes, err = d.cfg.Lab.Pick(names); err != nil {
			return err
		}
	}
	whole := len(names)+len(orphans) == 0
	for _, name := range orphans {
		nodes = append(nodes, lab.Node{Name: name})
	}
	var there []string
	for name := range ids {
		if whole || slices.ContainsFunc(nodes, func(n lab.Node) bool { return n.Name == name }) {
			there = append(there, name)
		}
	}
	slices.Sort(there)
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(there) > 0 {
		// One after the other: with --parallel the threads of vagrant-libvirt 0.11
		// load the same code at the same time, and fail ("constant … not defined").
		if err := d.vagrant.do(ctx, o, append([]string{"destroy", "--force"}, there...)...); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		if err := errors.Join(d.memory.forget(n.Name), d.cfg.State.ForgetHost(d.cfg.Lab.Hostname(n))); err != nil {
			return err
		}
	}
	if whole {
		for name := range ids { // those that labs.yaml no longer has, too
			if err := d.memory.forget(name); err != nil {
				return err
			}
		}
		return errors.Join(d.forgetSnapshots(), d.cfg.Index.RemoveVagrantDir(d.cfg.ID))
	}
	return nil
}

// Preflight finds what would stop Up on this machine.
func (d *Driver) Preflight(ctx context.Context) error {
	return machine.Preflight(d.examine(ctx, false))
}
