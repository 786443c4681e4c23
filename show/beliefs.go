package show

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

// Beliefs has a column for each manager: what it believes of the swarm.
func Beliefs(w io.Writer, v report.Beliefs, style Style) error {
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
	if err := ui.Table(w, header, rows, style.Color); err != nil {
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
		ui.PrintWarning(w, text, style.Color)
	}
	for _, m := range v.Managers {
		if m.NoRaft != "" {
			ui.PrintWarning(w, m.Manager+": "+m.NoRaft, style.Color)
		}
	}
	_, err := fmt.Fprintln(w, v.Verdict(time.Now()))
	return err
}
