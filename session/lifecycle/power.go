package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// bootTimeout is how long a node that has just booted may take to let somebody
// in, on a machine that is busy with ten others.
const bootTimeout = 3 * time.Minute

// nodeUser is who logs in to nodes: the user of Vagrant's boxes, on every
// driver.
const nodeUser = "vagrant"

// starter starts nodes and makes them ready.
type starter struct{ Operator }

type start struct {
	starter
	nodes []lab.Node
	named bool
}

// Start starts nodes that are halted. Where they are not named, it is all that
// were ever created.
func (o Operator) Start(nodes []lab.Node, named bool) Operation {
	return start{starter{o}, nodes, named}
}

func (s start) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	if err := s.SameSubnet(); err != nil {
		return Plan{}, err
	}
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return Plan{}, err
	}
	absent := func(n lab.Node) bool { return machines[n.Name] == machine.StatusAbsent }
	missing := slices.DeleteFunc(slices.Clone(s.nodes), func(n lab.Node) bool { return !absent(n) })
	nodes := slices.DeleteFunc(slices.Clone(s.nodes), absent)
	if len(missing) > 0 && (s.named || len(nodes) == 0) {
		return Plan{}, session.NotRunning(missing[0].Name, machine.StatusAbsent)
	}
	var p Plan
	if _, err = s.planPower(ctx, &p, nodes, machine.ActStart, machines); err == nil {
		tellAbsent(tell, lab.Names(missing))
	}
	return p, err
}

func (s start) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	if err := s.MustExist(); err != nil {
		return Outcome{}, err
	}
	if err := s.SameSubnet(); err != nil {
		return Outcome{}, err
	}
	if err := s.remember(tell); err != nil {
		return Outcome{}, err
	}
	before, err := s.before(ctx)
	if err != nil {
		return Outcome{}, err
	}
	var out Outcome
	boot := func(nodes []lab.Node) error {
		b, err := s.boot(ctx, tell, nodes, machine.ActStart, nil, nil)
		if err == nil {
			out.Runbook = s.powered(machine.ActStart, nodes, before, b.works)
		}
		return err
	}
	if s.named {
		return out, boot(s.nodes)
	}
	return out, ofThoseMade(tell, s.nodes, boot)
}

// ofThoseMade starts a lab some of whose nodes were never made, or were
// destroyed: these are left out, and told.
func ofThoseMade(tell session.Reporter, nodes []lab.Node, start func([]lab.Node) error) error {
	var missing []string
	var first error
	for {
		err := start(nodes)
		var absent *machine.AbsentError
		at := -1
		if errors.As(err, &absent) {
			at = slices.IndexFunc(nodes, func(n lab.Node) bool { return n.Name == absent.Node })
		}
		if first == nil {
			first = err
		}
		switch {
		case at < 0 && err == nil:
			tellAbsent(tell, missing)
			return nil
		case at < 0:
			return err
		case len(nodes) == 1: // none was made
			return first
		}
		missing = append(missing, nodes[at].Name)
		nodes = slices.Delete(slices.Clone(nodes), at, at+1)
	}
}

func tellAbsent(tell session.Reporter, missing []string) {
	if len(missing) > 0 {
		tell.Note(fmt.Sprintf("not created, and so not started: %s; create it: dcalab up %s", strings.Join(missing, ", "), strings.Join(missing, " ")))
	}
}

// remember keeps what is needed to reach the lab from other places.
func (o starter) remember(tell session.Reporter) error {
	if err := o.Keep(); err != nil {
		return err
	}
	if err := o.Remember(); err != nil { // a convenience
		tell.Warn(err.Error())
	}
	return nil
}

// before is the status of the machines, where a runbook is wanted.
func (o starter) before(ctx context.Context) (map[string]machine.Status, error) {
	if !o.Explain {
		return nil, nil
	}
	return o.Driver().Status(ctx)
}

// want is what a node is to be like.
func want(l *lab.Lab, n lab.Node) provision.Want {
	return provision.Want{Engine: l.Engine, EngineLabels: n.EngineLabels, Hostname: l.Hostname(n), Address: n.IP}
}

// planPower adds what starting these nodes would do to machines and their
// engines, and gives those whose engines would be restarted in turn. Nodes that
// run are looked at.
func (o starter) planPower(ctx context.Context, p *Plan, nodes []lab.Node, act machine.Act, machines map[string]machine.Status) (turns []string, err error) {
	boxes := o.Driver().Traits().Boxes
	var running []lab.Node
	for _, n := range nodes {
		if machines[n.Name] == machine.StatusRunning {
			running = append(running, n)
		}
	}
	works, unseen := o.pendingWork(ctx, running)
	for _, n := range nodes {
		status := machines[n.Name]
		if status == machine.StatusAbsent {
			box := ""
			if boxes {
				box = n.Box
				p.add("%s: create its machine from box %s", n.Name, n.Box)
			} else {
				p.add("%s: create its machine", n.Name)
			}
			works[n.Name] = provision.Imagine(box, want(o.Lab(), n))
		}
		if status != machine.StatusRunning {
			p.add("%s: boot it", n.Name)
		}
		for _, step := range works[n.Name].Steps() {
			p.add("%s: %s", n.Name, step)
		}
		if err := unseen[n.Name]; err != nil {
			p.Warnings = append(p.Warnings, n.Name+": "+strings.TrimPrefix(trouble.OneLine(err), n.Name+": ")+": what is missing there is not known")
		}
		if status != machine.StatusRunning && status != machine.StatusAbsent {
			p.add("%s: make sure that its engine is ready", n.Name)
		}
		if works[n.Name].Turn {
			turns = append(turns, n.Name)
		}
	}
	p.types(o.powered(act, nodes, machines, works))
	return turns, ctx.Err()
}

// powered is the runbook of starting nodes, where machines were in these states
// before.
func (o starter) powered(act machine.Act, nodes []lab.Node, before map[string]machine.Status, works map[string]provision.Work) runbook.Runbook {
	if before == nil {
		return nil
	}
	d := machine.Deed{Act: act}
	for _, n := range nodes {
		if before[n.Name] != machine.StatusRunning {
			d.Nodes = append(d.Nodes, n.Name)
		}
		if before[n.Name] == machine.StatusAbsent {
			d.New = append(d.New, n.Name)
		}
	}
	var l runbook.Runbook
	if len(d.Nodes) > 0 {
		l = o.ExplainMachines(d)
	}
	for _, n := range nodes {
		l = append(l, works[n.Name].Runbook(n.Name, nodeUser)...)
	}
	return l.ByNode()
}

// pendingWork asks nodes that run what has to be done to make them ready.
func (o starter) pendingWork(ctx context.Context, nodes []lab.Node) (works map[string]provision.Work, unseen map[string]error) {
	works = map[string]provision.Work{}
	if len(nodes) == 0 {
		return works, nil
	}
	var mu sync.Mutex
	pool := o.NewPool()
	defer pool.Close()
	unseen = pool.Each(ctx, nodes, func(ctx context.Context, n lab.Node, c *node.Conn) error {
		work, err := provision.Foresee(ctx, c, want(o.Lab(), n))
		mu.Lock()
		defer mu.Unlock()
		works[n.Name] = work
		return err
	})
	return works, unseen
}

// booted is what was done to nodes that are ready.
type booted struct {
	works map[string]provision.Work
	// deferred are nodes whose engines were not restarted for the settings of
	// labs.yaml, because they are in a swarm.
	deferred []string
}

// boot runs Up or Start of the driver and makes each node ready the moment that
// it answers. The connections are left in the pool, and given to the formation,
// where there are any.
func (o starter) boot(ctx context.Context, tell session.Reporter, nodes []lab.Node, act machine.Act, pool *session.Pool, f *formation) (booted, error) {
	run := o.Driver().Up
	if act == machine.ActStart {
		run = o.Driver().Start
	}
	o.Faults().warn(tell)
	b := booted{works: map[string]provision.Work{}}
	var mu sync.Mutex
	var failed []error
	reached := map[string]node.Endpoint{}
	err := run(ctx, machine.Observer{
		Step: tell.Step,
		Ready: func(ep node.Endpoint) {
			conn, work, err := o.prepare(ctx, ep, tell, true)
			mu.Lock()
			defer mu.Unlock()
			reached[ep.Node], b.works[ep.Node] = ep, work
			if err == nil && work.Deferred() {
				b.deferred = append(b.deferred, ep.Node)
			}
			switch {
			case err != nil && ctx.Err() != nil: // interrupted tells the state of the nodes
			case err != nil:
				tell.Fail(ep.Node, err)
				failed = append(failed, err)
			case pool != nil:
				pool.Keep(conn)
				if f != nil {
					f.add(ep.Node, conn)
				}
			default:
				_ = conn.Close()
			}
		},
	}, lab.Names(nodes)...)
	if f != nil {
		f.end()
	}
	if ctx.Err() != nil {
		return b, o.interrupted(ctx, nodes)
	}
	if err == nil {
		if unwritten := o.Faults().change(func(j *fault.Journal) { j.On(lab.Names(nodes)...) }); unwritten != nil {
			tell.Warn(trouble.OneLine(unwritten))
		}
	}
	// It is for plain ssh alone: nothing of what comes next needs it.
	if unwritten := o.WriteSSHConfig(ctx, reached); unwritten != nil {
		tell.Warn("the lab's ssh_config is not up to date: " + trouble.OneLine(unwritten) + "; once there is room: dcalab up")
	}
	return b, errors.Join(append(failed, err)...)
}

// interrupted says what has become of the nodes that were to be brought up.
func (o starter) interrupted(ctx context.Context, nodes []lab.Node) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	e := &trouble.Error{
		ID: "interrupted", What: "interrupted", Why: "what was done stays",
		Next: []string{"the same command, run again, continues from there", "or remove it all: dcalab destroy"}, Exit: trouble.ExitInterrupted,
	}
	machines, err := o.Driver().Status(ctx)
	if err != nil {
		return e
	}
	var states []string
	for _, n := range nodes {
		states = append(states, n.Name+" "+map[machine.Status]string{
			machine.StatusAbsent: "does not exist", machine.StatusHalted: "is halted", machine.StatusRunning: "runs",
		}[machines[n.Name]])
	}
	e.Why = "what was done stays: " + strings.Join(states, ", ")
	return e
}

// prepare makes one node ready for the swarm; gently, without a restart of an
// engine that is in one already.
func (o starter) prepare(ctx context.Context, ep node.Endpoint, tell session.Reporter, gently bool) (*node.Conn, provision.Work, error) {
	n, _ := o.Lab().Node(ep.Node)
	tell.Step(ep.Node, "connecting")
	dial := o.DialOptions()
	dial.Wait = bootTimeout
	wanted := want(o.Lab(), n)
	wanted.Gently = gently
	conn, facts, err := provision.Prepare(ctx, ep, dial, wanted, func(step string) { tell.Step(ep.Node, step) })
	if err != nil {
		return nil, provision.Work{}, err
	}
	for _, w := range facts.Warnings {
		tell.Note(ep.Node + ": " + w)
	}
	if facts.Interface == "" {
		_ = conn.Close()
		return nil, facts.Work, &trouble.Error{
			ID: "address-missing", Where: ep.Node, What: "find the lab's interface", Why: "none has the address " + n.IP.String(),
			Next: []string{"if labs.yaml gave it another one since it was created: dcalab destroy " + ep.Node + ", then dcalab up " + ep.Node},
		}
	}
	if facts.Interface != o.Lab().Interface {
		tell.Note(fmt.Sprintf("%s: the lab's interface is %s there, not %s", ep.Node, facts.Interface, o.Lab().Interface))
	}
	done := "ready: Docker " + facts.Version + ", " + n.IP.String()
	if facts.Work.Deferred() {
		done += "; its new settings wait for a restart of the engine"
	}
	tell.Done(ep.Node, done)
	return conn, facts.Work, nil
}
