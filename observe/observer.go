package observe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
)

const (
	// powerTime is how long after a fault its machine may be seen to be off.
	powerTime = 15 * time.Second
	// lateTime is an upper bound of how much later one manager is heard than another: what
	// has come of something may be heard before it.
	lateTime = time.Second
	// rollingMax is how many milestones, and changes of a track, are kept of a swarm that
	// does not become whole.
	rollingMax = 1000
	// gapTime is more than it takes until another process goes on recording.
	gapTime = time.Minute
)

// Observer takes the events of a timeline, in their order, and finds the milestones.
type Observer struct {
	lab  string
	from time.Time // what was before is only how it was then

	story    timeline.Story
	machines map[string]machine.Status
	ran      map[string]bool // machines that ran before the first fault
	managers managers
	nodes    nodes
	writes   writes
	tasks    tasks
	faults   faults
	last     time.Time // of an event
	latest   bool      // only what was listened to last is wanted
	rolling  bool      // only what was broken last is wanted

	began     time.Time // the first thing that was broken
	since     time.Time // the last that was broken or healed
	changes   []time.Time
	newTerm   uint64 // the first since then
	told      map[string]bool
	found     []Milestone
	fresh     int // the first that was found of the event that is taken
	elections map[string]bool
	leaders   int

	ofRaft, ofWrites, ofNodes tracks
}

// write is whether writes through a manager are accepted, since when, and why not.
type write struct {
	accepted bool
	since    time.Time
	why      string
}

type writes map[string]write // by manager

// accepting tells whether writes through any manager are accepted.
func (w writes) accepting() bool {
	for _, one := range w {
		if one.accepted {
			return true
		}
	}
	return false
}

type nodes map[string]string // their state in the swarm

func (n nodes) notReady() int {
	count := 0
	for _, state := range n {
		if state != stateReady {
			count++
		}
	}
	return count
}

// New makes an observer of a lab. What it is told of before from is only how it was; with a
// zero from it tells of the last time in which the lab was listened to.
func New(lab string, from time.Time) *Observer {
	return &Observer{
		lab: lab, from: from, latest: from.IsZero(),
		machines: map[string]machine.Status{}, ran: map[string]bool{}, nodes: nodes{}, writes: writes{},
		managers: managers{logs: map[string]timeline.Raft{}, behind: map[string]bool{}, lagging: map[string]time.Time{}},
		tasks:    tasks{known: map[string]task{}, slots: map[string]string{}},
		faults:   faults{open: map[string]bool{}, standing: map[string]bool{}},
		told:     map[string]bool{}, elections: map[string]bool{}, ofRaft: tracks{}, ofWrites: tracks{}, ofNodes: tracks{},
	}
}

// Newest makes an observer that may be told events for ever: it keeps what was broken last,
// once the swarm was whole before that.
func Newest(lab string) *Observer {
	o := New(lab, time.Time{})
	o.rolling = true
	return o
}

// Add takes an event, and gives the milestones that it is.
func (o *Observer) Add(e timeline.Event) []Milestone {
	o.fresh = len(o.found)
	if o.from.IsZero() {
		o.from = e.Time
	}
	before := o.last
	o.last = e.Time
	if o.faults.unsure != nil && e.Source != timeline.SourceFault {
		o.overMeanwhile(e.Time)
	}
	isNew := o.story.New(e)
	switch e.Source {
	case timeline.SourceFault:
		o.fault(e)
	case timeline.SourceMachine:
		o.machine(e)
	case timeline.SourceRaft:
		o.raft(e)
	case timeline.SourceSwarm:
		if isNew && e.Change != nil {
			o.change(e)
		}
	case timeline.SourceProbe:
		o.probe(e)
	case timeline.SourceCommand:
		if e.Kind == timeline.KindBegins {
			o.anew(before)
		}
	}
	o.track(e.Time)
	if o.Broken() && !o.faults.breaking() && !o.told["whole"] && len(o.Missing()) == 0 {
		text := "the swarm is whole again"
		if o.since.After(o.began) {
			text += ", " + seconds(e.Time.Sub(o.since)) + " after it was healed"
		}
		o.tell(e.Time, Whole, "", text)
		if o.rolling { // what comes now is of something else
			clear(o.told)
			o.newTerm = 0
		}
		o.told["whole"] = true
	}
	return o.found[min(o.fresh, len(o.found)):] // it may have begun anew
}

// From forgets what was found: what was before a time is only how it was.
func (o *Observer) From(at time.Time) {
	o.from, o.began, o.since, o.newTerm, o.leaders = at, time.Time{}, time.Time{}, 0, 0
	o.found, o.changes, o.fresh = nil, nil, 0
	clear(o.told)
	clear(o.elections)
	o.tasks.forget()
	o.faults.stand()
	for _, t := range []tracks{o.ofRaft, o.ofWrites, o.ofNodes} {
		t.forget(at)
	}
}

// anew is that another listener begins. It tells how everything is, but not what has changed
// in the swarm and which faults are over since the last event.
func (o *Observer) anew(last time.Time) {
	if !o.Broken() || o.latest && o.last.Sub(last) > gapTime {
		n := New(o.lab, o.from)
		if o.latest {
			n.from, n.latest = o.last, true
		}
		n.writes, n.last, n.rolling = o.writes, o.last, o.rolling
		*o = *n
		return
	}
	o.faults.unsure = maps.Clone(o.faults.open)
	maps.DeleteFunc(o.nodes, func(_, state string) bool { return state != stateReady })
	o.tasks.forget()
	clear(o.managers.behind)
}

// overMeanwhile ends the faults that a new listener does not tell of.
func (o *Observer) overMeanwhile(at time.Time) {
	gone := o.faults.unsure
	o.faults.unsure = nil
	for _, id := range slices.Sorted(maps.Keys(gone)) {
		o.healed(at, id)
	}
}

// Start is the time from which on things are found; zero before the first event.
func (o *Observer) Start() time.Time { return o.from }

// Broken tells whether anything was broken yet.
func (o *Observer) Broken() bool { return !o.began.IsZero() }

// Heard tells whether the logs of these managers were read, and who leads.
func (o *Observer) Heard(managers []string) bool { return o.managers.heard(managers) }

// Writable tells whether writes through all of these managers are accepted.
func (o *Observer) Writable(managers []string) bool {
	for _, name := range managers {
		if !o.writes[name].accepted {
			return false
		}
	}
	return true
}

// unready is why it is not Heard, or not Writable.
func (o *Observer) unready(managers []string) []string {
	var out []string
	for _, name := range managers {
		if _, read := o.managers.logs[name]; !read {
			out = append(out, "the raft log of "+name+" was not read")
		} else if w, known := o.writes[name]; known && !w.accepted {
			out = append(out, "writes through "+name+" are not accepted: "+w.why)
		}
	}
	if o.managers.leader == "" {
		out = append(out, "no log tells who leads")
	}
	return out
}

// Missing is what is not as it was before the first fault, or not as it is to be.
func (o *Observer) Missing() []string {
	out := o.faults.missing()
	for _, name := range slices.Sorted(maps.Keys(o.ran)) {
		if o.machines[name] != machine.StatusRunning {
			out = append(out, name+" is "+string(o.machines[name]))
		}
	}
	if o.managers.newest > o.managers.won {
		out = append(out, fmt.Sprintf("no manager has won the election of term %d", o.managers.newest))
	}
	for _, name := range slices.Sorted(maps.Keys(o.writes)) {
		if w := o.writes[name]; !w.accepted && o.machines[name] == machine.StatusRunning {
			out = append(out, "writes through "+name+" are not accepted: "+w.why)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.managers.behind)) {
		if o.machines[name] == machine.StatusRunning {
			out = append(out, name+" does not have what the leader has")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.nodes)) {
		if state := o.nodes[name]; state != stateReady {
			out = append(out, name+" is "+state)
		}
	}
	for _, name := range o.tasks.missing() {
		out = append(out, "task "+name+" was given up, and does not run anew")
	}
	return out
}

// begin is when something was broken or healed.
func (o *Observer) begin(at time.Time) {
	if at.Before(o.from) {
		return
	}
	if o.rolling && o.told["whole"] {
		o.From(at)
	}
	if !o.Broken() || at.Before(o.began) { // what it did may have been seen before it was told
		o.began = at
	}
	o.since = at
	o.changes = append(o.changes, at)
	o.newTerm = 0
	clear(o.told)
}

// tell notes a milestone, if anything was broken yet.
func (o *Observer) tell(at time.Time, id ID, node, text string) {
	if begins := id == Term || id == Unwritable || id == Down || id == Off; begins && (!o.Broken() || o.rolling && o.told["whole"]) { // somebody else has broken something
		term := o.newTerm
		o.begin(at)
		o.newTerm = term
	}
	if at.Before(o.from) || !o.Broken() {
		return
	}
	if id != Containers { // of which nothing is missing
		delete(o.told, "whole")
	}
	if o.rolling && len(o.found) >= rollingMax {
		o.found = slices.Clone(o.found[rollingMax/2:])
		o.fresh = max(0, o.fresh-rollingMax/2)
	}
	o.found = append(o.found, o.timed(Milestone{ID: id, Time: at, Node: node, Text: text}))
}

// timed gives a milestone with its milliseconds. What was broken may be told after what
// that has done.
func (o *Observer) timed(m Milestone) Milestone {
	since := o.began
	for _, at := range o.changes {
		if !at.After(m.Time) {
			since = at
		}
	}
	m.MS, m.SinceMS = m.Time.Sub(o.began).Milliseconds(), m.Time.Sub(since).Milliseconds()
	return m
}

// once tells a milestone the first time since something was broken or healed.
func (o *Observer) once(at time.Time, id ID, node, text string) {
	key := string(id) + " " + node
	if id == Term || id == Vote {
		key = string(id)
	}
	if !o.told[key] {
		o.tell(at, id, node, text)
		o.told[key] = true
	}
}

func (o *Observer) fault(e timeline.Event) {
	switch e.Kind {
	case timeline.KindBroken:
		delete(o.faults.unsure, e.Fault)
		if o.faults.open[e.Fault] { // another process records now, and tells it again
			return
		}
		at := e.Time
		if !e.Since.IsZero() {
			at = e.Since
		}
		if o.rolling && !o.faults.breaking() && at.Before(o.from) && o.from.Sub(at) < powerTime { // what it did was seen first
			o.from = at
		}
		standing := at.Before(o.from)
		if !standing {
			o.begin(at)
		}
		o.faults.begins(at, e.Fault, e.Text, standing)
		if !standing {
			o.tell(at, Broken, "", e.Fault+": "+e.Text)
		}
	case timeline.KindHealed:
		o.healed(e.Time, e.Fault)
	}
}

func (o *Observer) healed(at time.Time, id string) {
	if !o.faults.open[id] {
		return
	}
	words := o.faults.ends(at, id)
	if !strings.HasPrefix(words, string(fault.Kill)+" ") { // which was over as soon as its machine ran
		o.begin(at)
	}
	o.tell(at, Healed, "", id+" is over: "+words)
}

func (o *Observer) machine(e timeline.Event) {
	if e.Node == "" {
		return
	}
	before, known := o.machines[e.Node]
	o.machines[e.Node] = e.Machine
	runs := e.Machine == machine.StatusRunning
	switch {
	case runs && (!known || !o.Broken()):
		o.ran[e.Node] = true
	case before == machine.StatusRunning && !runs:
		o.tellPower(e.Time, Off, e.Node, "its machine is "+string(e.Machine))
	case known && before != machine.StatusRunning && runs:
		o.tellPower(e.Time, On, e.Node, "its machine runs")
	}
}

// tellPower tells of a machine. It is the beginning of something, unless a fault is.
func (o *Observer) tellPower(at time.Time, id ID, node, text string) {
	if id == On && o.Broken() || !o.faults.breaking() && at.Sub(o.since) > powerTime {
		o.begin(at)
	}
	o.tell(at, id, node, text)
}

func (o *Observer) raft(e timeline.Event) {
	switch {
	case e.Kind == timeline.KindLeft:
		o.managers.left(e.Node)
	case e.Kind == timeline.KindLeader && e.Raft != nil:
		o.elected(e)
	case e.Raft != nil:
		o.log(e)
	}
}

// firstTerm is that of a raft log before its swarm has had a leader.
const firstTerm = 1

func (o *Observer) log(e timeline.Event) {
	r := *e.Raft
	o.managers.logs[e.Node] = r
	if r.Term > o.managers.newest {
		forming := o.rolling && o.managers.newest == firstTerm && o.managers.won == 0
		if !forming && o.managers.newest > 0 && e.Kind != timeline.KindState && o.newTerm == 0 {
			o.newTerm = r.Term
		}
		o.managers.newest = r.Term
	}
	if r.Term > o.managers.election.term && r.Vote != "" {
		o.managers.election = election{term: r.Term, begun: e.Time}
	}
	if o.newTerm > 0 && r.Term >= o.newTerm && r.Vote == e.Node {
		o.elections[fmt.Sprint(r.Term)] = true
		at := e.Time
		if r.Term == o.managers.election.term { // its first vote may have been heard of before
			at = noLater(at, o.managers.election.begun)
		}
		o.once(at, Term, e.Node, fmt.Sprintf("stands for election in term %d", r.Term))
	}
	if o.newTerm > 0 && r.Term >= o.newTerm && r.Vote != "" && r.Vote != e.Node {
		o.elections[fmt.Sprint(r.Term)] = true
		o.once(e.Time, Vote, e.Node, fmt.Sprintf("votes for %s in term %d", r.Vote, r.Term))
	}
	o.catchUp(e.Time)
}

// noLater is when something was that is heard of now, where what came of it was heard of a
// moment ago.
func noLater(at, cameOfIt time.Time) time.Time {
	if at.After(cameOfIt) && at.Sub(cameOfIt) < lateTime {
		return cameOfIt
	}
	return at
}

func (o *Observer) elected(e timeline.Event) {
	if !o.managers.elected(e.Node, e.Raft.Term) {
		return
	}
	if o.Broken() {
		o.leaders++
	}
	at := e.Time
	if o.managers.won == o.managers.election.term {
		at = noLater(at, o.managers.election.wrote)
	}
	o.tell(at, Leader, e.Node, o.managers.victory(func(name string) bool { return o.machines[name] == machine.StatusRunning }))
	o.catchUp(e.Time)
}

func (o *Observer) catchUp(at time.Time) {
	for _, name := range o.managers.catchUp(at) {
		r := o.managers.logs[name]
		o.tell(at, CaughtUp, name, fmt.Sprintf("has what the leader has: term %d, committed %d", r.Term, r.Commit))
	}
}

func (o *Observer) probe(e timeline.Event) {
	if e.Kind == timeline.KindContainers {
		if o.Broken() {
			o.tell(e.Time, Containers, e.Node, e.Text)
		}
		return
	}
	before, known := o.writes[e.Node]
	now := write{accepted: e.Kind == timeline.KindWritable, since: e.Time, why: e.Text}
	if !e.Since.IsZero() {
		now.since = e.Since
		if now.since.Before(o.since) && !e.Time.Before(o.since) { // it was on its way then
			now.since = o.since
		}
	}
	if known && before.accepted == now.accepted {
		return
	}
	others := o.writes.accepting()
	o.writes[e.Node] = now
	switch {
	case !known:
	case !now.accepted:
		o.tell(now.since, Unwritable, e.Node, "writes through it are not accepted: "+e.Text)
	case others:
		o.tell(e.Time, Writable, e.Node, "writes through it are accepted again, after "+seconds(e.Time.Sub(before.since)))
	default:
		lost := before.since
		for _, w := range o.writes { // since the last of them was lost
			if !w.accepted && w.since.After(lost) {
				lost = w.since
			}
		}
		if o.managers.election.term > o.managers.won && o.managers.election.wrote.IsZero() {
			o.managers.election.wrote = e.Time
		}
		o.tell(e.Time, Write, e.Node, "the first write is accepted; none was for "+seconds(e.Time.Sub(lost)))
	}
}

func (o *Observer) change(e timeline.Event) {
	switch c := e.Change; c.Kind {
	case raft.KindNode:
		o.node(e.Time, c)
	case raft.KindTask:
		o.task(e.Time, c)
	case raft.KindService:
		if c.Action == raft.ActionRemove || c.Desired == "removed" {
			o.tasks.removed(c.Name)
		}
	case raft.KindNetwork:
	}
}

func (o *Observer) node(at time.Time, c *timeline.Change) {
	if c.On == "" {
		return
	}
	if c.Action == raft.ActionRemove {
		delete(o.nodes, c.On)
		return
	}
	missed := o.nodes.notReady()
	if o.nodes[c.On] = c.State; at.Before(o.from) && c.State != stateReady {
		delete(o.nodes, c.On) // it was so before
	}
	if c.State == "down" {
		o.once(at, Down, c.On, "is Down for the swarm")
	}
	if missed > 0 && o.nodes.notReady() == 0 {
		o.tell(at, Ready, "", "all nodes are Ready again, the last "+c.On)
	}
}

func (o *Observer) task(at time.Time, c *timeline.Change) {
	lost, placed := o.tasks.take(c, o.Broken())
	if lost {
		o.once(at, Lost, c.On, "tasks on it are given up")
	}
	if !placed {
		return
	}
	if all, anew := o.tasks.counts(); anew == all {
		o.tell(at, Placed, "", fmt.Sprintf("%s run anew, the last on %s", trouble.Count(anew, "task"), c.On))
	}
}

// track notes what has changed of managers, writes and nodes.
func (o *Observer) track(at time.Time) {
	most := 0
	if o.rolling {
		most = rollingMax
	}
	for name, r := range o.managers.logs {
		if status := o.machines[name]; status != machine.StatusRunning && status != "" {
			o.ofRaft.note(at, name, stateOff, "", most)
		} else {
			o.ofRaft.note(at, name, o.managers.state(name), fmt.Sprintf("term %d", r.Term), most)
		}
	}
	for name, w := range o.writes {
		if w.accepted {
			o.ofWrites.note(w.since, name, stateAccepted, "", most)
		} else {
			o.ofWrites.note(w.since, name, stateRefused, w.why, most)
		}
	}
	for name, status := range o.machines {
		state := cmp.Or(o.nodes[name], stateRuns)
		if status != machine.StatusRunning {
			state = stateOff
		}
		o.ofNodes.note(at, name, state, "", most)
	}
}

// Milestones are those that were found, in their order.
func (o *Observer) Milestones() []Milestone {
	list := append([]Milestone{}, o.found...)
	for i, m := range list {
		list[i] = o.timed(m)
	}
	slices.SortStableFunc(list, func(a, b Milestone) int { // a write that is not accepted is found out late
		return cmp.Or(a.Time.Compare(b.Time), a.ID.rank()-b.ID.rank())
	})
	return list
}

// Report is what was found until a time.
func (o *Observer) Report(end time.Time) Report {
	began := o.began
	if !o.Broken() {
		began = o.from
	}
	if began.IsZero() {
		began = end
	}
	r := Report{
		Lab: o.lab, Began: began, MS: end.Sub(began).Milliseconds(), Faults: o.faults.report(o.from, began), Milestones: o.Milestones(), Elections: len(o.elections), Leaders: o.leaders,
		Raft: o.ofRaft.report(o.from, end, began), Writes: o.ofWrites.report(o.from, end, began), Nodes: o.ofNodes.report(o.from, end, began),
		Missing: append([]string{}, o.Missing()...), Rules: map[ID]string{},
	}
	r.TasksLost, r.TasksPlaced = o.tasks.counts()
	for _, m := range r.Milestones {
		if rule := m.ID.Rule(); rule != "" {
			r.Rules[m.ID] = rule
		}
	}
	return r
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
