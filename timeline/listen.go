package timeline

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/trouble"
)

const (
	// faultPause is between two looks whether a fault is over.
	faultPause = 50 * time.Millisecond
	// machinePause is between two looks at the machines, and slowPause where a look
	// costs seconds.
	machinePause = time.Second
	slowPause    = 10 * time.Second
	// openTimeout is how long a node that runs may take to be connected to.
	openTimeout = time.Minute
	// askPause is between two questions to a manager's engine for what no stream tells.
	askPause = 3 * time.Second
)

// Listen tells what happens in a lab, in one order, until ctx ends, which is no
// error. It begins with how machines and raft logs are, and which nodes, services and
// tasks there are, once a leader can be asked for them. Nodes that boot, halt, join and leave
// meanwhile come and go with it. tell is called by one goroutine at a time.
func Listen(ctx context.Context, s *session.Session, tell func(Event)) error {
	l := &listener{
		session: s, pool: s.NewPool(), tell: tell,
		machines: map[string]machine.Status{}, engines: map[string]engine.Life{}, logs: map[string]raft.State{}, names: map[string]string{},
		busy: map[string]bool{}, unread: map[string]bool{}, failed: map[string]string{}, since: map[string]time.Time{},
		stock: make(chan struct{}, 1), wanted: 1, known: map[string]raft.Change{}, locked: map[string]bool{},
		certified: map[string]time.Time{}, renewed: map[string]chan<- struct{}{},
	}
	defer l.pool.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer l.nodes.Wait()
	defer cancel()
	l.mu.Lock()
	l.say(Event{Source: SourceCommand, Kind: KindBegins, Text: "listening begins"})
	l.mu.Unlock()
	l.lookAtFaults()                        // who knows of others than these knows that they are over
	l.nodes.Go(func() { l.takeStock(ctx) }) // without a leader it takes long
	pause := machinePause
	if s.Driver().Traits().SlowStatus {
		pause = slowPause
	}
	l.nodes.Go(func() { l.watchFaults(ctx) })
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		l.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type listener struct {
	session *session.Session
	pool    *session.Pool
	nodes   sync.WaitGroup
	stock   chan struct{} // it is to be taken, unless it was

	mu        sync.Mutex // of what follows, and of tell
	tell      func(Event)
	machines  map[string]machine.Status
	faults    map[string]string          // what each is, by its id
	journal   fs.FileInfo                // the list of faults, when it was read last
	passed    map[string]bool            // those that are over, and were told of, or were before
	unknown   string                     // why the machines' status is not known
	logs      map[string]raft.State      // by node
	names     map[string]string          // of nodes, by their ids in the swarm
	wanted    int                        // how many times stock had to be taken until now
	taken     int                        // which of them it was taken last; 0 before one
	known     map[string]raft.Change     // objects that stock is taken of, as they were told last, by kind and id
	certified map[string]time.Time       // when nodes' certificates end, as was told
	renewed   map[string]chan<- struct{} // tells who looks at a node's certificate that it may be another one
	locked    map[string]bool            // managers that wait for the unlock key, by node
	settings  Settings
	leader    uint64 // raft id, and the term that it won
	term      uint64
	engines   map[string]engine.Life
	busy      map[string]bool   // nodes that are listened to
	unread    map[string]bool   // nodes whose first answer is still to come
	failed    map[string]string // what went wrong last, by node
	since     map[string]time.Time
}

// say tells an event that has just happened. The caller holds the lock.
func (l *listener) say(e Event) {
	e.Time = time.Now()
	l.tell(e)
}

// look asks for the machines, and listens to nodes that it does not listen to yet.
func (l *listener) look(ctx context.Context) {
	status, err := l.session.Driver().Status(ctx)
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if l.unknown != err.Error() {
			l.unknown = err.Error()
			l.say(Event{Source: SourceMachine, Kind: KindMachine, Machine: machine.StatusUnknown, Text: l.unknown})
		}
		return
	}
	l.unknown = ""
	for _, n := range l.session.Lab().Nodes {
		is := status[n.Name]
		if l.machines[n.Name] != is {
			l.machines[n.Name] = is
			l.say(Event{Source: SourceMachine, Kind: KindMachine, Node: n.Name, Machine: is})
		}
		if is != machine.StatusRunning {
			delete(l.engines, n.Name)
			delete(l.locked, n.Name)
			delete(l.certified, n.Name)
		}
		if is == machine.StatusAbsent {
			delete(l.logs, n.Name) // it is no manager, whatever it was
		}
		if is == machine.StatusRunning && !l.busy[n.Name] {
			l.busy[n.Name] = true
			_, before := l.logs[n.Name]
			l.unread[n.Name] = !before
			l.nodes.Go(func() {
				err := l.listen(ctx, n.Name, is)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.busy[n.Name], l.unread[n.Name] = false, false
				if ctx.Err() == nil {
					l.wrong(SourceRaft, n.Name, err)
					l.elected()
				}
			})
		}
	}
}

// watchFaults tells which faults come, and which are over, until ctx ends.
func (l *listener) watchFaults(ctx context.Context) {
	changes := fault.JournalChanges(ctx, l.session.State())
	for {
		var over <-chan time.Time
		if l.lookAtFaults() {
			over = time.After(faultPause)
		}
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-over:
		}
	}
}

// lookAtFaults tells which there are. more: to be looked at again soon, as one may be over.
func (l *listener) lookAtFaults() (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	is, changed := fault.JournalChanged(l.session.State(), l.journal)
	if !changed && len(l.faults) == 0 && l.passed != nil { // none that could be over by now
		return false
	}
	j, err := fault.ReadJournal(l.session.State())
	if err != nil {
		return true // whoever changes it says so
	}
	l.journal = is
	now, first := map[string]string{}, l.passed == nil
	if first {
		l.passed = map[string]bool{}
	}
	for _, f := range j.Faults {
		if !f.Active {
			continue
		}
		over := f.Over(time.Now())
		if over && (first || l.passed[f.ID]) {
			l.passed[f.ID] = true
			continue
		}
		now[f.ID] = f.Words()
		if l.faults[f.ID] == "" {
			e := Event{Source: SourceFault, Kind: KindBroken, Fault: f.ID, Text: now[f.ID], Nodes: f.Affected(l.session.Lab()), Cuts: f.Cuts(l.session.Lab())}
			if f.Ends != nil {
				e.Until = *f.Ends
			}
			if f.Applied != nil {
				e.Since = *f.Applied
			}
			l.say(e)
		}
		if over { // where to apply it took as long as it was to last, too
			l.passed[f.ID] = true
			l.say(Event{Source: SourceFault, Kind: KindHealed, Fault: f.ID, Text: now[f.ID]})
			delete(l.faults, f.ID)
			delete(now, f.ID)
		} else {
			delete(l.passed, f.ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.faults)) {
		if now[id] == "" {
			l.say(Event{Source: SourceFault, Kind: KindHealed, Fault: id, Text: l.faults[id]})
		}
	}
	l.faults = now
	return len(now) > 0
}

// wrong tells why a node is not heard, each reason once until it is heard again. The
// caller holds the lock.
func (l *listener) wrong(source Source, name string, err error) {
	if err == nil {
		return
	}
	switch {
	case errors.Is(err, trouble.ErrConnectionLost), errors.Is(err, io.EOF): // its machine's status tells
		return
	case errors.Is(err, trouble.ErrNodeUnreachable): // it boots, as long as that may take
		if l.since[name].IsZero() {
			l.since[name] = time.Now()
		}
		if time.Since(l.since[name]) < openTimeout {
			return
		}
	}
	if text := err.Error(); l.failed[name] != text {
		l.failed[name] = text
		l.say(Event{Source: source, Kind: KindFailed, Node: name, Text: text})
	}
}

// listen listens to one node, as long as its connection lasts.
func (l *listener) listen(ctx context.Context, name string, is machine.Status) error {
	opening, opened := context.WithTimeout(ctx, openTimeout)
	c, err := l.pool.ConnTo(opening, name, is)
	opened()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var follow sync.WaitGroup
	defer follow.Wait()
	defer cancel()
	follow.Go(func() { l.follow(ctx, c, name) })
	follow.Go(func() {
		l.watchCertificate(ctx, name, func(ctx context.Context) (swarm.Validity, error) { return session.Certificate(ctx, c) })
	})
	var watch watching
	defer watch.stop()
	err = raft.Follow(ctx, c, func(s raft.State) {
		l.log(name, s)
		if s == (raft.State{}) {
			watch.stop()
		} else if s.Term > 0 {
			watch.start(ctx, func(ctx context.Context) { l.watch(ctx, c, name) })
		}
	})
	select {
	case <-c.Done():
		return nil
	default:
		return err
	}
}

// follow tells how a node's engine is.
func (l *listener) follow(ctx context.Context, c *node.Conn, name string) {
	client, err := engine.New(name, c.DialEngine)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wrong(SourceEngine, name, err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	var asks sync.WaitGroup
	defer asks.Wait()
	defer cancel()
	asks.Go(func() { l.askManager(ctx, client, name) })
	go func() { // what an engine says whose connection is lost is nothing of its own
		select {
		case <-c.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	client.Follow(ctx, engine.Follower{
		Process: c.EngineProcess,
		Life:    func(is engine.Life, version string) { l.engine(name, is, version) },
		Container: func(found engine.Container) {
			l.mu.Lock()
			defer l.mu.Unlock()
			e := Event{Source: SourceEngine, Kind: KindStarted, Node: name, Text: found.Name}
			switch found.Action {
			case "die":
				e.Kind, e.Text = KindEnded, found.Name+" ended, exit status "+found.Exit
			case "oom":
				e.Kind, e.Text = KindEnded, found.Name+" is out of memory"
			}
			l.say(e)
		},
	})
}

// engine tells how an engine is, where that has changed.
func (l *listener) engine(name string, is engine.Life, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.engines[name] == is {
		return
	}
	l.engines[name] = is
	if is == engine.LifeDown {
		delete(l.locked, name)
	}
	e := Event{Source: SourceEngine, Kind: KindEngine, Node: name, Engine: is}
	if version != "" {
		e.Text = "Docker " + version
	}
	l.say(e)
}

// askManager asks a manager's engine whether it is locked, and what holds for the swarm, as
// long as it answers.
func (l *listener) askManager(ctx context.Context, client *engine.Client, name string) {
	tick := time.NewTicker(askPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.mu.Lock()
		_, manager := l.logs[name]
		up := l.engines[name] == engine.LifeUp
		l.mu.Unlock()
		if !manager || !up {
			continue
		}
		if info, err := client.Swarm.Info(ctx); err == nil {
			l.asked(name, info)
		}
	}
}

// asked tells what has changed of a manager's lock and of the swarm's settings.
func (l *listener) asked(name string, info engine.Info) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.engines[name] != engine.LifeUp {
		return // meanwhile
	}
	if locked := info.State == engine.StateLocked; locked != l.locked[name] && (locked || info.State == engine.StateActive) {
		l.locked[name] = locked
		e := Event{Source: SourceEngine, Kind: KindUnlocked, Node: name, Text: "unlocked"}
		if locked {
			e.Kind, e.Text = KindLocked, "locked: its manager waits for the unlock key"
		}
		l.say(e)
	}
	if info.Settings == nil {
		return
	}
	now, before := Settings{Autolock: info.Settings.Autolock, Rotating: info.Settings.Rotating}, l.settings
	l.settings = now
	if before.Rotating && !now.Rotating {
		for name := range l.renewed {
			l.mayBeRenewed(name)
		}
	}
	for _, one := range []struct {
		before, now bool
		on, off     string
	}{
		{before.Autolock, now.Autolock, "autolock is on", "autolock is off"},
		{before.Rotating, now.Rotating, "the root CA is being replaced", "the root CA was replaced"},
	} {
		if one.before == one.now {
			continue
		}
		text := one.off
		if one.now {
			text = one.on
		}
		l.say(Event{Source: SourceSwarm, Kind: KindSettings, Text: text, Settings: &now})
	}
}

// watching is the one watch of a node's.
type watching struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func (w *watching) start(ctx context.Context, watch func(context.Context)) {
	if w.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	w.cancel, w.ended = cancel, make(chan struct{})
	go func() {
		defer close(w.ended)
		watch(ctx)
	}()
}

func (w *watching) stop() {
	if w.cancel == nil {
		return
	}
	w.cancel()
	<-w.ended
	w.cancel = nil
}

// watch watches the cluster as a manager sees it. An engine that was restarted is
// watched anew, as long as the node is a manager.
func (l *listener) watch(ctx context.Context, c *node.Conn, name string) {
	pause, gap := machinePause, time.Time{}
	for {
		err := raft.Watch(ctx, c, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			pause = machinePause
			delete(l.failed, name)
			if !gap.IsZero() {
				l.say(Event{Source: SourceSwarm, Kind: KindNote, Node: name, Text: "watched again; what it changed since " + gap.Local().Format(time.TimeOnly) + " may be missing"})
				l.wanted++
				l.wantStock()
			}
		}, func(change raft.Change) { l.change(name, change) })
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		// An engine that starts is not heard at once, one that does not answer is told of,
		// and so is one that is locked.
		if gap = time.Now(); pause > machinePause && l.engines[name] == engine.LifeUp && !l.locked[name] {
			l.wrong(SourceSwarm, name, err)
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-c.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, slowPause)
		}
	}
}

// log tells what is new in a manager's log.
func (l *listener) log(name string, now raft.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.elected()
	l.unread[name] = false
	delete(l.failed, name)
	delete(l.since, name)
	before, known := l.logs[name]
	e := Event{Source: SourceRaft, Node: name}
	switch {
	case now == raft.State{}:
		if known {
			delete(l.logs, name)
			e.Kind = KindLeft
			l.say(e)
			l.mayBeRenewed(name)
		}
		return
	case !known || before.ID != now.ID:
		e.Kind = KindState
	case before.Term != now.Term || before.Vote != now.Vote:
		e.Kind = KindTerm
	default:
		e.Kind = KindLog
	}
	if len(l.logs) == 0 || known && (before.ID != now.ID || now.Term < before.Term) {
		l.leader, l.term = 0, 0 // another swarm, or an older state of this one
		l.wanted++
	}
	if len(l.logs) == 0 {
		clear(l.known)
		l.settings = Settings{}
	}
	l.logs[name] = now
	if now.Node != "" {
		l.names[now.Node] = name
	}
	e.Raft = l.raft(now)
	l.say(e)
	if before.ID == now.ID {
		return
	}
	for _, other := range slices.Sorted(maps.Keys(l.logs)) { // votes for it have its name from here on
		if s := l.logs[other]; other != name && s.Vote == now.ID {
			l.say(Event{Source: SourceRaft, Node: other, Kind: KindLog, Raft: l.raft(s)})
		}
	}
}

// elected tells who leads, once the logs of all nodes that run have been read. The
// caller holds the lock.
func (l *listener) elected() {
	for _, unread := range l.unread {
		if unread {
			return
		}
	}
	id, term, ok := raft.Won(slices.Collect(maps.Values(l.logs)))
	if !ok || term < l.term || term == l.term && id == l.leader {
		return
	}
	for name, s := range l.logs {
		if s.ID == id {
			l.leader, l.term = id, term
			l.wantStock()
			r := l.raft(s)
			r.Term, r.Vote = term, name // which its own log may not have told yet
			l.say(Event{Source: SourceRaft, Kind: KindLeader, Node: name, Raft: r})
		}
	}
}

func (l *listener) raft(s raft.State) *Raft {
	r := &Raft{Term: s.Term, Commit: s.Commit, LastTerm: s.Last.Term, LastIndex: s.Last.Index}
	if s.Vote != 0 {
		r.Vote = l.manager(s.Vote)
	}
	return r
}

// manager names one by its id in raft.
func (l *listener) manager(id uint64) string {
	for name, s := range l.logs {
		if s.ID == id {
			return name
		}
	}
	return strconv.FormatUint(id, 16)
}

// change tells a change that a manager has applied.
func (l *listener) change(name string, c raft.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tellChange(name, KindChange, c)
}

// tellChange tells a change, or how an object is. The caller holds the lock.
func (l *listener) tellChange(name string, kind Kind, c raft.Change) {
	before := l.known[objectKey(c)]
	l.know(c)
	if c.Kind == raft.KindNode && l.names[c.ID] == "" {
		for _, n := range l.session.Lab().Nodes {
			if c.Name == l.session.Lab().Hostname(n) || c.Name == n.Name {
				l.names[c.ID] = n.Name
			}
		}
	}
	if c.Kind == raft.KindNode && c.Action == raft.ActionRemove && l.machines[l.names[c.ID]] != machine.StatusRunning {
		delete(l.logs, l.names[c.ID]) // it takes part in no election any more
	}
	on := l.names[c.Node]
	if c.Kind == raft.KindNode {
		on = l.names[c.ID]
	}
	if kind == KindChange {
		l.entryChanged(c, before)
	}
	l.say(Event{Source: SourceSwarm, Kind: kind, Node: name, Change: &Change{Version: c.Version, Action: c.Action, Object: c.Object, On: on}})
}
