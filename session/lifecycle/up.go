package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// Up makes machines that do not exist, starts those that are halted, and makes
// each ready. Restart and Bootstrap, which follow it, use what Run has found.
type Up struct {
	starter
	nodes       []lab.Node
	named, form bool

	pool     *session.Pool // of the nodes that are ready, for Bootstrap
	formed   int           // the steps that brought them into the swarm already
	deferred []string
	// fresh: the lab was not there before. arriving are the nodes that are to be
	// in the swarm and whose machines were never made.
	fresh    bool
	arriving []string
}

// Up brings nodes up; with form, a swarm is to be formed of them, which a plan
// tells as well. Where they are not named, it is all of the lab. The caller
// closes it.
func (o Operator) Up(nodes []lab.Node, named, form bool) *Up {
	u := &Up{starter: starter{o}, nodes: nodes, named: named, form: form}
	if form {
		u.pool = o.NewPool()
	}
	return u
}

// Close ends the connections that are kept for Bootstrap.
func (u *Up) Close() {
	if u.pool != nil {
		_ = u.pool.Close()
	}
}

// Deferred are nodes whose engines have other settings than labs.yaml, and are
// restarted by Restart, because they are in a swarm.
func (u *Up) Deferred() []string { return u.deferred }

// MayUp refuses to bring a lab up that can never be: it looks at its folder and
// its record only.
func (o Operator) MayUp() error {
	if err := o.NotOrphaned(); err != nil {
		return err
	}
	if o.Driver().Traits().PerUser && o.Owner() != (lab.Owner{}) {
		return &trouble.Error{
			ID: "vagrant-under-sudo", What: "up", Why: "Vagrant would run as root, and the machines and their keys be root's, not yours",
			Next: []string{"the same without sudo: what needs root, Vagrant asks for itself"}, Exit: trouble.ExitRefused,
		}
	}
	if err := node.CheckPath(filepath.ToSlash(o.State().SSHConfig())); err != nil {
		return &trouble.Error{
			ID: "ssh-config-path", What: "up", Why: err.Error(), Next: []string{"keep the lab in a folder with a plainer name"}, Exit: trouble.ExitRefused,
		}
	}
	return nil
}

// Preflight finds what on this machine would stop a lab from being made. Where it
// fails, whether the lab is Created is looked up again: another dcalab may be
// making this very lab, which is no stranger then.
func (o Operator) Preflight(ctx context.Context) error {
	err := o.Driver().Preflight(ctx)
	if err == nil {
		return nil
	}
	if unread := o.Refresh(); unread != nil {
		return err
	}
	return otherwise(o, err)
}

// otherwise tells, of a lab that cannot be made with what this machine has of
// Vagrant, with what else it may be.
func otherwise(o Operator, err error) error {
	var t *trouble.Error
	if !errors.As(err, &t) || o.Created() {
		return err
	}
	if trouble.IsAny(err, machine.ErrChecksFailed, machine.ErrSubnetFailed) {
		// One that labs.yaml calls otherwise now may be what is in the way.
		t.Next = append(t.Next, o.Forgotten()...)
	}
	if !o.Driver().Traits().Boxes {
		return err
	}
	if errors.Is(err, machine.ErrProviderFailed) && o.Record().Provider != "" {
		t.Next = append(t.Next, "which other providers this machine has: dcalab doctor")
	}
	if runtime.GOOS == "linux" && trouble.IsAny(err, machine.ErrVagrantFailed, machine.ErrProviderFailed, machine.ErrVirtualBoxFailed, machine.ErrVirtualizationFailed, machine.ErrChecksFailed) {
		t.Next = append(t.Next, "without virtual machines: dcalab --driver sandbox up")
	}
	return err
}

// Plan tells with form what Bootstrap would do, too.
func (u *Up) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	var p Plan
	if err := u.SameSubnet(); err != nil {
		return p, err
	}
	machines, err := u.Driver().Status(ctx)
	if err != nil {
		return p, err
	}
	if u.deferred, err = u.planPower(ctx, &p, u.nodes, machine.ActUp, machines); err != nil || !u.form {
		return p, err
	}
	return p, u.planForming(ctx, &p, machines)
}

// planForming adds what Bootstrap would do to the swarm. Machines that are to be
// made are thought of as made; what one that is to be booted knows of a swarm is
// not known before.
func (u *Up) planForming(ctx context.Context, p *Plan, machines map[string]machine.Status) error {
	var absent []string
	for _, n := range u.nodes {
		switch machines[n.Name] {
		case machine.StatusRunning:
		case machine.StatusAbsent:
			absent = append(absent, n.Name)
		default:
			p.add("form the swarm that labs.yaml describes, once the halted nodes answer")
			p.types(returning(u.Lab(), u.nodes, machines))
			return nil
		}
	}
	v, engines, err := u.Observe(ctx)
	if err != nil {
		return err
	}
	defer engines.Close()
	plan, err := swarm.PlanBootstrap(u.Lab(), v.AssumeCreated(absent...), swarm.PlanOptions{})
	if err != nil {
		return err
	}
	p.change(plan.Result())
	for _, left := range plan.Unfinished {
		if machines[left.Node] == machine.StatusRunning {
			p.Warnings = append(p.Warnings, left.Node+": "+left.Why)
		} else {
			p.add("%s: join it to the swarm, once it answers", left.Node)
		}
	}
	return nil
}

// returning is how a person sees to a swarm some of whose nodes were halted and
// are booted now.
func returning(of *lab.Lab, nodes []lab.Node, machines map[string]machine.Status) runbook.Runbook {
	var l, look runbook.Runbook
	var locked []string
	for _, n := range managersOf(of) {
		up := slices.ContainsFunc(nodes, func(b lab.Node) bool { return b.Name == n.Name })
		switch machines[n.Name] {
		case machine.StatusAbsent:
			continue
		case machine.StatusRunning:
		default:
			if !up {
				continue
			}
			if of.Swarm.Autolock {
				locked = append(locked, n.Name)
			}
		}
		if look == nil {
			look = runbook.Runbook{{Node: n.Name, Text: "docker node ls", Why: "whether the swarm is back, as it was"}}
		}
	}
	if len(locked) > 0 {
		l = append(l, runbook.Local("# "+runbook.UnlockKey+" is what docker swarm unlock-key shows on a manager that is not locked, or showed before: dcalab keeps it nowhere")...)
		l = append(l, unlocking(locked, "where it is locked")...)
	}
	l = append(l, look...)
	return append(l, runbook.Local("# anything else still missing is shown by: dcalab swarm bootstrap --dry-run --explain")...)
}

// unlocking is how a person unlocks managers after a start.
func unlocking(managers []string, why string) (l runbook.Runbook) {
	for _, name := range managers {
		l = append(l, runbook.Command{Node: name, Text: "docker swarm unlock", Why: why, Asks: runbook.UnlockKey})
	}
	return l
}

// managersOf are those of labs.yaml.
func managersOf(l *lab.Lab) []lab.Node {
	return slices.DeleteFunc(slices.Clone(l.Nodes), func(n lab.Node) bool { return n.Role != lab.RoleManager })
}

// Run brings the nodes up.
func (u *Up) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	if err := u.SameSubnet(); err != nil {
		return Outcome{}, err
	}
	if err := u.whoArrives(); err != nil {
		return Outcome{}, err
	}
	if u.fresh {
		tell.Note(fmt.Sprintf("lab %s: %d nodes, driver %s, state in %s", u.Lab().Name, len(u.Lab().Nodes), u.MadeBy(), u.State().Dir()))
	}
	before, err := u.before(ctx)
	if err != nil {
		return Outcome{}, err
	}
	var f *formation
	if !u.Created() {
		if err := u.Enter(); err != nil {
			return Outcome{}, err
		}
		if u.form {
			f = newFormation(ctx, u.Operator, tell)
		}
	}
	if err := u.remember(tell); err != nil {
		return Outcome{}, err
	}
	b, err := u.boot(ctx, tell, u.nodes, machine.ActUp, u.pool, f)
	if err != nil {
		return Outcome{}, err
	}
	u.deferred = b.deferred
	out := Outcome{Runbook: u.powered(machine.ActUp, u.nodes, before, b.works)}
	if f != nil {
		u.formed = f.steps
		out.Runbook = append(out.Runbook, f.typed...)
	}
	if limited, ok := u.Driver().(machine.Limited); ok {
		out.Warnings = limited.Limits(ctx)
	}
	return out, nil
}

// whoArrives tells the nodes whose machines were never made by the host keys: of
// one that was, its own is pinned.
func (u *Up) whoArrives() error {
	u.arriving = nil
	for _, n := range u.nodes {
		keys, err := u.State().HostKeys(u.Lab().Hostname(n))
		if err != nil {
			return err
		}
		if len(keys) == 0 && n.Role != lab.RoleNone {
			u.arriving = append(u.arriving, n.Name)
		}
	}
	// A first up that failed before it made a machine has left no more than a record.
	wanted := slices.DeleteFunc(slices.Clone(u.Lab().Nodes), func(n lab.Node) bool { return n.Role == lab.RoleNone })
	u.fresh = !u.Created() || !u.named && len(u.arriving) > 0 && len(u.arriving) == len(wanted)
	return nil
}

// Next says how nodes that have just come get into a swarm, if any have. Those
// that come to a lab that was there find one, or are the rest of a first up that
// was cut short.
func (u *Up) Next(ctx context.Context) (string, error) {
	if u.fresh && u.named || !u.fresh && len(u.arriving) == 0 {
		return "", nil
	}
	early := false // no manager answers
	if !u.fresh {
		v, engines, err := u.Observe(ctx)
		if err != nil {
			return "", err
		}
		engines.Close()
		if v.Cluster != "" || len(v.CandidateSwarms) > 0 {
			return fmt.Sprintf("new in the lab: %s; into the swarm: dcalab join %s", strings.Join(u.arriving, ", "), strings.Join(u.arriving, " ")), nil
		}
		early = !slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return n.Want == lab.RoleManager && n.State.Answered() })
	}
	next := "dcalab swarm bootstrap"
	if early {
		next = "dcalab up, for the rest of the lab; then " + next
	}
	return "next: " + next, nil
}
