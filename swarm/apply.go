package swarm

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/lesson"
	"github.com/dcalab/dcalab/trouble"
)

// Event tells of a step of Apply, Promote or Demote.
type Event struct {
	// Node is a short name of the lab, or a host name that is none of the
	// lab's; empty for a step that concerns the whole swarm.
	Node string
	// Kind and Step name the step: machine and human words.
	Kind Kind
	Step string
	// Done is false when the step begins, true when it has ended; Err says how.
	Done bool
	Err  error
}

// Result of Apply.
type Result struct {
	// View at the end.
	View View
	// Steps that were begun, in order; none where there was nothing to do.
	Steps []Step
	// Lesson is what a person would have typed for Steps.
	Lesson lesson.Lesson
	// Unfinished and Warnings of the last plan.
	Unfinished []Unfinished
	Warnings   []string
}

// maxRounds of observe, plan, apply. One does for most; a swarm that has to
// elect a leader or unlock first takes three.
const maxRounds = 6

// Apply observes, plans and does until there is nothing left to do. The error
// is a refusal of MakePlan (nothing was touched by this round), a
// *trouble.Error with ID "interrupted", or one with ID "swarm-unfinished" and
// ExitUnfinished that names the nodes that are not what labs.yaml wants, and
// why. The result is filled in either way.
func (c *Cluster) Apply(ctx context.Context, l *lab.Lab, o PlanOptions) (Result, error) {
	var res Result
	if o.View != nil {
		res.View = *o.View
	} else {
		res.View = c.Observe(ctx)
	}
	taken := o.TakeOver
	var frozen []string
	for range maxRounds {
		if err := interrupted(ctx, o); err != nil {
			return res, err
		}
		plan, err := MakePlan(l, res.View, PlanOptions{TakeOver: taken, Only: o.Only, frozen: frozen})
		if err != nil {
			return res, err
		}
		if len(taken) > 0 {
			// Which swarm is the lab's may hang on who leaves.
			res.View = assemble(labNodes(c.targets), res.View.facts, taken)
		}
		res.Unfinished, res.Warnings = plan.Unfinished, plan.Warnings
		if plan.Empty() {
			return res, unfinished(o, res.Unfinished, nil)
		}
		// From now on these are in the lab's swarm, and nobody's to take over.
		for _, s := range plan.Steps() {
			switch s.Kind() {
			case KindLeave, KindInit, KindJoin:
				taken = slices.DeleteFunc(slices.Clone(taken), func(name string) bool { return name == s.Node() })
			}
		}
		r := c.begin(res.View)
		before := len(res.Steps)
		failed := r.run(ctx, plan, &res)
		// Who hangs for good stops nobody else: the next plan does without.
		failed = slices.DeleteFunc(failed, func(u Unfinished) bool {
			if u.hung {
				frozen = append(frozen, u.Node)
			}
			return u.hung
		})
		res.Lesson = append(res.Lesson, res.View.Lesson(res.Steps[before:])...)
		if err := interrupted(ctx, o); err != nil {
			return res, err
		}
		res.View = r.look(ctx, plan, len(failed) > 0)
		if len(failed) > 0 {
			return res, unfinished(o, res.Unfinished, failed)
		}
	}
	plan, err := MakePlan(l, res.View, PlanOptions{Only: o.Only, frozen: frozen})
	if err != nil {
		return res, err
	}
	var stuck []Unfinished
	for _, s := range plan.Steps() {
		stuck = append(stuck, Unfinished{Node: s.Node(), Why: "still to do after several rounds: " + s.String()})
	}
	return res, unfinished(o, plan.Unfinished, stuck)
}

func interrupted(ctx context.Context, o PlanOptions) error {
	if err := ctx.Err(); err != nil {
		return &trouble.Error{ID: "interrupted", Exit: trouble.ExitInterrupted, What: "interrupted",
			Why:  "what was begun on the nodes goes on there",
			Next: []string{"the same command goes on from here: " + o.command()}, Err: err}
	}
	return nil
}

// unfinished makes one error of the nodes that were left out and those whose
// steps failed; nil where there are none.
func unfinished(o PlanOptions, left, failed []Unfinished) error {
	all := append(slices.Clone(failed), left...)
	if len(all) == 0 {
		return nil
	}
	var why []string
	var errs []error
	var next []string
	for _, u := range all {
		if u.next != "" {
			next = append(next, u.next)
		}
		if u.Node != "" {
			why = append(why, u.Node+": "+u.Why)
		} else {
			why = append(why, u.Why)
		}
		errs = append(errs, u.Err)
	}
	next = append(append(next, trouble.Advice(errors.Join(errs...))...), "see where it stands: dcalab status", "then go on: "+o.command())
	return &trouble.Error{ID: "swarm-unfinished", Exit: trouble.ExitUnfinished,
		What: "the swarm is not yet what labs.yaml asks for", Why: strings.Join(why, "; "),
		Next: next, Err: errors.Join(errs...)}
}
