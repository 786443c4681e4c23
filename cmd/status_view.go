package cmd

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

// viewReport is what `dcalab status --view -o json` prints. Its keys are a
// promise.
type viewReport struct {
	Lab         string `json:"lab" yaml:"lab"`
	Driver      string `json:"driver" yaml:"driver"`
	swarm.Views `yaml:",inline"`
}

// termLines is how much of an engine's log is read for the raft term.
const termLines = 20000

// viewText asks each manager once, and shows in a format what each believes.
func (s *session) viewText(ctx context.Context, format string) ([]byte, error) {
	c, err := s.Engines(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	views := c.Cluster(swarm.Options{}).ManagerViews(ctx, func(ctx context.Context, name string) uint64 {
		// Without its log a manager has no term, and all else.
		var r swarm.TermReader
		_ = provision.EngineLog(ctx, c.Pool.Held(name), provision.LogOptions{Lines: termLines}, &r)
		return r.Term()
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := viewReport{Lab: s.Lab().Name, Driver: s.Driver().Name(), Views: views}
	if format != "" {
		return encode(format, r)
	}
	return viewTable(views, s.app.streams.OutColor(s.app.settings.GetBool("no-color")))
}

// viewTable has a column for each manager.
func viewTable(v swarm.Views, color bool) ([]byte, error) {
	var b bytes.Buffer
	if len(v.Managers) == 0 {
		b.WriteString("no node is a manager of a swarm: see dcalab status\n")
		return b.Bytes(), nil
	}
	header := []string{"BELIEVED BY"}
	for _, m := range v.Managers {
		header = append(header, m.Manager)
	}
	var rows [][]string
	add := func(label, about string, cell func(swarm.Belief) string) {
		row := []string{label}
		at := slices.IndexFunc(v.Disagreements, func(d swarm.Disagreement) bool { return d.About == about })
		for _, m := range v.Managers {
			text := cmp.Or(cell(m), "-")
			if at >= 0 && v.Disagreements[at].Beliefs[m.Manager] != "" {
				text = "≠ " + text
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	add("answer", "", func(m swarm.Belief) string { return strings.ReplaceAll(string(m.Answer), "-", " ") })
	add("leader", "leader", swarm.Belief.LeaderText)
	add("raft term", "term", func(m swarm.Belief) string {
		if m.Term == 0 {
			return ""
		}
		return strconv.FormatUint(m.Term, 10)
	})
	if slices.ContainsFunc(v.Disagreements, func(d swarm.Disagreement) bool { return d.About == "cluster" }) {
		add("swarm", "cluster", func(m swarm.Belief) string { return m.Cluster })
	}
	for _, name := range memberRows(v.Managers) {
		add(name, name, func(m swarm.Belief) string {
			if member, ok := m.Member(name); ok {
				return member.String()
			}
			switch {
			case m.Answer == swarm.AnswerList:
				return swarm.NotListed
			case m.Answer == swarm.AnswerSilent:
				return ""
			case name == m.Manager:
				return "itself"
			case slices.Contains(m.Knows, name):
				return "known, not seen"
			}
			return ""
		})
	}
	if err := ui.Table(&b, header, rows, color); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	for _, m := range v.Managers {
		if m.Error == "" {
			continue
		}
		text := m.Manager + ": " + strings.TrimSuffix(m.Error, ".")
		if len(m.Knows) > 0 {
			text += "; its engine remembers the managers " + strings.Join(m.Knows, ", ")
		}
		ui.PrintWarning(&b, text, color)
	}
	b.WriteString(verdict(v))
	return b.Bytes(), nil
}

// memberRows are all nodes that any manager lists or remembers.
func memberRows(managers []swarm.Belief) []string {
	out := swarm.MemberNames(managers)
	for _, m := range managers {
		for _, name := range m.Knows {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// verdict says in a line what the table shows.
func verdict(v swarm.Views) string {
	var led, alone []string
	for _, m := range v.Managers {
		switch m.LeaderText() {
		case "":
		case swarm.NoLeader:
			alone = append(alone, m.Manager)
		default:
			led = append(led, m.Manager)
		}
	}
	var about []string
	for _, d := range v.Disagreements {
		about = append(about, d.About)
	}
	switch {
	case len(led) > 0 && len(alone) > 0:
		return fmt.Sprintf("disagreement on %s: %s with a leader, %s without: a partition, or an election under way\n",
			strings.Join(about, ", "), strings.Join(led, ", "), strings.Join(alone, ", "))
	case len(about) > 0:
		return "disagreement on " + strings.Join(about, ", ") + "\n"
	case len(led) == 0 && len(alone) > 0:
		return "no manager has a leader: the quorum is lost, or an election is under way\n"
	case len(led) == 0:
		return "no manager answers\n"
	case len(led) < len(v.Managers):
		return "those that answer agree\n"
	}
	return "all managers agree\n"
}
