package vagrant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
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
	cfg    Config
	memory *memory
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
	return &Driver{cfg: cfg, memory: &memory{state: cfg.State}}
}

// Name is "vagrant".
func (d *Driver) Name() string { return Name }

// Traits of a driver that starts another program, which keeps its machines for
// the user who runs it.
func (d *Driver) Traits() machine.Traits {
	return machine.Traits{PerUser: true, Systemd: true, Boxes: true, SlowStatus: true, Login: d.loginLine}
}

func shortNames(nodes []lab.Node) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Name
	}
	return names
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
	ids, err := d.machineIDs()
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if _, ok := ids[n.Name]; !ok && !create {
			return machine.NotCreated(n.Name)
		}
	}
	snapshots, err := d.readAlbum()
	if err == nil {
		err = d.settled(snapshots)
	}
	if err != nil {
		return err
	}
	answering := d.answering(ctx, nodes, ids)

	a := &arrivals{driver: d, observer: o, seen: map[string]bool{}}
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

// boot runs `vagrant up` and lets each machine arrive as the stream tells of
// it.
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
		ep, id, err := d.askEndpoint(ctx, n)
		switch {
		case failed && (err != nil || !d.letsIn(ctx, n, ep)):
			return explain(out) // Vagrant was right
		case err != nil:
			errs = append(errs, err)
		case !failed:
			// No line told of it: an old Vagrant, or one whose triggers a plugin
			// replaces.
			a.add(ctx, n, id, ep, true)
		}
	}
	if !failed {
		return errors.Join(errs...)
	}
	// Vagrant gave up on machines whose boot takes long, and left them without
	// the lab's network. They answer by now: it configures them anew.
	if again, err := d.arriving(ctx, a, append([]string{"reload"}, late...)...); errors.Is(err, errFailed) {
		return explain(again)
	} else if err != nil {
		return err
	}
	for _, name := range late {
		if !a.has(name) {
			return explain(out)
		}
	}
	// Where machines boot one after another, the first failure ended the run.
	// Each round mends one at least, so that this ends.
	if rest := slices.DeleteFunc(slices.Clone(names), a.has); len(rest) > 0 {
		return d.boot(ctx, a, rest)
	}
	return nil
}

// arriving runs Vagrant once and lets each machine that its stream tells of
// arrive.
func (d *Driver) arriving(ctx context.Context, a *arrivals, args ...string) (outcome, error) {
	return d.turn(ctx, func(e event) {
		n, ok := d.cfg.Lab.Node(e.Target)
		if !ok {
			return
		}
		if e.Type == arrivalType {
			if ep, id, ok := d.arrival(n, e); ok {
				a.add(ctx, n, id, ep, true)
			}
			return
		}
		if what := stepOf(e); what != "" {
			a.step(n.Name, what)
		}
	}, args...)
}

// arrivals are the nodes of one Up that answer.
type arrivals struct {
	driver   *Driver
	observer machine.Observer
	wg       sync.WaitGroup
	mu       sync.Mutex
	seen     map[string]bool
	errs     []error
}

// add lets a node arrive, once: its key is pinned or checked, its names are
// set, and it is told of. Other nodes do not wait for it.
func (a *arrivals) add(ctx context.Context, n lab.Node, id string, ep node.Endpoint, booted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen[n.Name] {
		return
	}
	a.seen[n.Name] = true
	a.wg.Go(func() {
		err := func() error {
			a.step(n.Name, "logging in")
			if err := a.driver.meet(ctx, n, id, ep, booted, patience); err != nil {
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

func (a *arrivals) step(node, what string) {
	if a.observer.Step != nil {
		a.observer.Step(node, what)
	}
}

func (a *arrivals) has(node string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen[node]
}

// wait ends when every node that arrived has been told of, and gives what
// went wrong, once.
func (a *arrivals) wait() error {
	a.wg.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	err := errors.Join(a.errs...)
	a.errs = nil
	return err
}

// stepOf is a line of Vagrant's as a step: "==> master: Booting VM..." is
// "booting VM".
func stepOf(e event) string {
	if e.Type != "ui" || e.data(0) != "output" && e.data(0) != "info" {
		return ""
	}
	text, _, _ := strings.Cut(strings.TrimSpace(e.data(1)), "\n")
	text = strings.TrimSpace(strings.TrimPrefix(text, "==>"))
	text = strings.TrimSpace(strings.TrimPrefix(text, e.Target+":"))
	text, _, _ = strings.Cut(text, ". ")
	text = strings.TrimRight(text, ".! ")
	for _, noise := range []string{"Running action triggers", "Running trigger", "--", "->"} {
		if strings.HasPrefix(text, noise) {
			return ""
		}
	}
	// A word in capitals stays one: "SSH address: …".
	if first, rest, _ := strings.Cut(text, " "); first != strings.ToUpper(first) {
		letter, size := utf8.DecodeRuneInString(first)
		return string(unicode.ToLower(letter)) + first[size:] + strings.TrimSuffix(" "+rest, " ")
	}
	return text
}

// Halt powers nodes off in order and keeps their disks.
func (d *Driver) Halt(ctx context.Context, o machine.Observer, names ...string) error {
	nodes, err := d.cfg.Lab.Pick(names)
	if err != nil {
		return err
	}
	ids, err := d.machineIDs()
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
	return d.command(ctx, o, append([]string{"halt"}, there...)...)
}

// Destroy removes nodes and everything that belongs to them. With none named,
// machines of the lab that labs.yaml no longer has go too.
func (d *Driver) Destroy(ctx context.Context, o machine.Observer, names ...string) error {
	ids, err := d.machineIDs()
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
		if whole || slices.Contains(shortNames(nodes), name) {
			there = append(there, name)
		}
	}
	slices.Sort(there)
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(there) > 0 {
		// One after the other: --parallel trips over vagrant-libvirt 0.11, whose
		// threads load the same code at the same time ("constant … not defined").
		if err := d.command(ctx, o, append([]string{"destroy", "--force"}, there...)...); err != nil {
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

// command runs Vagrant once for some machines, with its story told.
func (d *Driver) command(ctx context.Context, o machine.Observer, args ...string) error {
	out, err := d.turn(ctx, func(e event) {
		if n, ok := d.cfg.Lab.Node(e.Target); ok && o.Step != nil {
			if what := stepOf(e); what != "" {
				o.Step(n.Name, what)
			}
		}
	}, args...)
	if errors.Is(err, errFailed) {
		return explain(out)
	}
	return err
}

// Status tells the state of every node. Nodes that answer are not asked about
// any further; for the others Vagrant is started, once.
func (d *Driver) Status(ctx context.Context) (map[string]machine.Status, error) {
	ids, err := d.machineIDs()
	if err != nil {
		return nil, err
	}
	answering := d.answering(ctx, d.cfg.Lab.Nodes, ids)
	status := map[string]machine.Status{}
	var ask []string
	for _, n := range d.cfg.Lab.Nodes {
		_, exists := ids[n.Name]
		_, answers := answering[n.Name]
		switch {
		case !exists:
			status[n.Name] = machine.StatusAbsent
		case answers:
			status[n.Name] = machine.StatusRunning
		default:
			status[n.Name] = machine.StatusUnknown
			ask = append(ask, n.Name)
		}
	}
	if len(ask) == 0 {
		return status, ctx.Err()
	}
	out, err := d.run(ctx, func(e event) {
		if _, ok := status[e.Target]; ok && e.Type == "state" {
			status[e.Target] = stateOf(e.data(0))
		}
	}, append([]string{"status"}, ask...)...)
	if errors.Is(err, errFailed) {
		return nil, explain(out)
	}
	for _, name := range ask {
		if err == nil && status[name] == machine.StatusRunning {
			err = d.memory.dropEndpoint(name) // it is not where it was
		}
	}
	return status, err
}

// stateOf maps the states of Vagrant's providers.
func stateOf(state string) machine.Status {
	switch state {
	case "running", "on": // VirtualBox and the others; Hyper-V says "running" too
		return machine.StatusRunning
	case "not_created", "host_state_unknown":
		return machine.StatusAbsent
	case "poweroff", "shutoff", "shutdown", "stopped", "off", "not_running", "aborted",
		"aborted-saved", "gurumeditation", "saved", "paused", "suspended", "pmsuspended", "crashed", "frozen":
		// vagrant up brings any of these to run, which is what halted means.
		return machine.StatusHalted
	default:
		return machine.StatusUnknown
	}
}

// Endpoint tells how to reach a node that is running.
func (d *Driver) Endpoint(ctx context.Context, name string) (node.Endpoint, error) {
	ids, err := d.machineIDs()
	if err != nil {
		return node.Endpoint{}, err
	}
	n, ok := d.cfg.Lab.Node(name)
	switch {
	case !ok && !d.orphan(name, ids):
		return node.Endpoint{}, fmt.Errorf("lab %s has no node %s", d.cfg.Lab.Name, name)
	case !ok:
		return d.orphanEndpoint(name, ids[name])
	}
	id, ok := ids[n.Name]
	if !ok {
		return node.Endpoint{}, &trouble.Error{
			ID: "node-absent", Where: n.Name, Why: "this node has not been created", Next: []string{"create it: dcalab up " + n.Name},
		}
	}
	if ep, ok, err := d.memory.endpoint(n.Name, id); err != nil || ok {
		return ep, err
	}
	ep, id, err := d.askEndpoint(ctx, n)
	if err != nil {
		return node.Endpoint{}, err
	}
	// Somebody used Vagrant itself: what is remembered is of another boot, or
	// of another machine.
	return ep, d.meet(ctx, n, id, ep, true, visitTimeout)
}

// Orphans are the machines that Vagrant has created and labs.yaml no longer
// has. Vagrant is not asked about those that do not answer.
func (d *Driver) Orphans(ctx context.Context) (map[string]machine.Status, error) {
	ids, err := d.machineIDs()
	if err != nil {
		return nil, err
	}
	var nodes []lab.Node
	out := map[string]machine.Status{}
	for name := range ids {
		if d.orphan(name, ids) {
			nodes = append(nodes, lab.Node{Name: name})
			out[name] = machine.StatusUnknown
		}
	}
	for name := range d.answering(ctx, nodes, ids) {
		out[name] = machine.StatusRunning
	}
	return out, ctx.Err()
}

func (d *Driver) orphan(name string, ids map[string]string) bool {
	_, ours := d.cfg.Lab.Node(name)
	return !ours && ids[name] != ""
}

// orphanEndpoint is what is remembered of an orphan: nobody looks for more.
func (d *Driver) orphanEndpoint(name, id string) (node.Endpoint, error) {
	ep, ok, err := d.memory.endpoint(name, id)
	if err == nil && !ok {
		err = &trouble.Error{ID: "node-unknown", Where: name, Why: "how this machine is reached is not known, and labs.yaml no longer has it"}
	}
	return ep, err
}

// Preflight finds what would stop Up on this machine.
func (d *Driver) Preflight(ctx context.Context) error {
	return machine.Preflight(d.examine(ctx, false))
}

// writeVagrantfile makes the Vagrantfile what it has to be for these arguments
// of Vagrant, which runs it as code: what somebody else has put there is
// replaced. Machines that exist and that labs.yaml no longer has are in it too,
// so that Vagrant still knows them; but it snapshots every machine of its file,
// and those shall have no part in that.
func (d *Driver) writeVagrantfile(args []string) error {
	ids, err := d.machineIDs()
	if err != nil {
		return err
	}
	var gone []string
	for name := range ids {
		if _, ok := d.cfg.Lab.Node(name); !ok {
			gone = append(gone, name)
		}
	}
	if len(args) > 1 && args[0] == "snapshot" && (args[1] == "save" || args[1] == "restore") {
		gone = nil
	}
	slices.Sort(gone)
	text, err := Render(d.cfg.Template, d.cfg.Lab, Options{LabID: d.cfg.ID, Provider: d.cfg.Provider, Gone: gone, Driven: true})
	if err != nil {
		return err
	}
	// A disk that is full does not keep anybody from destroying what fills it.
	if old, err := d.cfg.State.ReadFile("Vagrantfile"); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return d.cfg.State.WriteFile("Vagrantfile", text, 0o600)
}

// patience is how long a machine that Vagrant calls up may take to let dcalab
// in.
const patience = 2 * time.Minute
