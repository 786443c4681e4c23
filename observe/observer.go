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

// The states of tracks.
const (
	stateLeader    = "leader"
	stateFollower  = "follower"
	stateCandidate = "candidate"
	stateBehind    = "behind"
	stateOff       = "off"
	stateAccepted  = "accepted"
	stateRefused   = "not accepted"
	stateReady     = "ready"
	stateRuns      = "runs" // and nothing was told of it in the swarm
)

const (
	// behindBy is how many entries a manager lacks that is behind, once it has lacked them
	// for lagTime, and nearBy how many one may lack that is not any more: some are always
	// under way.
	behindBy, nearBy = 10, 2
	lagTime          = 2 * time.Second
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
	logs     map[string]timeline.Raft
	leader   string
	won      uint64 // the term in which it was elected
	newest   uint64 // term of any manager
	behind   map[string]bool
	lagging  map[string]time.Time // since when a manager lacks many entries
	nodes    map[string]string    // their state in the swarm
	writes   map[string]write
	tasks    map[string]task   // by id
	slots    map[string]string // task that was given up, by name; empty once another one runs
	faults   []Fault
	open     map[string]bool
	standing map[string]bool // faults that were there before from
	unsure   map[string]bool // those that a new listener has not told of yet
	last     time.Time       // of an event
	latest   bool            // only what was listened to last is wanted
	rolling  bool            // only what was broken last is wanted

	began     time.Time // the first thing that was broken
	since     time.Time // the last that was broken or healed
	changes   []time.Time
	newTerm   uint64 // the first since then
	election  election
	told      map[string]bool
	found     []Milestone
	fresh     int // the first that was found of the event that is taken
	elections map[string]bool
	leaders   int

	tracks map[string]map[string][]stretch // by kind and node
}

// election is the newest that was heard of: since when, and what is the first write that was
// accepted since, if it is not known yet who has won.
type election struct {
	term         uint64
	begun, wrote time.Time
}

// write is whether writes through a manager are accepted, since when, and why not.
type write struct {
	accepted bool
	since    time.Time
	why      string
}

type task struct{ name, state, desired string }

// stretch is a span before the beginning is known.
type stretch struct {
	from        time.Time
	state, text string
}

// New makes an observer of a lab. What it is told of before from is only how it was; with a
// zero from it tells of the last time in which the lab was listened to.
func New(lab string, from time.Time) *Observer {
	return &Observer{
		lab: lab, from: from, latest: from.IsZero(), standing: map[string]bool{},
		machines: map[string]machine.Status{}, ran: map[string]bool{}, logs: map[string]timeline.Raft{}, behind: map[string]bool{}, lagging: map[string]time.Time{},
		nodes: map[string]string{}, writes: map[string]write{}, tasks: map[string]task{}, slots: map[string]string{}, open: map[string]bool{},
		told: map[string]bool{}, elections: map[string]bool{},
		tracks: map[string]map[string][]stretch{"raft": {}, "writes": {}, "nodes": {}},
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
	if o.unsure != nil && e.Source != timeline.SourceFault {
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
	if o.Broken() && !o.breaking() && !o.told["whole"] && len(o.Missing()) == 0 {
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
	clear(o.slots)
	for id := range o.open {
		o.standing[id] = true
	}
	o.faults = slices.DeleteFunc(o.faults, func(f Fault) bool { return f.To != nil })
	for _, nodes := range o.tracks {
		for name, list := range nodes {
			over := 0
			for over+1 < len(list) && !list[over+1].from.After(at) {
				over++
			}
			nodes[name] = slices.Clone(list[over:])
		}
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
	o.unsure = maps.Clone(o.open)
	maps.DeleteFunc(o.nodes, func(_, state string) bool { return state != stateReady })
	clear(o.slots)
	clear(o.behind)
}

// overMeanwhile ends the faults that a new listener does not tell of.
func (o *Observer) overMeanwhile(at time.Time) {
	gone := o.unsure
	o.unsure = nil
	for _, id := range slices.Sorted(maps.Keys(gone)) {
		o.healed(at, id)
	}
}

// Start is the time from which on things are found; zero before the first event.
func (o *Observer) Start() time.Time { return o.from }

// Broken tells whether anything was broken yet.
func (o *Observer) Broken() bool { return !o.began.IsZero() }

// Heard tells whether the logs of these managers were read, and who leads.
func (o *Observer) Heard(managers []string) bool {
	for _, name := range managers {
		if _, read := o.logs[name]; !read {
			return false
		}
	}
	return o.leader != ""
}

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
		if _, read := o.logs[name]; !read {
			out = append(out, "the raft log of "+name+" was not read")
		} else if w, known := o.writes[name]; known && !w.accepted {
			out = append(out, "writes through "+name+" are not accepted: "+w.why)
		}
	}
	if o.leader == "" {
		out = append(out, "no log tells who leads")
	}
	return out
}

// Missing is what is not as it was before the first fault, or not as it is to be.
func (o *Observer) Missing() []string {
	var out []string
	for _, f := range o.faults {
		if o.open[f.ID] && !o.standing[f.ID] && f.To == nil {
			out = append(out, f.ID+" is there: "+f.Words)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.ran)) {
		if o.machines[name] != machine.StatusRunning {
			out = append(out, name+" is "+string(o.machines[name]))
		}
	}
	if o.newest > o.won {
		out = append(out, fmt.Sprintf("no manager has won the election of term %d", o.newest))
	}
	for _, name := range slices.Sorted(maps.Keys(o.writes)) {
		if w := o.writes[name]; !w.accepted && o.machines[name] == machine.StatusRunning {
			out = append(out, "writes through "+name+" are not accepted: "+w.why)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.behind)) {
		if o.machines[name] == machine.StatusRunning {
			out = append(out, name+" does not have what the leader has")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.nodes)) {
		if state := o.nodes[name]; state != stateReady {
			out = append(out, name+" is "+state)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.slots)) {
		if o.slots[name] != "" {
			out = append(out, "task "+name+" was given up, and does not run anew")
		}
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
		delete(o.unsure, e.Fault)
		if o.open[e.Fault] { // another process records now, and tells it again
			return
		}
		at := e.Time
		if !e.Since.IsZero() {
			at = e.Since
		}
		if o.rolling && !o.breaking() && at.Before(o.from) && o.from.Sub(at) < powerTime { // what it did was seen first
			o.from = at
		}
		standing := at.Before(o.from)
		if !standing {
			o.begin(at)
		}
		o.open[e.Fault], o.standing[e.Fault] = true, standing
		o.faults = append(o.faults, Fault{ID: e.Fault, Words: e.Text, From: at.UnixMilli()})
		if !standing {
			o.tell(at, Broken, "", e.Fault+": "+e.Text)
		}
	case timeline.KindHealed:
		o.healed(e.Time, e.Fault)
	}
}

func (o *Observer) healed(at time.Time, id string) {
	if !o.open[id] {
		return
	}
	delete(o.open, id)
	words := ""
	for i := range o.faults {
		if f := &o.faults[i]; f.ID == id && f.To == nil {
			to := at.UnixMilli()
			f.To, words = &to, f.Words
		}
	}
	if !strings.HasPrefix(words, string(fault.Kill)+" ") { // which was over as soon as its machine ran
		o.begin(at)
	}
	o.tell(at, Healed, "", id+" is over: "+words)
}

// breaking tells whether a fault is there that was not there before from.
func (o *Observer) breaking() bool {
	for id := range o.open {
		if !o.standing[id] {
			return true
		}
	}
	return false
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
	if id == On && o.Broken() || !o.breaking() && at.Sub(o.since) > powerTime {
		o.begin(at)
	}
	o.tell(at, id, node, text)
}

func (o *Observer) raft(e timeline.Event) {
	switch {
	case e.Kind == timeline.KindLeft:
		delete(o.logs, e.Node)
		delete(o.behind, e.Node)
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
	o.logs[e.Node] = r
	if r.Term > o.newest {
		forming := o.rolling && o.newest == firstTerm && o.won == 0
		if !forming && o.newest > 0 && e.Kind != timeline.KindState && o.newTerm == 0 {
			o.newTerm = r.Term
		}
		o.newest = r.Term
	}
	if r.Term > o.election.term && r.Vote != "" {
		o.election = election{term: r.Term, begun: e.Time}
	}
	if o.newTerm > 0 && r.Term >= o.newTerm && r.Vote == e.Node {
		o.elections[fmt.Sprint(r.Term)] = true
		at := e.Time
		if r.Term == o.election.term { // its first vote may have been heard of before
			at = noLater(at, o.election.begun)
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
	if e.Raft.Term < o.won { // another swarm, or an older state of this one
		o.newest = e.Raft.Term
	}
	again := e.Node == o.leader && e.Raft.Term == o.won
	o.leader, o.won = e.Node, e.Raft.Term
	o.newest = max(o.newest, o.won)
	if again {
		return
	}
	var voters []string
	for _, name := range slices.Sorted(maps.Keys(o.logs)) {
		if r := o.logs[name]; name == o.leader || r.Term == o.won && r.Vote == o.leader {
			voters = append(voters, name)
		}
	}
	text := fmt.Sprintf("leads in term %d, with the votes of %s", o.won, strings.Join(voters, ", "))
	var old []string
	for _, name := range slices.Sorted(maps.Keys(o.logs)) {
		if r := o.logs[name]; r.Term < o.won && o.machines[name] == machine.StatusRunning {
			old = append(old, fmt.Sprintf("%s still has term %d", name, r.Term))
		}
	}
	if len(old) > 0 {
		text += "; " + strings.Join(old, ", ")
	}
	if o.Broken() {
		o.leaders++
	}
	at := e.Time
	if o.won == o.election.term {
		at = noLater(at, o.election.wrote)
	}
	o.tell(at, Leader, e.Node, text)
	o.catchUp(e.Time)
}

// catchUp finds which managers lack what the leader has, and which do not any more.
func (o *Observer) catchUp(at time.Time) {
	lead, known := o.logs[o.leader]
	if !known {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(o.logs)) {
		r := o.logs[name]
		switch {
		case name == o.leader:
			delete(o.behind, name)
		case r.Term < o.won:
			o.behind[name] = true
		case r.Commit+behindBy < lead.Commit:
			if o.lagging[name].IsZero() {
				o.lagging[name] = at
			}
			o.behind[name] = o.behind[name] || at.Sub(o.lagging[name]) > lagTime
		case o.behind[name] && r.Term == lead.Term && r.Commit+nearBy >= lead.Commit:
			delete(o.behind, name)
			o.tell(at, CaughtUp, name, fmt.Sprintf("has what the leader has: term %d, committed %d", r.Term, r.Commit))
		}
		if r.Commit+behindBy >= lead.Commit {
			delete(o.lagging, name)
		}
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
	others := o.accepting()
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
		if o.election.term > o.won && o.election.wrote.IsZero() {
			o.election.wrote = e.Time
		}
		o.tell(e.Time, Write, e.Node, "the first write is accepted; none was for "+seconds(e.Time.Sub(lost)))
	}
}

// accepting tells whether writes through any manager are accepted.
func (o *Observer) accepting() bool {
	for _, w := range o.writes {
		if w.accepted {
			return true
		}
	}
	return false
}

func (o *Observer) change(e timeline.Event) {
	switch c := e.Change; c.Kind {
	case raft.KindNode:
		o.node(e.Time, c)
	case raft.KindTask:
		o.task(e.Time, c)
	case raft.KindService:
		if c.Action == raft.ActionRemove || c.Desired == "removed" {
			maps.DeleteFunc(o.slots, func(name, _ string) bool { return strings.HasPrefix(name, c.Name+".") })
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
	missed := o.notReady()
	if o.nodes[c.On] = c.State; at.Before(o.from) && c.State != stateReady {
		delete(o.nodes, c.On) // it was so before
	}
	if c.State == "down" {
		o.once(at, Down, c.On, "is Down for the swarm")
	}
	if missed > 0 && o.notReady() == 0 {
		o.tell(at, Ready, "", "all nodes are Ready again, the last "+c.On)
	}
}

func (o *Observer) notReady() int {
	n := 0
	for _, state := range o.nodes {
		if state != stateReady {
			n++
		}
	}
	return n
}

func (o *Observer) task(at time.Time, c *timeline.Change) {
	before := o.tasks[c.ID]
	now := task{c.Name, c.State, c.Desired}
	o.tasks[c.ID] = now
	if c.Name == "" || c.Action == raft.ActionRemove {
		delete(o.tasks, c.ID)
		return
	}
	switch {
	case !o.Broken():
	case given(now) && !given(before):
		if _, lost := o.slots[c.Name]; !lost || o.slots[c.Name] == "" {
			o.slots[c.Name] = c.ID
			o.once(at, Lost, c.On, "tasks on it are given up")
		}
	case now.state == "running" && now.desired == "running" && o.slots[c.Name] != "" && o.slots[c.Name] != c.ID:
		o.slots[c.Name] = ""
		if lost, placed := o.counts(); placed == lost {
			o.tell(at, Placed, "", fmt.Sprintf("%s run anew, the last on %s", trouble.Count(placed, "task"), c.On))
		}
	}
}

// given tells whether a task was given up.
func given(t task) bool {
	return t.desired == "shutdown" || slices.Contains([]string{"failed", "rejected", "orphaned"}, t.state)
}

// running counts the tasks of a service that run.
func (o *Observer) running(service string) int {
	n := 0
	for _, t := range o.tasks {
		if t.state == "running" && strings.HasPrefix(t.name, service+".") {
			n++
		}
	}
	return n
}

// counts are the tasks that were given up, and those of them that run anew.
func (o *Observer) counts() (lost, placed int) {
	for _, id := range o.slots {
		lost++
		if id == "" {
			placed++
		}
	}
	return lost, placed
}

// track notes what has changed of managers, writes and nodes.
func (o *Observer) track(at time.Time) {
	note := func(at time.Time, kind, node, state, text string) {
		spans := o.tracks[kind][node]
		if n := len(spans); n > 0 && spans[n-1].state == state && spans[n-1].text == text {
			return
		}
		if o.rolling && len(spans) >= rollingMax {
			spans = slices.Clone(spans[rollingMax/2:])
		}
		o.tracks[kind][node] = append(spans, stretch{at, state, text})
	}
	for name, r := range o.logs {
		text := fmt.Sprintf("term %d", r.Term)
		switch {
		case o.machines[name] != machine.StatusRunning && o.machines[name] != "":
			note(at, "raft", name, stateOff, "")
		case name == o.leader && r.Term == o.won:
			note(at, "raft", name, stateLeader, text)
		case r.Term > o.won && r.Vote == name:
			note(at, "raft", name, stateCandidate, text)
		case o.behind[name]:
			note(at, "raft", name, stateBehind, text)
		default:
			note(at, "raft", name, stateFollower, text)
		}
	}
	for name, w := range o.writes {
		if w.accepted {
			note(w.since, "writes", name, stateAccepted, "")
		} else {
			note(w.since, "writes", name, stateRefused, w.why)
		}
	}
	for name, status := range o.machines {
		state := cmp.Or(o.nodes[name], stateRuns)
		if status != machine.StatusRunning {
			state = stateOff
		}
		note(at, "nodes", name, state, "")
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
	ms := func(at time.Time) int64 { return at.Sub(began).Milliseconds() }
	r := Report{
		Lab: o.lab, Began: began, MS: ms(end), Faults: []Fault{}, Milestones: o.Milestones(), Elections: len(o.elections), Leaders: o.leaders,
		Missing: append([]string{}, o.Missing()...), Rules: map[ID]string{},
	}
	r.TasksLost, r.TasksPlaced = o.counts()
	for _, f := range o.faults {
		if f.To != nil && *f.To < o.from.UnixMilli() {
			continue
		}
		f.From -= began.UnixMilli()
		if f.To != nil {
			to := *f.To - began.UnixMilli()
			f.To = &to
		}
		r.Faults = append(r.Faults, f)
	}
	for _, m := range r.Milestones {
		if rule := m.ID.Rule(); rule != "" {
			r.Rules[m.ID] = rule
		}
	}
	tracks := func(kind string) []Track {
		out := []Track{}
		for _, node := range slices.Sorted(maps.Keys(o.tracks[kind])) {
			t := Track{Node: node, Spans: []Span{}}
			list := o.tracks[kind][node]
			for i, s := range list {
				to := end
				if i+1 < len(list) {
					to = list[i+1].from
				}
				if to.Before(o.from) {
					continue
				}
				if s.from.Before(o.from) {
					s.from = o.from
				}
				t.Spans = append(t.Spans, Span{ms(s.from), ms(to), s.state, s.text})
			}
			out = append(out, t)
		}
		return out
	}
	r.Raft, r.Writes, r.Nodes = tracks("raft"), tracks("writes"), tracks("nodes")
	return r
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
