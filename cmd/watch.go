package cmd

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

// live shows the lab on the whole screen, until somebody leaves.
func (s *session) live(ctx context.Context) error {
	w := &watcher{app: s.app, held: map[string]*provision.Node{}}
	defer w.close()
	return ui.Live(ctx, s.app.streams, ui.LiveOptions{
		Look: w.look, Interval: time.Second,
		Color: s.app.streams.OutColor(s.app.settings.GetBool("no-color")),
	})
}

// watcher looks at a lab again and again, over connections that it keeps.
type watcher struct {
	app  *app
	id   string // of the lab that the connections belong to
	held map[string]*provision.Node
}

func (w *watcher) close() {
	for _, n := range w.held {
		_ = n.Close()
	}
	w.held = map[string]*provision.Node{}
}

// look opens the lab anew: it may be made, changed and destroyed meanwhile.
func (w *watcher) look(ctx context.Context) (ui.Picture, error) {
	s, err := w.app.open()
	if err != nil {
		return ui.Picture{}, err
	}
	if s.record.ID != w.id {
		w.close()
		w.id = s.record.ID
	}
	for name, n := range w.held {
		if _, ok := s.lab.Node(name); !ok || ended(n) {
			_ = n.Close()
			delete(w.held, name)
		}
	}
	for again := true; ; again = false {
		p, lost, err := w.glance(ctx, s)
		// A connection that ended tells of a machine that did: its state is
		// asked for when there is none.
		if err != nil || !lost || !again || ctx.Err() != nil {
			return p, err
		}
	}
}

// glance is one look; lost tells that a connection was found to have ended.
func (w *watcher) glance(ctx context.Context, s *session) (_ ui.Picture, lost bool, _ error) {
	c, err := s.gather(ctx, &connected{nodes: w.held})
	if err != nil {
		return ui.Picture{}, false, err
	}
	v := swarm.Observe(ctx, c.targets)
	tasks, unknown := v.Tasks(ctx)
	c.closeEngines()
	machines := c.machines
	if machines == nil { // nobody had to be asked: there is a connection to each
		machines = map[string]machine.Status{}
		for _, n := range s.lab.Nodes {
			machines[n.Name] = machine.StatusRunning
		}
	}
	for _, n := range v.Nodes {
		node := c.nodes[n.Name]
		if node == nil || n.State != swarm.StateEngineDown {
			continue
		}
		// The next look makes a new one: this may be what does not answer.
		delete(c.nodes, n.Name)
		lost = lost || ended(node)
		_ = node.Close()
	}
	w.held = c.nodes
	r, err := s.reportOn(ctx, v, machines)
	if err != nil {
		return ui.Picture{}, false, err
	}
	p := picture(r, v, tasks, unknown == nil)
	for i, f := range p.Facts {
		p.Facts[i].Value = s.app.hint(f.Value)
	}
	if p.Meter != nil {
		p.Meter.Text = s.app.hint(p.Meter.Text)
	}
	return p, lost, nil
}

func ended(n *provision.Node) bool {
	select {
	case <-n.Done():
		return true
	default:
		return false
	}
}

// picture is the live view of a lab; told tells that a manager gave the tasks.
func picture(r report, v swarm.View, tasks []engine.Task, told bool) ui.Picture {
	p := ui.Picture{
		Title: "lab " + r.Lab + " (" + r.Driver + ")",
		Columns: []ui.Column{
			{Title: "NODE", Sort: 'n'},
			{Title: "MACHINE", Keep: 5},
			{Title: "ROLE", Keep: 8, Sort: 'r'},
			{Title: "AVAILABILITY", Keep: 3},
			{Title: "STATE", Keep: 9, Sort: 's', WorstFirst: true},
			{Title: "TASKS", Keep: 4},
			{Title: "ENGINE", Keep: 2},
			{Title: "ADDRESS", Keep: 1},
		},
		Warnings: r.notices(),
	}
	text := strings.ReplaceAll(strings.TrimPrefix(quorumLine(v), "quorum: "), "\n ", ";")
	if q := r.Quorum; q.Managers > 0 {
		p.Facts = append(p.Facts, ui.Fact{Label: "leader", Value: cmp.Or(v.Leader, "none"), Since: true})
		p.Meter = &ui.Meter{Label: "quorum", Have: q.Reachable, Need: q.Majority, Of: q.Managers, Lost: !q.HasQuorum, Text: text}
	} else {
		p.Facts = append(p.Facts, ui.Fact{Label: "swarm", Value: text})
	}
	for i, n := range r.Nodes {
		cells := row(n)
		name, run, version, role, availability, state, address := cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], cells[6]
		var own []engine.Task
		for _, t := range tasks {
			if t.NodeID != "" && t.NodeID == n.Swarm.ID {
				own = append(own, t)
			}
		}
		p.Rows = append(p.Rows, ui.Row{
			Name:    name,
			Cells:   []string{name, run, role, availability, state, taskCount(own, told && n.Swarm.Status != ""), version, address},
			Details: details(n, v.Nodes[i], own, told),
		})
	}
	return p
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
func details(n nodeReport, v swarm.NodeView, tasks []engine.Task, told bool) []ui.Section {
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(v.Labels)) {
		labels = append(labels, key+"="+v.Labels[key])
	}
	about := ui.Section{}
	for _, pair := range [][]string{
		{"host name", n.Hostname},
		{"address", n.IP},
		{"machine", string(n.Machine)},
		{"engine", n.Engine},
		{"its own account", string(n.Swarm.State)},
		{"error", n.Error},
		{"id", n.Swarm.ID},
		{"swarm", n.Swarm.Cluster},
		{"role", string(n.Swarm.Role)},
		{"reachability", n.Swarm.Reachability},
		{"availability", n.Swarm.Availability},
		{"state in the list", n.Swarm.Status},
		{"labels", strings.Join(labels, " ")},
	} {
		if pair[1] == "" {
			pair[1] = "-"
		}
		about.Rows = append(about.Rows, pair)
	}
	section := ui.Section{Title: "tasks", Header: []string{"TASK", "STATE", "WANTED"}}
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
			section.Rows = [][]string{{"no manager tells: it takes a leader"}}
		}
	}
	return []ui.Section{about, section}
}
