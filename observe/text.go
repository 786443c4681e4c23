package observe

import (
	"fmt"
	"io"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// Line is a milestone as it is told: its time, where it was counted from something later
// than the first fault also that, its node, and what it is.
func (m Milestone) Line() string {
	since := ""
	if m.SinceMS != m.MS {
		since = fmt.Sprintf("%+d ms", m.SinceMS)
	}
	return fmt.Sprintf("%8d ms  %-11s  %-8s  %s", m.MS, since, m.Node, m.Text)
}

// Sentence says how it ended.
func (r Report) Sentence() string {
	switch {
	case len(r.Milestones) == 0:
		return "Nothing was broken."
	case len(r.Missing) > 0:
		return "The swarm is not whole: " + strings.Join(r.Missing, "; ") + "."
	}
	last := r.Milestones[len(r.Milestones)-1]
	return fmt.Sprintf("The swarm is whole, %d ms after the first fault, %d ms after what was broken or healed last.", last.MS, last.SinceMS)
}

// Lines say what was counted.
func (r Report) Lines() []string {
	var out []string
	for _, t := range r.Writes {
		var lost []string
		for _, s := range t.Spans {
			if s.State == stateRefused {
				lost = append(lost, fmt.Sprintf("%d to %d ms", s.From, s.To))
			}
		}
		if len(lost) == 0 {
			out = append(out, "Writes through "+t.Node+" were accepted all the time.")
		} else {
			out = append(out, "Writes through "+t.Node+" were not accepted from "+strings.Join(lost, ", from ")+".")
		}
	}
	if r.Elections > 0 {
		out = append(out, fmt.Sprintf("Elections: %s begun, %d won.", trouble.Count(r.Elections, "term"), r.Leaders))
	}
	if r.TasksLost > 0 {
		out = append(out, fmt.Sprintf("Of %s that were given up, %d run anew.", trouble.Count(r.TasksLost, "task"), r.TasksPlaced))
	}
	return out
}

// Reason is why a milestone takes as long.
type Reason struct {
	ID   ID
	Rule string
}

// Why are the rules behind the milestones, each once, in the order in which they came.
func (r Report) Why() []Reason {
	var out []Reason
	told := map[ID]bool{}
	for _, m := range r.Milestones {
		if rule := r.Rules[m.ID]; rule != "" && !told[m.ID] {
			told[m.ID] = true
			out = append(out, Reason{m.ID, rule})
		}
	}
	return out
}

// Write says it in words.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	for _, m := range r.Milestones {
		b.WriteString(m.Line() + "\n")
	}
	if len(r.Milestones) > 0 {
		b.WriteString("\n")
	}
	b.WriteString(r.Sentence() + "\n")
	for _, line := range r.Lines() {
		b.WriteString(line + "\n")
	}
	if why := r.Why(); len(why) > 0 {
		b.WriteString("\nWhy it takes as long:\n")
		for _, reason := range why {
			fmt.Fprintf(&b, "  %s: %s\n", reason.ID, reason.Rule)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
