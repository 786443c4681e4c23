package swarm

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// world is a model of engines and swarms, as far as this package can tell one
// from the real thing: raft membership, quorum, the states of an engine, what
// each call does in each of them, and what comes true only later. It follows
// moby's daemon/cluster and swarmkit, checked by hand against 20.10.24.
type world struct {
	mu      sync.Mutex
	lab     *lab.Lab
	engines []*modelEngine
	swarms  map[string]*modelSwarm
	last    int  // for ids
	slow    int  // how many looks it takes until an effect shows
	acting  bool // Apply is at work: what it does is checked
	// dissolving: any node may leave, and the last one may cost the quorum.
	dissolving bool
	taken      []string
	actions    []string // what changed something while acting
	violated   []string
}

type modelSwarm struct {
	id       string
	nodes    []*modelNode
	settings engine.SwarmSettings
	key      string // unlock key
	oldCA    int    // nodes with a certificate of the old CA
	election int    // looks until there is a leader again
	tokens   map[engine.Role]string
	tasks    []*modelTask
}

// modelTask is a task of a service with one replica a task. On a drained node
// it ends after some looks, and another takes its place where there is one.
type modelTask struct {
	engine.Task
	delay int
	stuck bool // it never ends
}

// modelNode is an entry of a swarm's list.
type modelNode struct {
	engine.Node
	raft  bool
	delay int  // looks until raft follows Role
	seen  int  // looks for which a dead node still counts as ready
	cut   bool // its heartbeats do not arrive, although its engine answers
}

type modelEngine struct {
	w       *world
	name    string
	host    string
	addr    string
	machine bool // the machine answers
	absent  bool // there is no machine
	up      bool // the engine answers
	state   engine.LocalNodeState
	id      string
	swarm   string
	manager bool
	key     string // what its manager's key is locked with
	joining *engine.JoinOptions
	// standalone containers run on it.
	standalone int
	aside      bool // a swarm's data is on its disk, of which it knows nothing
	// through is the address of the manager that it joined through, until its
	// engine is restarted: with that one it comes into raft when it is promoted,
	// or not at all (moby#37175, up to 23.0.6, 25.0.5 and 26.1.2).
	through string
	vain    bool // promoted, and not come into raft
	delay   int
}

func newWorld(l *lab.Lab) *world {
	w := &world{lab: l, swarms: map[string]*modelSwarm{}}
	for _, n := range l.Nodes {
		w.engines = append(w.engines, &modelEngine{w: w, name: n.Name, host: l.Hostname(n), addr: n.IP.String(), machine: true, up: true, state: engine.StateInactive})
	}
	return w
}

// testLab has a node per letter: m manager, w worker, - none.
func testLab(roles string) *lab.Lab {
	l := &lab.Lab{Name: "t", Domain: "lab.example", Subnet: netip.MustParsePrefix("10.20.20.0/24"),
		Swarm: lab.Swarm{TaskHistory: 5, CertExpiry: 2160 * time.Hour}}
	for i, r := range roles {
		l.Nodes = append(l.Nodes, lab.Node{
			Name: fmt.Sprintf("n%d", i+1), IP: netip.AddrFrom4([4]byte{10, 20, 20, byte(11 + i)}),
			Role:         map[rune]lab.Role{'m': lab.RoleManager, 'w': lab.RoleWorker, '-': lab.RoleNone}[r],
			Availability: lab.AvailabilityActive,
		})
	}
	return l
}

func (w *world) targets() []Target {
	var out []Target
	for i, n := range w.lab.Nodes {
		t := TargetFor(w.lab, n)
		e := w.engines[i]
		if e.machine {
			t.Engine, t.Disk = e, modelDisk{e, e.certificate}
		} else {
			t.Unreachable = errors.New("the machine is halted")
			if e.absent {
				t.Unreachable = ErrAbsent
			}
		}
		out = append(out, t)
	}
	return out
}

func (w *world) fresh(prefix string) string {
	w.last++
	return fmt.Sprintf("%s%02d", prefix, w.last)
}

// violate notes what must never happen.
func (w *world) violate(format string, args ...any) {
	if w.acting {
		w.violated = append(w.violated, fmt.Sprintf(format, args...))
	}
}

// act notes a change, and checks after it that no swarm lost its quorum by it.
func (w *world) act(what string, change func() error) error {
	before := map[string]bool{}
	for id, s := range w.swarms {
		before[id] = w.quorum(s)
	}
	err := change()
	if err == nil && w.acting {
		w.actions = append(w.actions, what)
	}
	for id, s := range w.swarms {
		// A swarm that is taken over loses its quorum as its managers go.
		kept := slices.ContainsFunc(w.engines, func(e *modelEngine) bool {
			n, _ := w.lab.Node(e.name)
			if w.dissolving {
				return e.up && e.machine && e.swarm == id && e.state == engine.StateActive && s.node(e.id) != nil
			}
			return e.up && e.swarm == id && n.Role == lab.RoleManager && !slices.Contains(w.taken, e.name)
		})
		if before[id] && !w.quorum(s) && (kept || !strings.HasPrefix(what, "leave")) {
			w.violate("%s cost swarm %s its quorum", what, id)
		}
	}
	return err
}

func (w *world) alive(s *modelSwarm, n *modelNode) bool {
	for _, e := range w.engines {
		if e.up && e.machine && e.id == n.ID && e.swarm == s.id && (e.state == engine.StateActive || e.state == engine.StatePending && e.joining == nil) {
			return true
		}
	}
	return false
}

func (w *world) quorum(s *modelSwarm) bool {
	managers, alive := 0, 0
	for _, n := range s.nodes {
		if n.raft {
			managers++
			if w.alive(s, n) {
				alive++
			}
		}
	}
	return managers > 0 && alive >= Majority(managers)
}

func (s *modelSwarm) node(id string) *modelNode {
	for _, n := range s.nodes {
		if n.ID == id {
			return n
		}
	}
	return nil
}

// tick lets what is under way come true; every look is one.
func (w *world) tick() {
	for _, id := range slices.Sorted(maps.Keys(w.swarms)) {
		s := w.swarms[id]
		if s.election > 0 {
			s.election--
			continue
		}
		if !w.quorum(s) {
			continue
		}
		w.reschedule(s)
		for _, n := range s.nodes {
			if !w.alive(s, n) && n.seen > 0 {
				n.seen--
			}
			want := n.Role == engine.RoleManager
			if n.raft == want {
				n.delay = w.slow
				continue
			}
			if n.delay--; n.delay > 0 || want && !w.alive(s, n) || want && w.strand(s, n) {
				continue
			}
			n.raft = want
			for _, e := range w.engines {
				if e.id == n.ID {
					e.manager = want
				}
			}
		}
	}
	for _, e := range w.engines {
		if !e.up || e.state != engine.StatePending {
			continue
		}
		if e.delay--; e.delay > 0 {
			continue
		}
		s := w.swarms[e.swarm]
		if e.joining != nil {
			if s == nil || !w.quorum(s) || s.election > 0 {
				e.giveUp()
				continue
			}
			_ = e.enter(s, *e.joining)
		} else if s != nil && w.quorum(s) && s.election == 0 {
			e.state = engine.StateActive
		}
	}
}

// strand: a node is promoted, and the manager that it once joined through is a
// manager no more, or is down. Its engine gives up.
func (w *world) strand(s *modelSwarm, n *modelNode) bool {
	at := slices.IndexFunc(w.engines, func(e *modelEngine) bool { return e.id == n.ID && e.swarm == s.id })
	if at < 0 || w.engines[at].through == "" || slices.ContainsFunc(s.nodes, func(m *modelNode) bool {
		return m.raft && m.Addr == w.engines[at].through && w.alive(s, m)
	}) {
		return false
	}
	w.engines[at].state, w.engines[at].vain = engine.StateError, true
	return true
}

// reschedule moves tasks away from drained nodes.
func (w *world) reschedule(s *modelSwarm) {
	for _, t := range s.tasks {
		n := s.node(t.NodeID)
		if !t.Running() || n == nil || n.Availability != engine.AvailabilityDrain {
			continue
		}
		if t.Wanted() {
			t.Desired, t.delay = "shutdown", w.slow
			s.place(t.Name)
			continue
		}
		if t.delay--; t.delay <= 0 && !t.stuck && w.alive(s, n) {
			t.State = "shutdown"
		}
	}
}

// place starts a task on the first node that takes one, else on none.
func (s *modelSwarm) place(name string) {
	t := &modelTask{Task: engine.Task{ID: fmt.Sprintf("task%02d", len(s.tasks)), Name: name, State: "pending", Desired: "running"}}
	for _, n := range s.nodes {
		if n.Availability == engine.AvailabilityActive && t.NodeID == "" {
			t.NodeID, t.State = n.ID, "running"
		}
	}
	s.tasks = append(s.tasks, t)
}

func (e *modelEngine) fail(kind error, text string) error {
	return &engine.Error{Node: e.name, Op: "call", Kind: kind, Message: text}
}

// control gives the engine's swarm, if it is a manager of one with a leader.
func (e *modelEngine) control() (*modelSwarm, error) {
	switch {
	case !e.up:
		return nil, e.fail(engine.ErrUnreachable, "connection refused")
	case e.state == engine.StateLocked:
		return nil, e.fail(engine.ErrLocked, "locked")
	case e.state == engine.StateInactive || e.state == engine.StateError || e.joining != nil:
		return nil, e.fail(engine.ErrNotInSwarm, "not in a swarm")
	case !e.manager:
		return nil, e.fail(engine.ErrNotManager, "worker")
	}
	s := e.w.swarms[e.swarm]
	if s == nil || !e.w.quorum(s) || s.election > 0 {
		return nil, e.fail(engine.ErrNoLeader, "does not have a leader")
	}
	return s, nil
}

func (e *modelEngine) Info(context.Context) (engine.Info, error) {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick()
	if !e.up {
		return engine.Info{}, e.fail(engine.ErrUnreachable, "connection refused")
	}
	in := engine.Info{EngineVersion: "20.10.24", Hostname: e.host, State: e.state}
	switch e.state {
	case engine.StateInactive, engine.StateLocked:
		return in, nil
	case engine.StateError:
		in.Error = "swarm: it gave up"
		if e.vain {
			in.Error = "manager stopped: can't initialize raft node: rpc error: code = Unavailable desc = connection error"
		}
		return in, nil
	}
	if e.joining != nil {
		return in, nil
	}
	in.NodeID, in.Addr = e.id, e.addr
	if s := w.swarms[e.swarm]; s != nil {
		for _, n := range s.nodes {
			if n.raft {
				in.Remotes = append(in.Remotes, engine.Peer{ID: n.ID, Addr: n.Addr + ":2377"})
			}
		}
	}
	if e.manager {
		in.Control = true
		if s, err := e.control(); err == nil {
			in.ClusterID = s.id
			set := s.settings
			in.Settings = &set
		} else {
			in.Error = "The swarm does not have a leader."
		}
	}
	return in, nil
}

func (e *modelEngine) Nodes(context.Context) ([]engine.Node, error) {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick()
	s, err := e.control()
	if err != nil {
		return nil, err
	}
	var out []engine.Node
	leader := false
	for _, n := range s.nodes {
		x := n.Node
		x.Labels = maps.Clone(n.Labels)
		alive := w.alive(s, n)
		x.Status = engine.NodeDown
		if (alive || n.seen > 0) && !n.cut {
			x.Status = engine.NodeReady
		}
		if n.raft {
			x.ManagerAddr = x.Addr + ":2377"
			x.Reachability = engine.ReachabilityUnreachable
			if alive {
				x.Reachability = engine.ReachabilityReachable
				x.Leader = !leader
				leader = true
			}
		}
		out = append(out, x)
	}
	return out, nil
}

func (e *modelEngine) Init(_ context.Context, o engine.InitOptions) (string, error) {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.FromState {
		return e.id, w.act("recover "+e.name, e.fromState)
	}
	if !e.up || e.state != engine.StateInactive {
		w.violate("init on %s, which is %s", e.name, e.state)
		return "", e.fail(engine.ErrAlreadyInSwarm, "already part of a swarm")
	}
	for _, other := range w.engines {
		n, _ := w.lab.Node(other.name)
		if other.swarm != "" && other.joining == nil && n.Role == lab.RoleManager && !slices.Contains(w.taken, other.name) {
			w.violate("init on %s beside swarm %s of %s", e.name, other.swarm, other.name)
		}
	}
	err := w.act("init "+e.name, func() error {
		s := &modelSwarm{id: w.fresh("swarm"), settings: engine.SwarmSettings{CertExpiry: o.CertExpiry, TaskHistory: o.TaskHistory, Autolock: o.Autolock},
			key: w.fresh("key"), tokens: map[engine.Role]string{engine.RoleManager: w.fresh("token"), engine.RoleWorker: w.fresh("token")}}
		s.settings.ClusterID = s.id
		w.swarms[s.id] = s
		return e.enter(s, engine.JoinOptions{Token: engine.Secret(s.tokens[engine.RoleManager]), Advertise: o.Advertise, Availability: o.Availability})
	})
	return e.id, err
}

// fromState is init --force-new-cluster: nobody else is in raft any more, and who thinks
// so has no part in it.
func (e *modelEngine) fromState() error {
	s := e.w.swarms[e.swarm]
	if !e.up || s == nil || s.node(e.id) == nil || !e.manager {
		return e.fail(engine.ErrNotManager, "This node is not a swarm manager")
	}
	if s.settings.Autolock {
		e.state, e.manager = engine.StateInactive, false
		return e.fail(engine.ErrLocked, "Swarm is encrypted and needs to be unlocked")
	}
	for _, n := range s.nodes {
		n.raft = n.ID == e.id
	}
	e.state, s.election = engine.StateActive, 0
	return nil
}

func (e *modelEngine) enter(s *modelSwarm, o engine.JoinOptions) error {
	role := engine.RoleWorker
	if o.Token.Reveal() == s.tokens[engine.RoleManager] {
		role = engine.RoleManager
	}
	if o.Availability == "" {
		o.Availability = engine.AvailabilityActive
	}
	id := e.w.fresh("node")
	s.nodes = append(s.nodes, &modelNode{Node: engine.Node{ID: id, Hostname: e.host, Role: role, Addr: e.addr,
		Availability: o.Availability, Labels: map[string]string{}, EngineVersion: "20.10.24"}, raft: role == engine.RoleManager, delay: e.w.slow})
	e.id, e.swarm, e.state, e.manager, e.key, e.joining = id, s.id, engine.StateActive, role == engine.RoleManager, "", nil
	e.through, e.vain = "", false
	if len(o.Managers) > 0 {
		e.through = strings.TrimSuffix(o.Managers[0], ":2377")
	}
	return nil
}

func (e *modelEngine) Join(_ context.Context, o engine.JoinOptions) error {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !e.up {
		return e.fail(engine.ErrUnreachable, "connection refused")
	}
	if e.state != engine.StateInactive {
		return e.fail(engine.ErrAlreadyInSwarm, "already part of a swarm")
	}
	for _, s := range w.swarms {
		for _, token := range s.tokens {
			if token != o.Token.Reveal() {
				continue
			}
			host := strings.TrimSuffix(o.Managers[0], ":2377")
			if !slices.ContainsFunc(s.nodes, func(n *modelNode) bool { return n.raft && n.Addr == host && w.alive(s, n) }) {
				return e.fail(nil, "dial tcp "+o.Managers[0]+": connect: connection refused")
			}
			if w.slow > 2 {
				_ = w.act("join "+e.name, func() error {
					e.state, e.joining, e.swarm, e.delay = engine.StatePending, &o, s.id, w.slow
					return nil
				})
				return e.fail(engine.ErrJoinTimeout, "the attempt will continue in the background")
			}
			return w.act("join "+e.name, func() error { return e.enter(s, o) })
		}
	}
	return e.fail(engine.ErrBadToken, "invalid join token")
}

func (e *modelEngine) Leave(context.Context, bool) error {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !e.up {
		return e.fail(engine.ErrUnreachable, "connection refused")
	}
	if e.state == engine.StateInactive {
		return e.fail(engine.ErrNotInSwarm, "not part of a swarm")
	}
	s := w.swarms[e.swarm]
	struck := s != nil && s.node(e.id) == nil
	if e.state != engine.StateError && !struck && !w.dissolving && !slices.Contains(w.taken, e.name) {
		w.violate("%s had to leave swarm %s, %s and not taken over", e.name, e.swarm, e.state)
	}
	return w.act("leave "+e.name, func() error {
		if s != nil && s.node(e.id) != nil {
			s.node(e.id).seen = 3
		}
		e.state, e.id, e.swarm, e.manager, e.joining, e.key, e.vain = engine.StateInactive, "", "", false, nil, "", false
		return nil
	})
}

func (e *modelEngine) Tokens(context.Context) (worker, manager engine.Secret, err error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	s, err := e.control()
	if err != nil {
		return "", "", err
	}
	return engine.Secret(s.tokens[engine.RoleWorker]), engine.Secret(s.tokens[engine.RoleManager]), nil
}

func (e *modelEngine) RotateToken(_ context.Context, role engine.Role) error {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	s, err := e.control()
	if err != nil {
		return err
	}
	s.tokens[role] = e.w.fresh("token")
	return nil
}

func (e *modelEngine) UnlockKey(context.Context) (engine.Secret, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	s, err := e.control()
	if err != nil || !s.settings.Autolock {
		return "", err
	}
	return engine.Secret(s.key), nil
}

func (e *modelEngine) RotateUnlockKey(context.Context) error {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	s, err := e.control()
	if err == nil {
		s.key = e.w.fresh("key")
	}
	return err
}

// RotateCA makes every node's certificate an old one; each look of OldCA finds one less.
func (e *modelEngine) RotateCA(context.Context) error {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	s, err := e.control()
	if err == nil {
		s.oldCA = len(s.nodes)
	}
	return err
}

func (e *modelEngine) OldCA(context.Context) ([]string, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	s, err := e.control()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range s.nodes[:s.oldCA] {
		out = append(out, n.Hostname)
	}
	s.oldCA = max(0, s.oldCA-1)
	return out, nil
}

func (e *modelEngine) Unlock(_ context.Context, key engine.Secret) error {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.state != engine.StateLocked {
		return e.fail(engine.ErrNotLocked, "swarm is not locked")
	}
	if key.Reveal() != e.key {
		return e.fail(engine.ErrWrongKey, "invalid key provided")
	}
	return w.act("unlock "+e.name, func() error {
		e.state, e.delay = engine.StatePending, w.slow
		return nil
	})
}

func (e *modelEngine) UpdateSwarm(_ context.Context, edit func(*engine.SwarmSettings)) error {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	s, err := e.control()
	if err != nil {
		return err
	}
	return w.act("configure", func() error { edit(&s.settings); return nil })
}

func (e *modelEngine) UpdateNode(_ context.Context, id string, edit func(*engine.NodeSpec)) error {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	s, err := e.control()
	if err != nil {
		return err
	}
	n := s.node(id)
	if n == nil {
		return e.fail(engine.ErrNotFound, "node not found")
	}
	spec := engine.NodeSpec{Role: n.Role, Availability: n.Availability, Labels: maps.Clone(n.Labels)}
	edit(&spec)
	if spec.Role == engine.RoleWorker && n.Role == engine.RoleManager && !n.raft {
		return e.fail(engine.ErrNotInRaft, "can't find manager in raft memberlist")
	}
	if spec.Role == engine.RoleWorker && n.raft {
		managers, alive := 0, 0
		for _, m := range s.nodes {
			if m.raft && m.ID != id {
				managers++
				if w.alive(s, m) {
					alive++
				}
			}
		}
		if managers == 0 {
			return e.fail(engine.ErrLastManager, "attempting to demote the last manager of the swarm")
		}
		if alive < Majority(managers) {
			return e.fail(engine.ErrQuorumLoss, "this would result in a loss of quorum")
		}
	}
	return w.act("update "+id, func() error {
		n.Role, n.Availability, n.Labels, n.delay = spec.Role, spec.Availability, spec.Labels, w.slow
		return nil
	})
}

func (e *modelEngine) RemoveNode(_ context.Context, id string, force bool) error {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick()
	s, err := e.control()
	if err != nil {
		return err
	}
	n := s.node(id)
	switch {
	case n == nil:
		return e.fail(engine.ErrNotFound, "node not found")
	case n.raft:
		return e.fail(engine.ErrStillManager, "it must be demoted")
	case w.alive(s, n) && !force:
		return e.fail(engine.ErrNotDown, "is not down")
	}
	if w.alive(s, n) {
		w.violate("removed the living node %s", id)
	}
	return w.act("remove "+id, func() error {
		s.nodes = slices.DeleteFunc(s.nodes, func(x *modelNode) bool { return x == n })
		return nil
	})
}

func (e *modelEngine) Tasks(context.Context) ([]engine.Task, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	e.w.tick()
	s, err := e.control()
	if err != nil {
		return nil, err
	}
	var out []engine.Task
	for _, t := range s.tasks {
		out = append(out, t.Task)
	}
	return out, nil
}

func (e *modelEngine) Holdings(context.Context) (engine.Holdings, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	_, err := e.control()
	return engine.Holdings{Services: []string{"web"}}, err
}

// OnIngress is false for a while after a join, as it is in reality.
func (e *modelEngine) OnIngress(context.Context) (bool, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	e.w.tick()
	return e.swarm != "" && e.joining == nil, nil
}

func (e *modelEngine) Standalone(context.Context) (int, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if !e.up {
		return 0, e.fail(engine.ErrUnreachable, "connection refused")
	}
	return e.standalone, nil
}

// certificate is a real one, as swarmkit would write it.
func (e *modelEngine) certificate(context.Context) ([]byte, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if e.swarm == "" || e.joining != nil || e.id == "" {
		return nil, fs.ErrNotExist
	}
	unit := "swarm-worker"
	if e.manager || e.vain {
		unit = "swarm-manager"
	}
	return makeCertificate(e.swarm, unit, e.id), nil
}

// modelDisk is a disk with a certificate.
type modelDisk struct {
	e           *modelEngine
	certificate func(context.Context) ([]byte, error)
}

func (d modelDisk) Certificate(ctx context.Context) ([]byte, error) { return d.certificate(ctx) }
func (d modelDisk) KeyLocked(context.Context) (bool, error)         { return false, errors.ErrUnsupported }
func (d modelDisk) SetAside(context.Context, string) error          { return errors.ErrUnsupported }
func (d modelDisk) IsAside(context.Context) (bool, error)           { return d.e != nil && d.e.aside, nil }

func makeCertificate(org, unit, cn string) []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{org}, OrganizationalUnit: []string{unit}, CommonName: cn}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// The hands of a student, for starting states. Each does nothing where the
// engine would refuse.

func (w *world) init(i int) {
	_, _ = w.engines[i].Init(context.Background(), engine.InitOptions{TaskHistory: 5, CertExpiry: 2160 * time.Hour})
}

func (w *world) join(i, via int, role engine.Role) {
	if worker, manager, err := w.engines[via].Tokens(context.Background()); err == nil {
		token := worker
		if role == engine.RoleManager {
			token = manager
		}
		slow := w.slow
		w.slow = 0
		_ = w.engines[i].Join(context.Background(), engine.JoinOptions{Token: token, Managers: []string{w.engines[via].addr + ":2377"}})
		w.slow = slow
	}
}

func (w *world) pendingJoin(i, via int) {
	if e := w.engines[i]; e.up && e.state == engine.StateInactive {
		if worker, _, err := w.engines[via].Tokens(context.Background()); err == nil {
			e.state, e.joining, e.swarm, e.delay = engine.StatePending, &engine.JoinOptions{Token: worker}, w.engines[via].swarm, 3
		}
	}
}

func (w *world) setRole(i, via int, role engine.Role) {
	_ = w.engines[via].UpdateNode(context.Background(), w.engines[i].id, func(s *engine.NodeSpec) { s.Role = role })
	for range 5 {
		w.tick()
	}
}

func (w *world) strike(i, via int) { // docker node rm --force
	if s, err := w.engines[via].control(); err == nil {
		if n := s.node(w.engines[i].id); n != nil && !n.raft {
			s.nodes = slices.DeleteFunc(s.nodes, func(x *modelNode) bool { return x == n })
		}
	}
}

func (w *world) stop(i int) { w.engines[i].up = false }

func (w *world) halt(i int) { w.engines[i].machine, w.engines[i].up = false, false }

// restart starts an engine, again or after a stop: a manager of a swarm with
// autolock is locked then, others are pending until there is a quorum.
func (w *world) restart(i int) {
	e := w.engines[i]
	e.machine, e.up = true, true
	if e.state != engine.StateActive && e.state != engine.StatePending || e.joining != nil {
		return
	}
	if s := w.swarms[e.swarm]; s != nil && e.manager && s.settings.Autolock {
		e.state, e.key = engine.StateLocked, s.key
		return
	}
	e.state, e.delay, e.through = engine.StatePending, 2, ""
	w.tick()
	w.tick()
}

func (w *world) breakDown(i int) { // the engine gives up on its swarm
	if e := w.engines[i]; e.state == engine.StateActive || e.state == engine.StatePending {
		e.giveUp()
	}
}

// giveUp: who was still on the way into a swarm was never in it.
func (e *modelEngine) giveUp() {
	if e.joining != nil {
		e.swarm = ""
	}
	e.state, e.joining = engine.StateError, nil
}

func (w *world) autolock(i int) {
	_ = w.engines[i].UpdateSwarm(context.Background(), func(s *engine.SwarmSettings) { s.Autolock = true })
}
