package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) up() *cobra.Command {
	var form, prune, yes bool
	c := &cobra.Command{
		Use:   "up [NODE...]",
		Short: "Create and start the lab's machines, each with Docker ready",
		Long: `Create the machines of the lab that do not exist, start those that are
halted, and make each ready the moment that it answers: a Docker Engine
present and running, the user in the docker group. With --swarm, form the
swarm as well, as dcalab swarm bootstrap does.

Running it again is harmless: it does what is missing. A node that was added
to labs.yaml is made, and told how it joins. For one that is no longer there,
or has another name now, it asks whether to take it out of the swarm and to
destroy its machine; --prune does so without asking.

Where registries or labels of engines changed in labs.yaml, engines have to be
restarted. Those that are in a swarm are restarted one after the other, each
once the one before it is back, and only after a question; --yes does not ask.
Tasks and containers there end with their engine.`,
		Example:           "  dcalab up --swarm\n  dcalab up node02\n  dcalab up --prune",
		ValidArgsFunction: a.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			return a.bringUp(c.Context(), args, form, prune, yes)
		},
	}
	c.Flags().BoolVar(&form, "swarm", false, "form the swarm too")
	c.Flags().BoolVar(&prune, "prune", false, "first destroy machines that labs.yaml no longer has")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask before engines in a swarm are restarted")
	return explained(c)
}

func (a *app) start() *cobra.Command {
	return explained(&cobra.Command{
		Use:   "start [NODE...]",
		Short: "Start machines that are halted",
		Long: `Start machines of the lab that are halted. They come back with their
disks, and their engines go back into the swarm that they were in. Without
names it starts all that were created.`,
		Example:           "  dcalab start node02",
		ValidArgsFunction: a.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.existing()
			if err != nil {
				return err
			}
			if _, err := s.pick(args); err != nil {
				return err
			}
			if a.dryRun() {
				return s.rehearseStart(c.Context(), args)
			}
			if s.asRoot() {
				return s.sudo(c.Context())
			}
			if err := s.power(c.Context(), args, machine.ActStart, nil); err != nil {
				return err
			}
			return s.recount(s.typed)
		},
	})
}

func (a *app) bringUp(ctx context.Context, args []string, form, prune, yes bool) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	if _, err := s.pick(args); err != nil {
		return notYet(err)
	}
	if err := s.NotOrphaned(); err != nil {
		return err
	}
	if s.asRoot() && !a.dryRun() {
		return s.sudo(ctx)
	}
	if s.Driver().Traits().PerUser && s.Owner() != (lab.Owner{}) {
		return &trouble.Error{
			ID: "vagrant-under-sudo", What: "up", Why: "Vagrant would run as root, and the machines and their keys be root's, not yours",
			Next: []string{"the same without sudo: what needs root, Vagrant asks for itself"}, Exit: trouble.ExitRefused,
		}
	}
	if err := node.CheckPath(filepath.ToSlash(s.State().SSHConfig())); err != nil {
		return &trouble.Error{
			ID: "ssh-config-path", What: "up", Why: err.Error(), Next: []string{"keep the lab in a folder with a plainer name"}, Exit: trouble.ExitRefused,
		}
	}
	s.warn(warningsOf(s.File())...)
	if a.dryRun() {
		return s.rehearseUp(ctx, args, form, prune, yes)
	}
	// Before anything is written: what would stop it, stops it here.
	if err := s.Driver().Preflight(ctx); err != nil {
		// Another dcalab may be making this very lab: then it is no stranger.
		if again := s.Refresh(); again != nil || !s.Created() {
			return s.otherwise(err)
		}
	}
	if err := s.settleStrays(ctx, args, prune); err != nil {
		return err
	}
	fresh := !s.Created()
	arriving, err := s.neverMade(args)
	if err != nil {
		return err
	}
	// A first up that failed before it made a machine has left no more than a record.
	wanted := slices.DeleteFunc(slices.Clone(s.Lab().Nodes), func(n lab.Node) bool { return n.Role == lab.RoleNone })
	fresh = fresh || len(args) == 0 && len(arriving) > 0 && len(arriving) == len(wanted)
	if fresh {
		s.note("lab %s: %d nodes, driver %s, state in %s", s.Lab().Name, len(s.Lab().Nodes), s.MadeBy(), s.State().Dir())
	}
	// What is connected already for making it ready, the swarm goes on with.
	var ready *connected
	if form {
		ready = s.connected()
		defer ready.Close()
		defer s.warnUnwritten()
	}
	if err := s.power(ctx, args, machine.ActUp, ready); err != nil {
		return err
	}
	if err := s.restartEngines(ctx, yes); err != nil {
		return err
	}
	if limited, ok := s.Driver().(machine.Limited); ok {
		s.warn(limited.Limits(ctx)...)
	}
	if !form {
		if fresh && len(args) == 0 || !fresh && len(arriving) > 0 {
			if err := s.tellNext(ctx, fresh, arriving); err != nil {
				return err
			}
		}
		return s.recount(s.typed)
	}
	ready.runbook = slices.Concat(s.typed, ready.runbook)
	return s.bootstrap(ctx, bootstrapOptions{}, ready)
}

// tellNext says how nodes that have just come get into a swarm. Those that come
// to a lab that was there find one, or are the rest of a first up that was cut
// short.
func (s *session) tellNext(ctx context.Context, fresh bool, arriving []string) error {
	early := false // no manager answers
	if !fresh {
		v, c, err := s.observe(ctx)
		if err != nil {
			return err
		}
		c.Close()
		if v.Cluster != "" || len(v.CandidateSwarms) > 0 {
			s.note("new in the lab: %s; into the swarm: dcalab join %s", strings.Join(arriving, ", "), strings.Join(arriving, " "))
			return nil
		}
		early = !slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return n.Want == lab.RoleManager && n.State.Answered() })
	}
	next := "dcalab swarm bootstrap"
	if early {
		next = "dcalab up, for the rest of the lab; then " + next
	}
	s.note("next: %s", next)
	return nil
}

// otherwise tells, of a lab that cannot be made with what this machine has of
// Vagrant, with what else it may be.
func (s *session) otherwise(err error) error {
	var t *trouble.Error
	if !errors.As(err, &t) || s.Created() {
		return err
	}
	if t.ID == "preflight" || t.ID == "subnet" {
		// One that labs.yaml calls otherwise now may be what is in the way.
		t.Next = append(t.Next, s.Forgotten()...)
	}
	if !s.Driver().Traits().Boxes {
		return err
	}
	if t.ID == "provider" && s.Record().Provider != "" {
		t.Next = append(t.Next, "which other providers this machine has: dcalab doctor")
	}
	if runtime.GOOS == "linux" && slices.Contains([]string{"vagrant", "provider", "virtualbox", "virtualization", "preflight"}, t.ID) {
		t.Next = append(t.Next, "without virtual machines: dcalab --driver sandbox up")
	}
	return err
}

// neverMade names those of the nodes that are to be in the swarm, and whose
// machines do not exist yet: of one that does, the host key is pinned.
func (s *session) neverMade(args []string) ([]string, error) {
	nodes, err := s.pick(args)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range nodes {
		keys, err := s.State().HostKeys(s.Lab().Hostname(n))
		if err != nil {
			return nil, err
		}
		if len(keys) == 0 && n.Role != lab.RoleNone {
			out = append(out, n.Name)
		}
	}
	return out, nil
}

// rehearseUp is the dry run of up. What would stop it stops it here too, but
// for the requirements of a runbook: there are none.
func (s *session) rehearseUp(ctx context.Context, args []string, form, prune, yes bool) error {
	if !s.app.explains() && !s.asRoot() {
		if err := s.Driver().Preflight(ctx); err != nil {
			return s.otherwise(err)
		}
	}
	if err := s.SameSubnet(); err != nil {
		return err
	}
	var r rehearsal
	if err := s.rehearseStrays(ctx, &r, args, prune); err != nil {
		return err
	}
	nodes, err := s.pick(args)
	if err != nil {
		return err
	}
	var power rehearsal
	machines, err := s.rehearsePower(ctx, &power, nodes, true)
	if err != nil {
		return err
	}
	if len(power.turns) > 0 && !yes {
		s.warn("up asks before it restarts the engines of " + strings.Join(power.turns, ", ") + ", which are in the swarm: tasks and containers there end; --yes does not ask")
	}
	r.plan = append(r.plan, power.plan...)
	r.types(power.runbook)
	if form {
		if err := s.rehearseForming(ctx, &r, nodes, machines); err != nil {
			return err
		}
	}
	if err := s.rehearse(r.plan, r.runbook); err != nil {
		return err
	}
	return r.refused
}

// rehearseStart is the dry run of start.
func (s *session) rehearseStart(ctx context.Context, args []string) error {
	nodes, err := s.pick(args)
	if err != nil {
		return err
	}
	if err := s.SameSubnet(); err != nil {
		return err
	}
	var r rehearsal
	plan := func(nodes []lab.Node) error {
		r = rehearsal{}
		_, err := s.rehearsePower(ctx, &r, nodes, false)
		return err
	}
	if len(args) == 0 {
		err = s.ofThoseMade(nodes, plan)
	} else {
		err = plan(nodes)
	}
	if err != nil {
		return err
	}
	return s.rehearse(r.plan, r.runbook)
}

// power runs Up or Start of the driver and makes each node ready the moment
// that it answers. The connections are left open in keep, if that is not nil.
func (s *session) power(ctx context.Context, args []string, act machine.Act, keep *connected) error {
	if keep == nil {
		defer s.warnUnwritten()
	}
	nodes, err := s.pick(args)
	if err != nil {
		return err
	}
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := s.SameSubnet(); err != nil {
		return err
	}
	var before map[string]machine.Status
	if s.app.explains() {
		if before, err = s.Driver().Status(ctx); err != nil {
			return err
		}
	}
	fresh := !s.Created()
	if fresh {
		if err := s.Enter(); err != nil {
			return err
		}
	}
	if err := s.Keep(); err != nil {
		return err
	}
	s.remember()
	p := s.progress(names(nodes))
	defer p.Close()
	var f *formation
	if fresh && keep != nil {
		f = s.form(ctx, p)
	}
	boot := func(nodes []lab.Node) error {
		works, err := s.boot(ctx, p, nodes, act, keep, f)
		if err == nil && before != nil {
			s.typed = append(s.typed, s.powered(act, nodes, before, works)...)
		}
		return err
	}
	if act == machine.ActStart && len(args) == 0 {
		return s.ofThoseMade(nodes, boot)
	}
	return boot(nodes)
}

// ofThoseMade starts a lab some of whose nodes were never made, or were
// destroyed: these are left out, and told.
func (s *session) ofThoseMade(nodes []lab.Node, start func([]lab.Node) error) error {
	var absent []string
	var first error
	for {
		err := start(nodes)
		first = cmp.Or(first, err)
		at := -1
		if t := (*trouble.Error)(nil); errors.As(err, &t) && t.ID == "node-absent" {
			at = slices.IndexFunc(nodes, func(n lab.Node) bool { return n.Name == t.Where })
		}
		switch {
		case at >= 0 && len(nodes) > 1:
			absent = append(absent, nodes[at].Name)
			nodes = slices.Delete(slices.Clone(nodes), at, at+1)
			continue
		case at >= 0: // all of them
			return first
		case err == nil && len(absent) > 0:
			s.note("not created, and so not started: %s; create it: dcalab up %s", strings.Join(absent, ", "), strings.Join(absent, " "))
		}
		return err
	}
}

// boot is power for a lab that is locked already. It gives what was done to
// each node that is ready.
func (s *session) boot(ctx context.Context, p *ui.Progress, nodes []lab.Node, act machine.Act, keep *connected, f *formation) (map[string]provision.Work, error) {
	run := s.Driver().Up
	if act == machine.ActStart {
		run = s.Driver().Start
	}
	works := map[string]provision.Work{}
	var mu sync.Mutex
	var failed []error
	reached := map[string]node.Endpoint{}
	err := run(ctx, machine.Observer{
		Step: p.Step,
		Ready: func(ep node.Endpoint) {
			conn, work, err := s.prepare(ctx, ep, p, true)
			mu.Lock()
			defer mu.Unlock()
			reached[ep.Node], works[ep.Node] = ep, work
			if err == nil && work.Deferred() {
				s.deferred = append(s.deferred, ep.Node)
			}
			switch {
			case err != nil && ctx.Err() != nil: // interrupted tells where it stands
			case err != nil:
				p.Fail(ep.Node, err)
				failed = append(failed, err)
			case keep != nil:
				keep.Keep(conn)
				if f != nil {
					f.add(ep.Node, conn)
				}
			default:
				_ = conn.Close()
			}
		},
	}, names(nodes)...)
	if f != nil {
		keep.formed, keep.runbook = f.end()
	}
	if ctx.Err() != nil {
		return works, s.interrupted(ctx, nodes)
	}
	// It is for plain ssh alone: nothing of what comes next needs it.
	s.unwritten = s.WriteSSHConfig(ctx, reached)
	return works, errors.Join(append(failed, err)...)
}

// interrupted says what stands of the nodes that were to be brought up.
func (s *session) interrupted(ctx context.Context, nodes []lab.Node) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	e := &trouble.Error{
		ID: "interrupted", What: "interrupted", Why: "what was done stays",
		Next: []string{"the same command, run again, goes on from there", "or remove it all: dcalab destroy"}, Exit: trouble.ExitInterrupted,
	}
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return e
	}
	var stands []string
	for _, n := range nodes {
		stands = append(stands, n.Name+" "+map[machine.Status]string{
			machine.StatusAbsent: "does not exist", machine.StatusHalted: "is halted", machine.StatusRunning: "runs",
		}[machines[n.Name]])
	}
	e.Why = "what was done stays: " + strings.Join(stands, ", ")
	return e
}

// bootPatience is how long a node that has just booted may take to let
// somebody in, on a machine that is busy with ten others.
const bootPatience = 3 * time.Minute

// prepare makes one node ready for the swarm; gently, without a restart of an
// engine that is in one already.
func (s *session) prepare(ctx context.Context, ep node.Endpoint, p *ui.Progress, gently bool) (*node.Conn, provision.Work, error) {
	n, _ := s.Lab().Node(ep.Node)
	p.Step(ep.Node, "connecting")
	dial := s.DialOptions()
	dial.Wait = bootPatience
	want := s.want(n)
	want.Gently = gently
	conn, facts, err := provision.Prepare(ctx, ep, dial, want, func(step string) { p.Step(ep.Node, step) })
	if err != nil {
		return nil, provision.Work{}, err
	}
	for _, w := range facts.Warnings {
		p.Note(ep.Node + ": " + w)
	}
	if facts.Interface == "" {
		_ = conn.Close()
		return nil, facts.Work, &trouble.Error{
			ID: "address-missing", Where: ep.Node, What: "find the lab's interface", Why: "none has the address " + n.IP.String(),
			Next: []string{"if labs.yaml gave it another one since it was created: dcalab destroy " + ep.Node + ", then dcalab up " + ep.Node},
		}
	}
	if facts.Interface != s.Lab().Interface {
		p.Note(fmt.Sprintf("%s: the lab's interface is %s there, not %s", ep.Node, facts.Interface, s.Lab().Interface))
	}
	done := "ready: Docker " + facts.Version + ", " + n.IP.String()
	if facts.Work.Deferred() {
		done += "; its new settings wait for a restart of the engine"
	}
	p.Done(ep.Node, done)
	return conn, facts.Work, nil
}

// warnUnwritten tells, at the end, of an ssh_config that could not be written.
func (s *session) warnUnwritten() {
	if s.unwritten != nil {
		s.warn("the lab's ssh_config is not up to date: " + oneLine(s.unwritten) + "; once there is room: dcalab up")
		s.unwritten = nil
	}
}

func describe(n lab.Node) string { return string(n.Role) + " at " + n.IP.String() }
