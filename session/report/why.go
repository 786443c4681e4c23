package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/swarm/placement"
	"github.com/dcalab/dcalab/trouble"
)

// Why is what `dcalab why -o json` prints.
type Why struct {
	Lab string `json:"lab" yaml:"lab"`
	// Kind of what is asked about: service, task or node; and its name.
	Kind string `json:"kind" yaml:"kind"`
	Name string `json:"name" yaml:"name"`
	// Summary is how it is with it, in a line.
	Summary string `json:"summary" yaml:"summary"`
	// Pending are the tasks without a node that they may run on, by name.
	Pending []string `json:"pending" yaml:"pending"`
	// Tasks of the service, of the task's slot or on the node.
	Tasks []WhyTask `json:"tasks" yaml:"tasks"`
	// Placements are whether one more task fits each node, or each service the node;
	// for a task that has a node, whether that one does.
	Placements []Placement `json:"placements" yaml:"placements"`
	// Changes are the smallest that would make a node fit, where none does: each of
	// them is one or more commands.
	Changes [][]string `json:"changes" yaml:"changes"`
	// Notes are what else is to be known: of an update, of tasks that failed.
	Notes []string `json:"notes" yaml:"notes"`
}

// WhyTask is a task in a Why.
type WhyTask struct {
	Name string `json:"name" yaml:"name"`
	ID   string `json:"id" yaml:"id"`
	// Node is empty as long as it has none.
	Node    string    `json:"node" yaml:"node"`
	State   string    `json:"state" yaml:"state"`
	Desired string    `json:"desired" yaml:"desired"`
	Since   time.Time `json:"since" yaml:"since"`
	// Error is the swarm's, else what it says of the state.
	Error string `json:"error" yaml:"error"`
	// Moved is why its node would not be chosen now; empty where it would.
	Moved string `json:"moved" yaml:"moved"`
}

// Placement is whether a task of a service fits a node, as the scheduler judges.
type Placement struct {
	Service string `json:"service" yaml:"service"`
	Node    string `json:"node" yaml:"node"`
	Fits    bool   `json:"fits" yaml:"fits"`
	// Next: one more task may be placed here, and not on the other nodes that fit.
	Next bool `json:"next" yaml:"next"`
	// Tasks of the service on the node, and of all services.
	Tasks    int `json:"tasks" yaml:"tasks"`
	AllTasks int `json:"all_tasks" yaml:"all_tasks"`
	// Reasons why it does not fit, in the scheduler's order; it counts the first.
	Reasons []placement.Reason `json:"reasons" yaml:"reasons"`
	// Changes that make it fit, all of them together.
	Changes []string `json:"changes" yaml:"changes"`
	// Note is why it is the one, or not.
	Note string `json:"note" yaml:"note"`
}

// Lines are what a table shows of a placement: service or node, whether it fits,
// tasks of the service, tasks of all, why; a line for each reason.
func (p Placement) Lines(name string, wide bool) [][]string {
	fits := "no"
	if p.Fits {
		fits = "yes"
	}
	counts := []string{fmt.Sprint(p.Tasks), fmt.Sprint(p.AllTasks)}
	if p.Fits || len(p.Reasons) == 0 {
		return [][]string{append(append([]string{name, fits}, counts...), dash(p.Note))}
	}
	var out [][]string
	for i, r := range p.Reasons {
		line := append(append([]string{name, fits}, counts...), r.Text)
		if i > 0 {
			line = []string{"", "", "", "", r.Text}
		}
		if wide {
			line[4] = string(r.Filter) + ": " + r.Text
		}
		out = append(out, line)
	}
	return out
}

// Cells are what a table shows of a task: name, node, state, desired state, since.
func (t WhyTask) Cells(now time.Time) []string {
	return []string{t.Name, dash(t.Node), t.State, t.Desired, trouble.Duration(now.Sub(t.Since)) + " ago"}
}

// WhyRunbook is how a person sees what it is told from.
func WhyRunbook(s *session.Session, name string) runbook.Runbook {
	return runbook.On(managers(s)[:min(1, len(managers(s)))],
		"docker service ps --no-trunc "+name, "docker service inspect --pretty "+name, "docker node inspect --pretty $(docker node ls -q)")
}

// ObserveWhy finds out how it is with a service, a task or a node of that name.
//
// Errors: those of swarm.View.NeedManager where no manager can tell, and
// trouble.Error "no-such-task".
func ObserveWhy(ctx context.Context, s *session.Session, name string, advise func(string) string) (Why, error) {
	v, engines, err := s.Observe(ctx)
	if err != nil {
		return Why{}, err
	}
	defer engines.Close()
	v = session.Settled(v, engines.Machines)
	if err := v.NeedManager(); err != nil {
		return Why{}, err
	}
	for _, n := range v.Nodes {
		client := engines.Client(n.Name)
		if client == nil || !n.Control || n.State != swarm.StateMember {
			continue
		}
		var known engine.Schedule
		if known, err = client.Swarm.Schedule(ctx); err == nil {
			w := newWhy(s.Lab().Name, v, known, time.Now())
			w.running = func(node string) bool { return engines.Machines[node] == machine.StatusRunning }
			w.advise = advise
			return w.about(name)
		}
	}
	if err == nil {
		err = &trouble.Error{ID: "no-leader", What: "no manager answers for the swarm", Exit: trouble.ExitRefused, Next: []string{"look at the lab: dcalab status"}}
	}
	return Why{}, err
}

// why is what a Why is made of.
type why struct {
	Why
	swarm    placement.Swarm
	services []engine.ScheduleService
	now      time.Time
	running  func(node string) bool   // whether its machine runs
	advise   func(line string) string // completes commands of dcalab
}

func newWhy(labName string, v swarm.View, known engine.Schedule, now time.Time) why {
	w := why{services: known.Services, now: now, running: func(string) bool { return false }, advise: func(line string) string { return line }}
	w.Why = Why{Lab: labName, Pending: []string{}, Tasks: []WhyTask{}, Placements: []Placement{}, Changes: [][]string{}, Notes: []string{}}
	for _, n := range known.Nodes {
		one := placement.Node{ScheduleNode: n, Name: n.Hostname, Foreign: true}
		for _, of := range v.Nodes {
			if of.NodeID == n.ID {
				one.Name, one.Foreign = of.Name, false
			}
		}
		if one.Foreign && (one.Name == "" || slices.ContainsFunc(known.Nodes, func(o engine.ScheduleNode) bool { return o.ID != n.ID && o.Hostname == n.Hostname })) {
			one.Name = n.ID // an entry that a node has left behind
		}
		w.swarm.Nodes = append(w.swarm.Nodes, one)
	}
	at := func(id string) int {
		i := slices.IndexFunc(v.Nodes, func(n swarm.NodeView) bool { return n.NodeID == id })
		if i < 0 {
			return len(v.Nodes)
		}
		return i
	}
	slices.SortStableFunc(w.swarm.Nodes, func(a, b placement.Node) int { return at(a.ID) - at(b.ID) })
	w.swarm.Tasks = slices.Clone(known.Tasks)
	for i, t := range w.swarm.Tasks {
		if t.Slot == 0 && t.NodeID != "" { // of a global service: people do not know ids
			w.swarm.Tasks[i].Name = strings.Replace(t.Name, "."+t.NodeID, "."+w.node(t.NodeID), 1)
		}
	}
	return w
}

// node is the name of a node.
func (w *why) node(id string) string {
	for _, n := range w.swarm.Nodes {
		if n.ID == id {
			return n.Name
		}
	}
	return id
}

// about tells of whatever has that name: a service first, then a task, then a node,
// which also has a full name.
func (w *why) about(name string) (Why, error) {
	for _, s := range w.services {
		if s.Name == name || s.ID == name {
			w.aboutService(s)
			return w.Why, nil
		}
	}
	if t, ok := w.task(name); ok {
		w.aboutTask(t)
		return w.Why, nil
	}
	for _, n := range w.swarm.Nodes {
		if n.Name == name || n.Hostname == name || n.ID == name {
			w.aboutNode(n)
			return w.Why, nil
		}
	}
	e := &trouble.Error{ID: "no-such-task", Exit: trouble.ExitUsage, What: fmt.Sprintf("why %s", name), Why: "the swarm has no service, no task and no node of that name"}
	var known, services []string
	for _, s := range w.services {
		services = append(services, s.Name)
	}
	known = append(known, services...)
	for _, t := range w.swarm.Tasks {
		known = append(known, t.Name)
	}
	for _, n := range w.swarm.Nodes {
		known = append(known, n.Name)
	}
	if near := lab.Nearest(name, known); near != "" {
		e.Next = append(e.Next, "did you mean: dcalab why "+near)
	}
	if len(services) > 0 {
		e.Next = append(e.Next, "its services are "+strings.Join(services, ", "))
	}
	e.Next = append(e.Next, "a task is named as docker service ps names it: dcalab why web.1")
	return w.Why, e
}

// task finds the newest task of a name, or the only one whose id begins so.
func (w *why) task(name string) (engine.ScheduleTask, bool) {
	var found []engine.ScheduleTask
	for _, t := range w.swarm.Tasks {
		if t.Name == name || t.Slot == 0 && strings.HasSuffix(name, "."+t.NodeID) && strings.HasPrefix(t.Name, strings.TrimSuffix(name, t.NodeID)) {
			found = append(found, t)
		}
	}
	if len(found) > 0 {
		return slices.MaxFunc(found, newer), true
	}
	for _, t := range w.swarm.Tasks {
		if len(name) >= 4 && strings.HasPrefix(t.ID, name) {
			found = append(found, t)
		}
	}
	if len(found) == 1 {
		return found[0], true
	}
	return engine.ScheduleTask{}, false
}

// newer prefers the task that the swarm wants, then the later one.
func newer(a, b engine.ScheduleTask) int {
	if a.Wanted() != b.Wanted() {
		if a.Wanted() {
			return 1
		}
		return -1
	}
	return a.Created.Compare(b.Created)
}

// waits tells whether a task that is wanted has not been given to a node.
func waits(t engine.ScheduleTask) bool {
	return t.Wanted() && slices.Contains([]string{"new", "allocated", "pending"}, t.State)
}

func (w *why) ofService(id string) []engine.ScheduleTask {
	var out []engine.ScheduleTask
	for _, t := range w.swarm.Tasks {
		if t.Service == id {
			out = append(out, t)
		}
	}
	return out
}

func (w *why) question(s engine.ScheduleService, needs engine.Requirements, without string) placement.Question {
	return placement.Question{Service: s.ID, Name: s.Name, Needs: needs, Without: without, Now: w.now}
}

func (w *why) aboutService(s engine.ScheduleService) {
	w.Kind, w.Name = "service", s.Name
	tasks := w.ofService(s.ID)
	running, complete := 0, 0
	var pending []engine.ScheduleTask
	for _, t := range tasks {
		switch {
		case t.State == "complete" && strings.HasSuffix(s.Mode, "-job"):
			complete++
		case t.State == "running" && t.Wanted():
			running++
		case waits(t):
			pending = append(pending, t)
			w.Pending = append(w.Pending, t.Name)
		}
		// What has ended is told of by its error.
		if t.Wanted() || t.Running() || t.State == "complete" && t.Desired == "complete" {
			w.addTask(t)
		}
	}
	needs := s.Needs
	switch {
	case len(pending) > 0:
		needs = slices.MaxFunc(pending, newer).Needs
	default:
		needs.Plugins = append(slices.Clone(needs.Plugins), networksOf(tasks)...)
	}
	w.Summary = s.Mode + ", "
	switch {
	case strings.HasSuffix(s.Mode, "-job"):
		w.Summary += fmt.Sprintf("%d running, %d complete", running, complete)
	case s.Mode == "global":
		w.Summary += trouble.Count(running, "task") + " running"
	default:
		w.Summary += fmt.Sprintf("%d of %s running", running, trouble.Count(int(s.Replicas), "task")) //nolint:gosec // a count
	}
	if len(pending) > 0 {
		w.Summary += fmt.Sprintf(", %d pending", len(pending))
	}
	w.place(s, w.question(s, needs, ""))
	if strings.HasPrefix(s.Mode, "global") {
		w.globally(s, tasks)
	} else if len(pending) > 0 {
		w.propose(s, w.question(s, needs, ""))
		w.startFirst(s, pending)
	}
	w.noteWaiting(pending)
	w.noteFailures(tasks)
	w.noteUpdate(s, tasks, pending)
	w.noteVolumes(needs)
}

// networksOf are the drivers of the networks of a service, which only its tasks tell.
func networksOf(tasks []engine.ScheduleTask) []engine.Plugin {
	if len(tasks) == 0 {
		return nil
	}
	var out []engine.Plugin
	for _, p := range slices.MaxFunc(tasks, newer).Needs.Plugins {
		if p.Type == "Network" {
			out = append(out, p)
		}
	}
	return out
}

// addTask tells of a task, and whether its node would be chosen again.
func (w *why) addTask(t engine.ScheduleTask) {
	one := WhyTask{Name: t.Name, ID: t.ID, State: t.State, Desired: t.Desired, Since: t.Since, Error: cmp.Or(t.Error, t.Message)}
	if t.NodeID != "" {
		one.Node = w.node(t.NodeID)
	}
	if placement.Assigned(t.Task) && t.Wanted() {
		for _, v := range placement.Judge(w.swarm, placement.Question{Service: t.Service, Needs: t.Needs, Without: t.ID, Now: w.now}) {
			if v.Node == one.Node && !v.Fits() {
				one.Moved = reasons(v.Reasons)
			}
		}
	}
	w.Tasks = append(w.Tasks, one)
	if one.Moved != "" {
		w.note("%s would not be placed on %s now (%s)", one.Name, one.Node, one.Moved)
	}
}

func reasons(list []placement.Reason) string {
	words := make([]string, len(list))
	for i, r := range list {
		words[i] = r.Text
	}
	return strings.Join(words, "; ")
}

func (w *why) note(format string, args ...any) {
	w.Notes = append(w.Notes, w.advise(fmt.Sprintf(format, args...)))
}

// place judges every node.
func (w *why) place(s engine.ScheduleService, q placement.Question) {
	next := placement.Next(w.swarm, q)
	for _, v := range placement.Judge(w.swarm, q) {
		p := Placement{
			Service: s.Name, Node: v.Node, Fits: v.Fits(), Tasks: v.Tasks, AllTasks: v.AllTasks,
			Reasons: append([]placement.Reason{}, v.Reasons...), Changes: w.commands(v.Changes),
		}
		p.Next = slices.Contains(next, v.Node) && !strings.HasPrefix(s.Mode, "global")
		if v.Failures > 0 && p.Fits {
			p.Note = fmt.Sprintf("%d failed here in 5 minutes", v.Failures)
		}
		w.Placements = append(w.Placements, p)
	}
	if strings.HasPrefix(s.Mode, "global") {
		return
	}
	for i, p := range w.Placements {
		switch {
		case !p.Fits:
		case p.Next:
			w.Placements[i].Note = join("the next task may go here", p.Note)
		default:
			w.Placements[i].Note = join(w.insteadOf(q, p.Node, next), p.Note)
		}
	}
}

// insteadOf says why a node that fits is not among those that are next.
func (w *why) insteadOf(q placement.Question, node string, next []string) string {
	all := placement.Judge(w.swarm, q)
	at := func(name string) placement.Verdict {
		return all[slices.IndexFunc(all, func(v placement.Verdict) bool { return v.Node == name })]
	}
	for _, name := range next {
		if why := placement.Rather(at(name), at(node)); why != "" {
			return why + " than " + name
		}
	}
	return "tasks are spread over " + strings.Join(q.Needs.Preferences, ", ")
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}

// commands are what is typed for changes.
func (w *why) commands(changes []placement.Change) []string {
	out := []string{}
	for _, c := range changes {
		line := c.Command()
		foreign := slices.ContainsFunc(w.swarm.Nodes, func(n placement.Node) bool { return n.Name == c.Node && n.Foreign })
		switch {
		case foreign:
			line = c.ForForeign()
		case c.Kind == placement.Return && w.running(c.Node):
			line = "dcalab doctor" // its machine runs: what it lacks is something else
		}
		if line == "" {
			return []string{}
		}
		out = append(out, w.advise(line))
	}
	return out
}

// propose gives the smallest changes, and no more than a person reads.
func (w *why) propose(s engine.ScheduleService, q placement.Question) {
	const most = 4
	for _, changes := range placement.Smallest(w.swarm, q) {
		lines := w.commands(changes)
		if len(lines) > 0 && len(w.Changes) < most && !slices.ContainsFunc(w.Changes, func(o []string) bool { return slices.Equal(o, lines) }) {
			w.Changes = append(w.Changes, lines)
		}
	}
	fit := slices.ContainsFunc(w.Placements, func(p Placement) bool { return p.Fits })
	switch {
	case fit:
		// SwarmKit drops a pending task that is older than its service's spec.
		w.note("a node fits; the scheduler looks again when a node or a task changes, but not at a task from before an update of the service: docker service update --force %s", s.Name)
	case len(w.Changes) == 0:
		w.note("nothing that is changed here makes a node fit service %s", s.Name)
	}
}

// startFirst finds a task of an update that waits for the one that it replaces.
func (w *why) startFirst(s engine.ScheduleService, pending []engine.ScheduleTask) {
	if s.UpdateOrder != "start-first" {
		return
	}
	for _, t := range pending {
		without := w.swarm
		without.Tasks = slices.DeleteFunc(slices.Clone(w.swarm.Tasks), func(o engine.ScheduleTask) bool {
			return o.Service == t.Service && o.Slot == t.Slot && o.ID != t.ID
		})
		q := w.question(s, t.Needs, t.ID)
		if len(placement.Next(w.swarm, q)) > 0 || len(placement.Next(without, q)) == 0 {
			continue
		}
		w.note("%s replaces a task that keeps its place until the new one runs: that is the update's order, start-first", t.Name)
		w.Changes = slices.Insert(w.Changes, 0, []string{"docker service update --update-order stop-first --force " + s.Name})
		return
	}
}

// globally tells of a global service: the swarm makes no task for a node that is
// drained, down or does not match the constraints.
func (w *why) globally(s engine.ScheduleService, tasks []engine.ScheduleTask) {
	missing := 0
	for i, p := range w.Placements {
		var here []engine.ScheduleTask
		for _, t := range tasks {
			if t.NodeID != "" && w.node(t.NodeID) == p.Node && t.Wanted() {
				here = append(here, t)
			}
		}
		switch {
		case len(here) > 0 && !waits(here[0]):
			// Its own task is in the way of no other one.
			w.Placements[i].Fits, w.Placements[i].Note = true, "it has its task ("+here[0].State+")"
			w.Placements[i].Reasons, w.Placements[i].Changes = []placement.Reason{}, []string{}
		case len(here) > 0:
			missing++
			if p.Fits {
				w.Placements[i].Note = "its task waits for the scheduler"
			}
			if len(p.Changes) > 0 && !slices.ContainsFunc(w.Changes, func(o []string) bool { return slices.Equal(o, p.Changes) }) {
				w.Changes = append(w.Changes, p.Changes)
			}
		case p.Fits:
			w.Placements[i].Note = "the swarm has made no task for it"
		}
	}
	if missing > 0 {
		w.note("service %s waits for %s", s.Name, trouble.Count(missing, "node"))
	}
}

// noteWaiting groups pending tasks by what the swarm says of them.
func (w *why) noteWaiting(pending []engine.ScheduleTask) {
	var said []string
	by := map[string][]string{}
	for _, t := range pending {
		words := cmp.Or(t.Error, t.Message)
		switch {
		case t.State != "pending":
			words = "it has no addresses in its networks yet (" + words + ")"
		case t.Desired == "ready" && t.Error == "":
			words = "it waits for its turn (" + words + ")"
		}
		if by[words] == nil {
			said = append(said, words)
		}
		by[words] = append(by[words], t.Name)
	}
	for _, words := range said {
		w.note("%s: %s", enumerate(by[words]), words)
	}
}

// enumerate lists names; of many only the first.
func enumerate(names []string) string {
	if len(names) > 4 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}

// noteFailures groups failed tasks by their message.
func (w *why) noteFailures(tasks []engine.ScheduleTask) {
	var said []string
	by := map[string][]engine.ScheduleTask{}
	for _, t := range tasks {
		if t.State != "failed" && t.State != "rejected" {
			continue
		}
		words := t.State + ": " + cmp.Or(t.Error, t.Message)
		if by[words] == nil {
			said = append(said, words)
		}
		by[words] = append(by[words], t)
	}
	for _, words := range said {
		list := by[words]
		last := slices.MaxFunc(list, func(a, b engine.ScheduleTask) int { return a.Since.Compare(b.Since) })
		w.note("%s %s (the last, %s on %s, %s ago)", trouble.Count(len(list), "task"), words, last.Name, w.node(last.NodeID), trouble.Duration(w.now.Sub(last.Since)))
	}
}

// noteUpdate says why an update goes no further.
func (w *why) noteUpdate(s engine.ScheduleService, tasks, pending []engine.ScheduleTask) {
	switch s.UpdateState {
	case "paused", "rollback_paused":
		line := "the update is " + strings.ReplaceAll(s.UpdateState, "_", " ") + ": " + s.UpdateMessage
		for _, t := range tasks {
			if strings.Contains(s.UpdateMessage, t.ID) {
				line += fmt.Sprintf("; that is %s on %s, %s: %s", t.Name, w.node(t.NodeID), t.State, cmp.Or(t.Error, t.Message))
			}
		}
		w.note("%s", line)
		if s.UpdateState == "paused" {
			w.note("it goes on with the next docker service update, and back with docker service rollback %s", s.Name)
		}
	case "updating", "rollback_started":
		line := "an update is under way"
		if len(pending) > 0 {
			line = "the update waits for " + enumerate(names(pending)) + ", and goes on when that runs"
		}
		w.note("%s", line)
	}
}

func names(tasks []engine.ScheduleTask) []string {
	out := make([]string, len(tasks))
	for i, t := range tasks {
		out[i] = t.Name
	}
	return out
}

func (w *why) noteVolumes(needs engine.Requirements) {
	if needs.ClusterVolumes {
		w.note("it mounts volumes of the swarm (CSI): whether they can be had on a node is not judged here")
	}
}

func (w *why) aboutTask(t engine.ScheduleTask) {
	w.Kind, w.Name = "task", t.Name
	s := engine.ScheduleService{ID: t.Service, Name: t.Service}
	for _, one := range w.services {
		if one.ID == t.Service {
			s = one
		}
	}
	for _, o := range w.ofService(t.Service) {
		if o.Slot == t.Slot && (t.Slot != 0 || o.NodeID == t.NodeID) {
			w.addTask(o)
		}
	}
	slices.SortStableFunc(w.Tasks, func(a, b WhyTask) int { return b.Since.Compare(a.Since) })
	w.Summary = t.State
	if t.NodeID != "" {
		w.Summary += " on " + w.node(t.NodeID)
	}
	if t.Desired != t.State {
		w.Summary += ", wanted " + t.Desired
	}
	q := w.question(s, t.Needs, t.ID)
	w.place(s, q)
	if waits(t) {
		w.Pending = []string{t.Name}
		w.noteWaiting([]engine.ScheduleTask{t})
		if strings.HasPrefix(s.Mode, "global") {
			w.only(w.node(t.NodeID))
			for _, p := range w.Placements { // one, or none where the node has just joined
				if len(p.Changes) > 0 {
					w.Changes = [][]string{p.Changes}
				}
			}
		} else {
			w.propose(s, q)
			w.startFirst(s, []engine.ScheduleTask{t})
		}
		w.noteVolumes(t.Needs)
		return
	}
	for i, p := range w.Placements {
		switch {
		case !p.Fits:
		case p.Node == w.node(t.NodeID):
			w.Placements[i].Note = join("the task is here", strings.TrimPrefix(p.Note, "the next task may go here"))
		case p.Next:
			w.Placements[i].Note = "it would do as well, as things are now"
		}
	}
	if strings.HasPrefix(s.Mode, "global") {
		w.only(w.node(t.NodeID))
	}
	w.noteVolumes(t.Needs)
}

// only keeps the placement on a node: a task of a global service was made for it.
func (w *why) only(node string) {
	w.Placements = slices.DeleteFunc(w.Placements, func(p Placement) bool { return p.Node != node })
}

func (w *why) aboutNode(n placement.Node) {
	w.Kind, w.Name = "node", n.Name
	for _, t := range w.swarm.Tasks {
		if t.NodeID != n.ID || !t.Wanted() && !t.Running() {
			continue
		}
		if waits(t) {
			w.Pending = append(w.Pending, t.Name)
		}
		w.addTask(t)
	}
	w.Summary = fmt.Sprintf("%s, %s, %s here", n.Status, n.Availability, trouble.Count(len(w.Tasks), "task"))
	for _, s := range w.services {
		tasks := w.ofService(s.ID)
		needs := s.Needs
		needs.Plugins = append(slices.Clone(needs.Plugins), networksOf(tasks)...)
		before := w.Placements
		w.Placements = []Placement{}
		w.place(s, w.question(s, needs, ""))
		if strings.HasPrefix(s.Mode, "global") {
			notes, changes := w.Notes, w.Changes
			w.globally(s, tasks)
			w.Notes, w.Changes = notes, changes
		}
		w.only(n.Name)
		w.Placements = append(before, w.Placements...)
	}
}
