package report

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// Fault is one that there is in the lab.
type Fault struct {
	fault.Fault `yaml:",inline"`
	// Words say what it is.
	Words string `json:"words" yaml:"words"`
	// SecondsLeft until it heals by itself; null where it does not.
	SecondsLeft *int `json:"seconds_left" yaml:"seconds_left"`
	// State is "active" where all its nodes that run have it, "partly" where some do, "gone"
	// where none does any more, "unfinished" where its making was interrupted, and
	// "unknown" where a node could not be asked.
	State string `json:"state" yaml:"state"`
	// Has are the nodes that have it; none in a status, which does not ask them.
	Has []string `json:"has" yaml:"has"`
	// Advice is the command that undoes it.
	Advice string `json:"-" yaml:"-"`
}

// The states of a fault.
const (
	faultActive     = "active"
	faultPartly     = "partly"
	faultGone       = "gone"
	faultUnfinished = "unfinished"
	faultUnknown    = "unknown"
)

// Cells are what a table shows of it: id, what it is, how long it lasts, its state.
func (f Fault) Cells() []string {
	left := "-"
	if f.SecondsLeft != nil {
		left = trouble.Duration(time.Duration(*f.SecondsLeft) * time.Second)
	}
	state := f.State
	if f.State == faultPartly {
		state += ": " + strings.Join(f.Has, ", ")
	}
	return []string{f.ID, f.Words, left, state}
}

// Notice is a line that says what is broken, for how long, and what undoes it.
func (f Fault) Notice() string {
	if f.SecondsLeft == nil {
		return fmt.Sprintf("fault %s: %s, until: %s", f.ID, f.Words, f.Advice)
	}
	return fmt.Sprintf("fault %s: %s, for %s more, or until: %s", f.ID, f.Words, f.Cells()[2], f.Advice)
}

// known are the faults of the journal that are not over, as far as it tells.
func known(s *session.Session, now time.Time) ([]Fault, error) {
	j, err := fault.ReadJournal(s.State())
	if err != nil {
		return nil, err
	}
	out := []Fault{}
	for _, f := range j.Now(now) {
		out = append(out, faultOf(f, now))
	}
	return out, nil
}

func faultOf(f fault.Fault, now time.Time) Fault {
	out := Fault{Fault: f, Words: f.Words(), State: faultActive, Has: []string{}}
	if !f.Active {
		out.State = faultUnfinished
	}
	if f.Ends != nil {
		left := max(0, int(f.Ends.Sub(now).Seconds()+0.5))
		out.SecondsLeft = &left
	}
	return out
}

// Faults lists the faults of a lab, as the journal and the nodes tell. unasked says
// of each node that could not be asked why.
func Faults(ctx context.Context, s *session.Session) (list []Fault, unasked []string, err error) {
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	var nodes []lab.Node
	for _, n := range s.Lab().Nodes {
		if machines[n.Name] == machine.StatusRunning {
			nodes = append(nodes, n)
		}
	}
	pool := s.NewPool()
	defer pool.Close()
	found, failed := fault.FindOn(ctx, pool.Each, nodes)
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		unasked = append(unasked, name+": "+trouble.OneLine(failed[name]))
	}
	j, err := fault.ReadJournal(s.State())
	if err != nil {
		return nil, nil, err
	}
	return merge(s.Lab(), j, machines, found, failed, time.Now()), unasked, nil
}

// merge puts what the nodes have beside what the journal has.
func merge(l *lab.Lab, j fault.Journal, machines map[string]machine.Status, found map[string][]fault.Found, failed map[string]error, now time.Time) []Fault {
	out := []Fault{}
	for _, f := range j.Faults {
		r := faultOf(f, now)
		on := slices.DeleteFunc(slices.Clone(f.On), func(name string) bool { return !f.Power() && machines[name] != machine.StatusRunning })
		mute := false
		for _, name := range on {
			mute = mute || failed[name] != nil
			if f.Power() && machines[name] != machine.StatusRunning ||
				slices.ContainsFunc(found[name], func(have fault.Found) bool { return have.ID == f.ID && have.Applied }) {
				r.Has = append(r.Has, name)
			}
		}
		switch {
		case mute:
			r.State = faultUnknown
		case len(r.Has) == 0:
			r.State = faultGone
		case len(r.Has) < len(on):
			r.State = faultPartly
		}
		if !f.Over(now) || len(r.Has) > 0 {
			out = append(out, r)
		}
	}
	for _, n := range l.Nodes { // what only the nodes know of
		for _, have := range found[n.Name] {
			at := slices.IndexFunc(out, func(f Fault) bool { return f.ID == have.ID })
			switch {
			case at < 0:
				r := Fault{Fault: fault.Fault{ID: have.ID, Nodes: []string{}, Sides: [][]string{}, To: []string{}, On: []string{}, Ports: []uint16{}}, Words: "not in the lab's list", State: faultPartly, Has: []string{n.Name}}
				if have.Left >= 0 {
					left := int(have.Left.Seconds())
					r.SecondsLeft = &left
				}
				out = append(out, r)
			case out[at].Kind == "":
				out[at].Has = append(out[at].Has, n.Name)
			}
		}
	}
	return out
}

// FaultsRunbook is what a person types to see them.
func FaultsRunbook(s *session.Session) runbook.Runbook {
	return runbook.On(s.Lab().NodeNames(), "sudo iptables -t raw -S")
}
