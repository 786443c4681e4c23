package swarm

import (
	"fmt"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
)

// RaftPort is where managers speak to each other and nodes join (TCP).
const RaftPort = "2377"

// Stage is a group of steps that run at the same time.
type Stage struct {
	Name  string
	Steps []Step

	failure onFailure // what it means when one of them fails
}

// Unfinished is a node that the plan leaves as it is, and why.
type Unfinished struct {
	Node string
	Why  string
	Err  error

	again bool   // the node's own engine is to be asked again
	next  string // what a person can do about it
	hung  bool   // it was waited for, and hangs still
}

// Plan is what has to be done, in order. Printed, it is the dry run.
type Plan struct {
	Stages []Stage
	// Unfinished are nodes that cannot be brought where labs.yaml wants them
	// now (halted, for example).
	Unfinished []Unfinished
	Warnings   []string
	// Runbook is what a person would type for all of it.
	Runbook runbook.Runbook
	// Nodes are those that the plan was asked for by name, where it was.
	Nodes []Changed
	// View is what it was made from.
	View View

	end     ending
	timeout time.Duration // of each step; zero means that of the cluster
	command string        // that continues it after an interruption
}

// Changed is one node that is to be changed.
type Changed struct {
	Name string // short name, or host name where it is none of the lab's
	ID   string
	// Already: it is so before the plan, which does nothing to it.
	Already bool
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Stages) == 0 }

// Steps gives the steps of all stages, in order; those of a node that is taken
// in again one by one.
func (p Plan) Steps() []Step {
	var out []Step
	for _, stage := range p.Stages {
		for _, s := range stage.Steps {
			if again, ok := s.(rejoinStep); ok {
				out = append(out, again.steps...)
			} else {
				out = append(out, s)
			}
		}
	}
	return out
}

// String lists the steps, a line each: "node01: join as worker, …".
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps() {
		if s.Node() != "" {
			b.WriteString(s.Node() + ": ")
		}
		b.WriteString(s.String() + "\n")
	}
	return b.String()
}

func (p *Plan) stage(name string, steps []Step) { p.stageThat(leaveNode, name, steps...) }

// stageThat adds steps with what it means when one of them fails.
func (p *Plan) stageThat(failure onFailure, name string, steps ...Step) {
	if len(steps) > 0 {
		p.Stages = append(p.Stages, Stage{Name: name, Steps: steps, failure: failure})
	}
}

// settings are those settings of a swarm that can be changed after init; nil
// leaves one alone.
type settings struct {
	CertExpiry  *time.Duration
	TaskHistory *int
	Autolock    *bool
}

func (s settings) empty() bool { return s == settings{} }

func (s settings) String() string {
	var parts []string
	if s.CertExpiry != nil {
		parts = append(parts, "certificate expiry "+inDays(*s.CertExpiry))
	}
	if s.TaskHistory != nil {
		parts = append(parts, fmt.Sprintf("task history %d", *s.TaskHistory))
	}
	if s.Autolock != nil {
		parts = append(parts, "autolock "+map[bool]string{true: "on", false: "off"}[*s.Autolock])
	}
	return strings.Join(parts, ", ")
}

// inDays writes a time as labs.yaml does, in whole days where it can be.
func inDays(d time.Duration) string {
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

func (s settings) apply(to *engine.SwarmSettings) {
	if s.CertExpiry != nil {
		to.CertExpiry = *s.CertExpiry
	}
	if s.TaskHistory != nil {
		to.TaskHistory = *s.TaskHistory
	}
	if s.Autolock != nil {
		to.Autolock = *s.Autolock
	}
}

// PlanBootstrap says what has to be done to bring what v shows to what l wants. It
// is pure. Where a person must decide or do something first, it gives a
// *trouble.Error with ExitRefused instead, and nothing is touched: two-swarms,
// foreign-swarm, swarm-set-aside, manager-not-answering, manager-in-error, no-quorum, locked.
//
// Where what is to be done depends on something that is still under way (an
// election, a join), the plan is to wait for that; the next plan has the rest.
func PlanBootstrap(l *lab.Lab, v View, o PlanOptions) (Plan, error) {
	p := planner{lab: l, taken: o.TakeOver, only: o.Only, ignoreHung: o.ignoreHung}
	if err := p.checkTaken(); err != nil {
		return Plan{}, err
	}
	p.v = v
	if len(o.TakeOver) > 0 { // which swarm is the lab's may depend on which nodes leave
		p.v = classify(v.labNodes, v.facts, o.TakeOver)
	}
	p.out.View, p.out.end, p.out.command = p.v, endBootstrap, o.command()
	p.narrow()
	if err := p.refuseAside(); err != nil {
		return Plan{}, err
	}
	if err := p.refuseForeignSwarm(); err != nil {
		return Plan{}, err
	}
	var err error
	switch {
	case p.v.Cluster == "" && len(p.only) > 0:
		err = noSwarmError(p.v)
	case p.v.Cluster == "":
		err = p.planNewSwarm()
	case !p.v.Quorum.HasQuorum:
		err = p.planElection()
	default:
		p.planMembers()
	}
	if err != nil {
		return Plan{}, err
	}
	p.leftOut()
	p.out.Warnings = append(p.out.Warnings, p.v.Warnings...)
	for _, n := range p.v.Nodes {
		if n.State == StateMember && n.Want == lab.RoleWorker && n.Role == lab.RoleManager && n.WantedRole != lab.RoleWorker {
			p.out.Warnings = append(p.out.Warnings, fmt.Sprintf("%s is a manager, although labs.yaml calls it a worker; it remains a manager (to change that: dcalab demote %s)", n.Name, n.Name))
		}
	}
	p.out.Runbook = p.v.Runbook(p.out.Steps())
	return p.out, nil
}

// PlanOptions of PlanBootstrap and Converge.
type PlanOptions struct {
	// TakeOver names nodes (short names) that may be taken out of the swarm
	// that they are in, where that is not the lab's; and nodes that are pending
	// or locked and will not come back into the lab's by themselves, where it
	// keeps its quorum without them. They leave and rejoin.
	TakeOver []string
	// Only names the nodes (short names) that are brought where labs.yaml wants
	// them, with the others and the swarm's settings left alone; there has to be
	// a swarm already. Empty means all nodes.
	Only []string

	ignoreHung []string // nodes that were waited for and still hang
}

// command is what a person types for the same.
func (o PlanOptions) command() string {
	if len(o.Only) > 0 {
		return "dcalab join " + strings.Join(o.Only, " ")
	}
	return "dcalab swarm bootstrap"
}
