package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) up() *cobra.Command {
	var form, prune bool
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
destroy its machine; --prune does so without asking.`,
		Example:           "  dcalab up --swarm\n  dcalab up node02\n  dcalab up --prune",
		ValidArgsFunction: a.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			return a.bringUp(c.Context(), args, form, prune)
		},
	}
	c.Flags().BoolVar(&form, "swarm", false, "form the swarm too")
	c.Flags().BoolVar(&prune, "prune", false, "first destroy machines that labs.yaml no longer has")
	return c
}

func (a *app) start() *cobra.Command {
	return &cobra.Command{
		Use:   "start [NODE...]",
		Short: "Start machines that are halted",
		Long: `Start machines of the lab that are halted. They come back with their
disks, and their engines go back into the swarm that they were in.`,
		Example:           "  dcalab start node02",
		ValidArgsFunction: a.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.existing()
			if err != nil {
				return err
			}
			if s.asRoot() {
				return s.sudo(c.Context())
			}
			return s.power(c.Context(), args, machine.Driver.Start, nil)
		},
	}
}

func (a *app) bringUp(ctx context.Context, args []string, form, prune bool) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	if s.asRoot() {
		return s.sudo(ctx)
	}
	for _, w := range s.file.Warnings {
		s.warn(w.String())
	}
	if _, err := s.pick(args); err != nil {
		return notYet(err)
	}
	// Before anything is written: what would stop it, stops it here.
	if err := s.driver.Preflight(ctx); err != nil {
		// Another dcalab may be making this very lab: then it is no stranger.
		if again := s.refresh(); again != nil || !s.created {
			return err
		}
	}
	if err := s.settleStrays(ctx, len(args) > 0, prune); err != nil {
		return err
	}
	fresh := !s.created
	arriving, err := s.neverMade(args)
	if err != nil {
		return err
	}
	if fresh {
		s.note("lab %s: %d nodes, driver %s, state in %s", s.lab.Name, len(s.lab.Nodes), s.madeBy(), s.state.Dir())
	}
	// What is connected already for making it ready, the swarm goes on with.
	var ready *connected
	if form {
		ready = &connected{nodes: map[string]*provision.Node{}}
		defer ready.Close()
	}
	if err := s.power(ctx, args, machine.Driver.Up, ready); err != nil {
		return err
	}
	if limited, ok := s.driver.(machine.Limited); ok {
		s.warn(limited.Limits(ctx)...)
	}
	if !form {
		switch {
		case fresh && len(args) == 0:
			s.note("next: dcalab swarm bootstrap")
		case !fresh && len(arriving) > 0:
			s.note("new in the lab: %s; into the swarm: dcalab join %s", strings.Join(arriving, ", "), strings.Join(arriving, " "))
		}
		return nil
	}
	return s.bootstrap(ctx, bootstrapOptions{}, ready)
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
		keys, err := s.state.HostKeys(s.lab.Hostname(n))
		if err != nil {
			return nil, err
		}
		if len(keys) == 0 && n.Role != lab.RoleNone {
			out = append(out, n.Name)
		}
	}
	return out, nil
}

// power runs Up or Start of the driver and makes each node ready the moment
// that it answers. The connections are left open in keep, if that is not nil.
func (s *session) power(ctx context.Context, args []string, run func(machine.Driver, context.Context, machine.Observer, ...string) error, keep *connected) error {
	nodes, err := s.pick(args)
	if err != nil {
		return err
	}
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := s.unchanged(); err != nil {
		return err
	}
	fresh := !s.created
	if fresh {
		if err := s.state.WriteRecord(s.record); err != nil {
			return err
		}
		s.created = true
	}
	s.remember()
	p := s.progress(names(nodes))
	defer p.Close()
	var f *formation
	if fresh && keep != nil {
		f = s.form(ctx, p)
	}
	return s.boot(ctx, p, nodes, run, keep, f)
}

// boot is power for a lab that is locked already.
func (s *session) boot(ctx context.Context, p *ui.Progress, nodes []lab.Node, run func(machine.Driver, context.Context, machine.Observer, ...string) error, keep *connected, f *formation) error {
	var mu sync.Mutex
	var failed []error
	reached := map[string]machine.Endpoint{}
	err := run(s.driver, ctx, machine.Observer{
		Step: p.Step,
		Ready: func(ep machine.Endpoint) {
			node, err := s.prepare(ctx, ep, p)
			mu.Lock()
			defer mu.Unlock()
			reached[ep.Node] = ep
			switch {
			case err != nil:
				p.Fail(ep.Node, err)
				failed = append(failed, err)
			case keep != nil:
				keep.nodes[ep.Node] = node
				if f != nil {
					f.add(ep.Node, node)
				}
			default:
				_ = node.Close()
			}
		},
	}, names(nodes)...)
	if f != nil {
		keep.formed = f.end()
	}
	if ctx.Err() != nil {
		return s.interrupted(ctx, nodes)
	}
	if err := s.writeSSHConfig(ctx, reached); err != nil {
		failed = append(failed, err)
	}
	return errors.Join(append(failed, err)...)
}

// interrupted says what stands of the nodes that were to be brought up.
func (s *session) interrupted(ctx context.Context, nodes []lab.Node) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	e := &trouble.Error{
		ID: "interrupted", What: "interrupted", Why: "what was done stays",
		Next: []string{"the same command, run again, goes on from there", "or remove it all: dcalab destroy"}, Exit: trouble.ExitInterrupted,
	}
	machines, err := s.driver.Status(ctx)
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

// prepare makes one node ready for the swarm.
func (s *session) prepare(ctx context.Context, ep machine.Endpoint, p *ui.Progress) (*provision.Node, error) {
	n, _ := s.lab.Node(ep.Node)
	p.Step(ep.Node, "connecting")
	dial := s.dialOptions()
	dial.Wait = bootPatience
	node, facts, err := provision.Prepare(ctx, ep, dial, provision.Want{
		Engine: s.lab.Engine, EngineLabels: n.EngineLabels, Hostname: s.lab.Hostname(n), Address: n.IP,
	}, func(step string) { p.Step(ep.Node, step) })
	if err != nil {
		return nil, err
	}
	for _, w := range facts.Warnings {
		p.Note(ep.Node + ": " + w)
	}
	if facts.Interface == "" {
		_ = node.Close()
		return nil, &trouble.Error{
			ID: "address-missing", Where: ep.Node, What: "find the lab's interface", Why: "none has the address " + n.IP.String(),
			Next: []string{"if labs.yaml gave it another one since it was created: dcalab destroy " + ep.Node + ", then dcalab up " + ep.Node},
		}
	}
	if facts.Interface != s.lab.Interface {
		p.Note(fmt.Sprintf("%s: the lab's interface is %s there, not %s", ep.Node, facts.Interface, s.lab.Interface))
	}
	p.Done(ep.Node, "ready: Docker "+facts.Version+", "+n.IP.String())
	return node, nil
}

// writeSSHConfig writes the lab's ssh_config for the nodes that run.
func (s *session) writeSSHConfig(ctx context.Context, known map[string]machine.Endpoint) error {
	text, err := s.renderSSHConfig(ctx, known)
	if err != nil {
		return err
	}
	return s.state.WriteFile("ssh_config", text, 0o600)
}

func (a *app) completeNodes(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	_, l, _, err := a.choice()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, n := range l.Nodes {
		if !slices.Contains(args, n.Name) {
			out = append(out, cobra.CompletionWithDesc(n.Name, describe(n)))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func describe(n lab.Node) string { return string(n.Role) + " at " + n.IP.String() }
