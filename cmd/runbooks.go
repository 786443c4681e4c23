package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/swarm"
)

// here is a runbook of lines that are typed on this machine.
func here(lines ...string) runbook.Runbook {
	l := make(runbook.Runbook, len(lines))
	for i, line := range lines {
		l[i].Text = line
	}
	return l
}

// onEach is a runbook of the same lines on each of the nodes.
func onEach(nodes []lab.Node, lines ...string) runbook.Runbook {
	var l runbook.Runbook
	for _, n := range nodes {
		for _, line := range lines {
			l = append(l, runbook.Command{Node: n.Name, Text: line})
		}
	}
	return l
}

// byNode orders a runbook so that a person logs in to each node once: what is
// typed on this machine first, then on each node.
func byNode(l runbook.Runbook) runbook.Runbook {
	var order []string
	for _, c := range l {
		if !slices.Contains(order, c.Node) && c.Node != runbook.Here {
			order = append(order, c.Node)
		}
	}
	l = slices.Clone(l)
	slices.SortStableFunc(l, func(a, b runbook.Command) int {
		return slices.Index(order, a.Node) - slices.Index(order, b.Node)
	})
	return l
}

// systemd tells whether the engines of the lab's nodes are started by systemd,
// as far as it can be told without asking them.
func (s *session) systemd() bool { return s.Driver().Traits().Systemd }

// sshLine runs a command line on a node from this machine. ssh joins its words
// with spaces, and the node's shell reads them.
func (s *session) sshLine(node, command string) string {
	return runbook.Line("ssh", "-F", s.State().SSHConfig(), node, command)
}

// manager is a node on which commands on the swarm can be typed, as labs.yaml
// has it; nobody is asked.
func (s *session) manager() []lab.Node {
	for _, n := range s.Lab().Nodes {
		if n.Role == lab.RoleManager {
			return []lab.Node{n}
		}
	}
	return nil
}

// managersOf are the managers that labs.yaml wants.
func (s *session) managersOf() []lab.Node {
	return slices.DeleteFunc(slices.Clone(s.Lab().Nodes), func(n lab.Node) bool { return n.Role != lab.RoleManager })
}

// runningOf are those of the nodes whose machines run.
func runningOf(nodes []lab.Node, machines map[string]machine.Status) []string {
	var out []string
	for _, n := range nodes {
		if machines[n.Name] == machine.StatusRunning {
			out = append(out, n.Name)
		}
	}
	return out
}

// rehearsal is a dry run in the making: its plan, and its runbook.
type rehearsal struct {
	plan    []string
	runbook runbook.Runbook
	// turns are nodes whose engines would be restarted one after the other.
	turns []string
	// refused is why the command itself would not go on, told after the plan.
	refused error
}

func (r *rehearsal) add(format string, args ...any) {
	r.plan = append(r.plan, fmt.Sprintf(format, args...))
}

func (r *rehearsal) types(l runbook.Runbook) { r.runbook = append(r.runbook, l...) }

// want is what a node is to be like.
func (s *session) want(n lab.Node) provision.Want {
	return provision.Want{Engine: s.Lab().Engine, EngineLabels: n.EngineLabels, Hostname: s.Lab().Hostname(n), Address: n.IP}
}

// nodeUser is who logs in to nodes: the user of Vagrant's boxes, on every
// driver.
const nodeUser = "vagrant"

// rehearsePower adds what up, or start, would do to machines and their
// engines. Nodes that run are looked at.
func (s *session) rehearsePower(ctx context.Context, r *rehearsal, nodes []lab.Node, create bool) (machines map[string]machine.Status, err error) {
	if machines, err = s.Driver().Status(ctx); err != nil {
		return nil, err
	}
	works := map[string]provision.Work{}
	unseen := map[string]error{}
	var up, absent []string
	var running []lab.Node
	for _, n := range nodes {
		switch machines[n.Name] {
		case machine.StatusRunning:
			running = append(running, n)
		case machine.StatusAbsent:
			if !create {
				return nil, labsession.NotRunning(n.Name, machine.StatusAbsent)
			}
			absent = append(absent, n.Name)
			up = append(up, n.Name)
			box := n.Box
			if !s.Driver().Traits().Boxes {
				box = ""
			}
			works[n.Name] = provision.Imagine(box, s.want(n))
		default:
			up = append(up, n.Name)
		}
	}
	s.look(ctx, running, works, unseen)
	if len(up) > 0 {
		act := machine.ActUp
		if !create {
			act = machine.ActStart
		}
		r.types(s.ExplainMachines(machine.Deed{Act: act, Nodes: up, New: absent}))
	}
	for _, n := range nodes {
		switch status := machines[n.Name]; {
		case status == machine.StatusAbsent && s.Driver().Traits().Boxes:
			r.add("%s: make its machine, of the box %s", n.Name, n.Box)
		case status == machine.StatusAbsent:
			r.add("%s: make its machine", n.Name)
		}
		if slices.Contains(up, n.Name) {
			r.add("%s: boot it", n.Name)
		}
		for _, step := range works[n.Name].Steps() {
			r.add("%s: %s", n.Name, step)
		}
		if err := unseen[n.Name]; err != nil {
			s.warn(n.Name + ": " + strings.TrimPrefix(oneLine(err), n.Name+": ") + ": what is missing there is not known")
		}
		if slices.Contains(up, n.Name) && machines[n.Name] != machine.StatusAbsent {
			r.add("%s: see that its engine is ready", n.Name)
		}
		if works[n.Name].Turn {
			r.turns = append(r.turns, n.Name)
		}
		r.types(works[n.Name].Runbook(n.Name, nodeUser))
	}
	r.runbook = byNode(r.runbook)
	return machines, nil
}

// look asks nodes that run what making them ready would be.
func (s *session) look(ctx context.Context, nodes []lab.Node, works map[string]provision.Work, unseen map[string]error) {
	if len(nodes) == 0 {
		return
	}
	found := make([]provision.Work, len(nodes))
	errs := make([]error, len(nodes))
	have := s.connected()
	defer have.Close()
	have.Reach(ctx, nodes, func(i int, n *node.Conn, err error) {
		if err == nil {
			found[i], err = provision.Foresee(ctx, n, s.want(nodes[i]))
		}
		errs[i] = err
	})
	for i, n := range nodes {
		works[n.Name] = found[i]
		if errs[i] != nil {
			unseen[n.Name] = errs[i]
		}
	}
}

// rehearseForming adds what up --swarm of these nodes would do to the swarm.
// Machines that it would make are thought of as made; what one that it would
// boot knows of a swarm is not known before.
func (s *session) rehearseForming(ctx context.Context, r *rehearsal, nodes []lab.Node, machines map[string]machine.Status) error {
	var absent []string
	for _, n := range nodes {
		switch machines[n.Name] {
		case machine.StatusRunning:
		case machine.StatusAbsent:
			absent = append(absent, n.Name)
		default:
			r.add("bring the swarm to what labs.yaml wants, when the nodes that are halted answer")
			r.types(s.returning(nodes, machines))
			return nil
		}
	}
	v, c, err := s.observe(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	plan, err := swarm.PlanBootstrap(s.Lab(), v.AssumeCreated(absent...), swarm.PlanOptions{})
	if err != nil {
		return err
	}
	s.warn(plan.Warnings...)
	r.plan = append(r.plan, lifecycle.Lines(plan.Steps())...)
	for _, u := range plan.Unfinished {
		if machines[u.Node] == machine.StatusRunning {
			s.warn(u.Node + ": " + u.Why)
		} else {
			r.add("%s: take it into the swarm, when it answers", u.Node)
		}
	}
	r.types(plan.Runbook)
	return nil
}

// returning is how a person sees to a swarm some of whose nodes were halted and
// are booted now.
func (s *session) returning(booted []lab.Node, machines map[string]machine.Status) runbook.Runbook {
	var l, look runbook.Runbook
	var locked []string
	for _, n := range s.managersOf() {
		up := slices.ContainsFunc(booted, func(b lab.Node) bool { return b.Name == n.Name })
		switch machines[n.Name] {
		case machine.StatusAbsent:
			continue
		case machine.StatusRunning:
		default:
			if !up {
				continue
			}
			if s.Lab().Swarm.Autolock {
				locked = append(locked, n.Name)
			}
		}
		if look == nil {
			look = runbook.Runbook{{Node: n.Name, Text: "docker node ls", Why: "whether the swarm is back, as it was"}}
		}
	}
	if len(locked) > 0 {
		l = append(l, here("# "+runbook.UnlockKey+" is what docker swarm unlock-key shows on a manager that is not locked, or showed before: dcalab keeps it nowhere")...)
		l = append(l, unlocking(locked, "where it is locked")...)
	}
	l = append(l, look...)
	return append(l, here("# anything else still missing is shown by: dcalab swarm bootstrap --dry-run --explain")...)
}

// powered is the runbook of what Up or Start has done, where machines were in
// these states before.
func (s *session) powered(act machine.Act, nodes []lab.Node, before map[string]machine.Status, works map[string]provision.Work) runbook.Runbook {
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
		l = s.ExplainMachines(d)
	}
	for _, n := range nodes {
		l = append(l, works[n.Name].Runbook(n.Name, nodeUser)...)
	}
	return byNode(l)
}

// statusRunbook is how a person looks at the lab.
func (s *session) statusRunbook(view bool) runbook.Runbook {
	if view {
		l := onEach(s.managersOf(), "docker node ls")
		for _, n := range s.managersOf() {
			terms := "sudo journalctl --no-pager -u docker | grep -o 'term=[0-9]*\\|term [0-9]*' | tail -n 1"
			if !s.systemd() {
				terms = "sudo grep -o 'term=[0-9]*\\|term [0-9]*' /var/log/docker.log | tail -n 1"
			}
			l = append(l, runbook.Command{Node: n.Name, Text: terms, Why: "the raft term that it knows"})
		}
		return byNode(l)
	}
	l := s.ExplainMachines(machine.Deed{Act: machine.ActStatus})
	for _, n := range s.manager() {
		l = append(l,
			runbook.Command{Node: n.Name, Text: "docker node ls", Why: "on a manager: answers while there is a quorum"},
			runbook.Command{Node: n.Name, Text: "docker service ls", Why: "on a manager: published ports"})
	}
	return append(l, onEach(s.Lab().Nodes, "docker info -f '{{.Name}} {{.ServerVersion}} {{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}'")...)
}

// execRunbook runs a command line on nodes.
func (s *session) execRunbook(nodes []lab.Node, command string) runbook.Runbook {
	var lines []string
	for _, n := range nodes {
		lines = append(lines, runbook.Line("ssh", "-n", "-F", s.State().SSHConfig(), n.Name, command))
	}
	return here(lines...)
}

// copyRunbook does the errands with scp, and plan says them.
func (s *session) copyRunbook(errands []errand, recursive bool) (r rehearsal) {
	at := func(node, path string) string {
		if node != "" {
			return node + ":" + path
		}
		if i := strings.IndexAny(path, ":/"); i >= 0 && path[i] == ':' {
			return "./" + path // scp would take it for a node's
		}
		return path
	}
	for _, e := range errands {
		words := []string{"scp", "-F", s.State().SSHConfig(), "-p"}
		if recursive {
			words = append(words, "-r")
		}
		if e.from != "" && e.to != "" {
			words = append(words, "-3")
		}
		target := e.target
		if e.each {
			r.types(here(runbook.Line("mkdir", "-p", target)))
		}
		if (e.each || e.into) && target != "" {
			target = strings.TrimSuffix(target, "/") + "/" // a folder, and no new name
		}
		source, target := at(e.from, e.source), at(e.to, target)
		r.types(here(runbook.Line(append(words, source, target)...)))
		node := e.to
		if node == "" {
			node = e.from
		}
		r.add("%s: copy %s to %s", node, source, target)
	}
	return r
}

// loadRunbook brings images into nodes. source is the argument of image load.
func (s *session) loadRunbook(source string, file bool, nodes []lab.Node) runbook.Runbook {
	var l runbook.Runbook
	from := "docker save " + runbook.Line(source) + " | "
	into := ""
	switch {
	case source == demoSource:
		l = here("# dcalab itself builds the demo image; of another one of yours, IMAGE:")
		from = "# docker save IMAGE | "
	case source == "-":
		from, into = "", " <FILE.tar"
	case file:
		from, into = "", " <"+runbook.Line(source)
	}
	for _, n := range nodes {
		l = append(l, runbook.Command{Text: from + s.sshLine(n.Name, "docker load") + into})
	}
	return l
}

// warnNotRunning tells of nodes of a dry run that could not be asked.
func (s *session) warnNotRunning(ctx context.Context, nodes []lab.Node) error {
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range nodes {
		if err := labsession.NotRunning(n.Name, machines[n.Name]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(nodes) {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		s.warn(oneLine(err))
	}
	return nil
}
