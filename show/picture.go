package show

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/ui"
)

// stale says what of a picture is old, and how old.
func stale(old map[string]time.Time, tasks, now time.Time) string {
	var names []string
	var oldest time.Time
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if at := old[name]; now.Sub(at) >= report.StaleAfter {
			names = append(names, name)
			if oldest.IsZero() || at.Before(oldest) {
				oldest = at
			}
		}
	}
	if len(names) > 0 {
		return fmt.Sprintf("data of %s is %s old", strings.Join(names, ", "), ui.Duration(now.Sub(oldest).Truncate(time.Second)))
	}
	if !tasks.IsZero() && now.Sub(tasks) >= 2*report.StaleAfter {
		return fmt.Sprintf("data of tasks is %s old", ui.Duration(now.Sub(tasks).Truncate(time.Second)))
	}
	return ""
}

// picture is the live view of a lab.
func picture(seen report.Picture, hint func(string) string, now time.Time) ui.Picture {
	r := seen.Status
	p := ui.Picture{
		Title:    "lab " + r.Lab + " (" + r.Driver + ")",
		Columns:  columns("NODE", "MACHINE", "ROLE", "AVAILABILITY", "STATE", "TASKS", "ENGINE", "ADDRESS"),
		Warnings: r.Notices(),
		Stale:    stale(seen.Old, seen.TasksAt, now),
	}
	for _, a := range r.Ailments {
		p.Warnings = append(p.Warnings, a.Cause+": "+strings.Join(a.Fix, "; "))
	}
	text := hint(strings.ReplaceAll(strings.TrimPrefix(r.QuorumLine(), "quorum: "), "\n ", ";"))
	if q := r.Quorum; q.Managers > 0 {
		p.Facts = append(p.Facts, ui.Fact{Label: "leader", Value: cmp.Or(r.Leader(), "none"), Since: true})
		p.Meter = &ui.Meter{Label: "quorum", Have: q.Reachable, Need: q.Majority, Of: q.Managers, Lost: !q.HasQuorum, Text: text}
	} else {
		p.Facts = append(p.Facts, ui.Fact{Label: "swarm", Value: text})
	}
	for _, n := range r.Nodes {
		cells := n.Cells()
		name, run, version, role, availability, state, address := cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], cells[6]
		var own []engine.Task
		for _, t := range seen.Tasks {
			if t.NodeID != "" && t.NodeID == n.Swarm.ID {
				own = append(own, t)
			}
		}
		at, old := seen.Old[n.Name]
		p.Rows = append(p.Rows, ui.Row{
			Name:    name,
			Cells:   []string{name, run, role, availability, state, tasksOn(n, own, seen.Told), version, address},
			Details: details(n, r.Labels(n.Name), own, seen.Told),
			Stale:   old && now.Sub(at) >= report.StaleAfter,
		})
	}
	return p
}

// tasksOn is how many tasks a node runs. A halted one runs none, whatever the
// swarm goes on saying until it misses the node.
func tasksOn(n report.Node, tasks []engine.Task, told bool) string {
	told = told && n.Swarm.Status != ""
	if told && n.Machine == machine.StatusHalted {
		return "0"
	}
	return taskCount(tasks, told)
}

// taskCount reads "2", or "1/2" where the swarm wants two and one runs.
func taskCount(tasks []engine.Task, told bool) string {
	if !told {
		return "-"
	}
	running, wanted := 0, 0
	for _, t := range tasks {
		if t.State == "running" {
			running++
		}
		if t.Wanted() {
			wanted++
		}
	}
	if running == wanted {
		return strconv.Itoa(running)
	}
	return fmt.Sprintf("%d/%d", running, wanted)
}

// details are what is known of one node.
func details(n report.Node, set map[string]string, tasks []engine.Task, told bool) []ui.Section {
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(set)) {
		labels = append(labels, key+"="+set[key])
	}
	about := ui.Section{}
	for _, pair := range [][]string{
		{"host name", n.Hostname},
		{"address", n.IP},
		{"machine", string(n.Machine)},
		{"engine", n.Engine},
		{"engine reports", string(n.Swarm.State)},
		{"error", n.Error},
		{"id", n.Swarm.ID},
		{"swarm", n.Swarm.Cluster},
		{"role", string(n.Swarm.Role)},
		{"reachability", n.Swarm.Reachability},
		{"availability", n.Swarm.Availability},
		{"state in the node list", n.Swarm.Status},
		{"labels", strings.Join(labels, " ")},
	} {
		if pair[1] == "" {
			pair[1] = "-"
		}
		about.Rows = append(about.Rows, pair)
	}
	title := "tasks"
	if n.Machine == machine.StatusHalted {
		title = "tasks, as last reported by the swarm"
	}
	section := ui.Section{Title: title, Header: []string{"TASK", "STATE", "WANTED"}}
	// What the swarm wants first; then what has ended.
	slices.SortStableFunc(tasks, func(a, b engine.Task) int {
		if a.Wanted() != b.Wanted() {
			if a.Wanted() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, t := range tasks {
		section.Rows = append(section.Rows, []string{t.Name, t.State, t.Desired})
	}
	if len(tasks) == 0 {
		section.Header = nil
		section.Rows = [][]string{{"none"}}
		if !told {
			section.Rows = [][]string{{"not known: the swarm has no leader"}}
		}
	}
	return []ui.Section{about, section}
}

// addPresent is what a live view shows of the timeline: the election, each manager's
// raft log, and what has happened since the view began.
func addPresent(p *ui.Picture, now *timeline.Present, r report.Status, began time.Time) {
	if fact, ok := raftFact(now, r); ok {
		at := slices.IndexFunc(p.Facts, func(f ui.Fact) bool { return f.Label == "leader" })
		p.Facts = slices.Insert(p.Facts, at+1, fact)
	}
	if len(now.Managers) > 0 {
		table := ui.Section{Header: []string{"MANAGER", "TERM", "VOTED FOR", "COMMITTED", "LAST ENTRY", "BEHIND"}}
		for _, name := range slices.Sorted(maps.Keys(now.Managers)) {
			m := now.Managers[name]
			table.Rows = append(table.Rows, []string{
				name, number(m.Term), cmp.Or(m.Vote, "-"), number(m.Commit), number(m.LastIndex), number(now.Behind(name)),
			})
		}
		p.Tables = append(p.Tables, table)
	}
	for _, e := range now.News {
		if e.Time.Before(began) {
			continue
		}
		p.News = append(p.News, ui.News{At: e.Time.Local(), About: e.About(), Text: e.Sentence()})
	}
}

// raftFact is the line on the election that is under way, or the term that was won.
func raftFact(now *timeline.Present, r report.Status) (ui.Fact, bool) {
	fact := ui.Fact{Label: "raft"}
	term, since, electing := now.Electing()
	switch {
	case len(now.Managers) == 0:
		return fact, false
	case electing && (r.Leader() != "" || r.View.Election()):
		fact.Value, fact.From = "electing, term "+number(term), since
	case electing: // too few to elect one
		fact.Value, fact.From = "no leader, term "+number(term), since
	case now.Leader != "":
		fact.Value = "term " + number(now.Term) + ", won by " + now.Leader
	default:
		for _, m := range now.Managers {
			term = max(term, m.Term)
		}
		fact.Value = "term " + number(term)
	}
	return fact, true
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }
