package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

// showBeliefs asks each manager once, and shows what each believes.
func showBeliefs(ctx context.Context, s *session, w io.Writer, format ui.Format) error {
	r, err := report.ObserveBeliefs(ctx, s.Session)
	if err != nil {
		return err
	}
	return format.Write(w, ui.Listing{
		Document: r, Rows: r.Managers, Key: "manager",
		Table: func(w io.Writer, _ bool) error { return viewTable(w, r, s.app.outColor()) },
	})
}

// viewTable has a column for each manager.
func viewTable(w io.Writer, v report.Beliefs, color bool) error {
	if len(v.Managers) == 0 {
		_, err := io.WriteString(w, "no node is a manager of a swarm: see dcalab status\n")
		return err
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
	for _, name := range v.Members() {
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
	if err := ui.Table(w, header, rows, color); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, m := range v.Managers {
		if m.Error == "" {
			continue
		}
		text := m.Manager + ": " + strings.TrimSuffix(m.Error, ".")
		if len(m.Knows) > 0 {
			text += "; its engine remembers the managers " + strings.Join(m.Knows, ", ")
		}
		ui.PrintWarning(w, text, color)
	}
	_, err := fmt.Fprintln(w, v.Verdict())
	return err
}
