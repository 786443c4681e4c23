package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/ui"
)

// showBeliefs asks each manager once, and shows what each believes.
func showBeliefs(ctx context.Context, s *session, w io.Writer, format ui.Format) error {
	r, err := report.ObserveBeliefs(ctx, s.Session)
	if err != nil {
		return err
	}
	if r.Election != nil && s.State().Recording().Runs() { // somebody has seen it begin
		var now timeline.Present
		if err := (timeline.Recording{State: s.State()}).Read(time.Time{}, func(e timeline.Event) { now.Take(e) }); err != nil {
			return err
		}
		if _, since, ok := now.Electing(); ok {
			r.Election.Began(since)
		}
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
	raft := func(label, about string, cell func(swarm.Raft) string) {
		add(label, about, func(m swarm.Belief) string {
			if m.Raft == (swarm.Raft{}) {
				return ""
			}
			return cell(m.Raft)
		})
	}
	raft("raft term", "term", func(r swarm.Raft) string { return strconv.FormatUint(r.Term, 10) })
	raft("voted for", "", func(r swarm.Raft) string { return r.Vote })
	raft("committed", "", func(r swarm.Raft) string { return strconv.FormatUint(r.Commit, 10) })
	raft("last entry", "", func(r swarm.Raft) string {
		text := strconv.FormatUint(r.LastIndex, 10)
		if r.LastTerm != 0 && r.LastTerm != r.Term {
			text += fmt.Sprintf(", of term %d", r.LastTerm)
		}
		if r.Behind > 0 {
			text += fmt.Sprintf(", %d behind", r.Behind)
		}
		return text
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
	for _, m := range v.Managers {
		if m.NoRaft != "" {
			ui.PrintWarning(w, m.Manager+": "+m.NoRaft, color)
		}
	}
	_, err := fmt.Fprintln(w, v.Verdict(time.Now()))
	return err
}
