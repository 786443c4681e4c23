// Package store reads and writes what a swarm stores, through each of its managers: some
// configs made for that, each write under the condition that nobody else has written. It
// is how others find out what a swarm accepts, and how long it does not.
package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// OperationTimeout is how long an answer may take.
const OperationTimeout = 5 * time.Second

// Set is some configs that one command works with. It is used by the managers that are
// Through it, once they are created.
type Set struct {
	// Command makes them: "dcalab prove".
	Command string
	// Label marks them as its own; the value that is written is in the label Label.value.
	Label string
	Names []string
	// Initial is the value before the first write.
	Initial string

	ids map[string]string // of the configs, by name
}

// ValueLabel is the label that has the value.
func (s *Set) ValueLabel() string { return s.Label + ".value" }

// Version is what was read of a config, for the write that replaces it.
type Version struct {
	Value  string
	config engine.Config
}

// ErrNotSent is for what has not come as far as an engine.
var ErrNotSent = errors.New("not sent")

// Manager is a set as one manager gives it. It is used by one goroutine at a time.
type Manager struct {
	Name    string
	set     *Set
	session *session.Session
	pool    *session.Pool
	conn    *node.Conn
	client  *engine.Client
}

// Managers are those of a lab's swarm, silent those of them that do not answer, and workers
// its other nodes.
func Managers(ctx context.Context, s *session.Session, pool *session.Pool) (managers, silent, workers []string, err error) {
	engines, err := s.Engines(ctx, pool)
	if err != nil {
		return nil, nil, nil, err
	}
	defer engines.Release()
	v := engines.Cluster(swarm.Options{}).Observe(ctx)
	if err := v.NeedManager(); err != nil {
		return nil, nil, nil, err
	}
	for _, n := range v.Nodes {
		switch {
		case n.Role == lab.RoleManager && n.Control:
			managers = append(managers, n.Name)
		case n.Role == lab.RoleManager:
			silent = append(silent, n.Name)
		case n.Role == lab.RoleWorker:
			workers = append(workers, n.Name)
		}
	}
	return managers, silent, workers, nil
}

// Through gives the set through a manager. The caller closes it.
func (s *Set) Through(in *session.Session, pool *session.Pool, manager string) *Manager {
	return &Manager{Name: manager, set: s, session: in, pool: pool}
}

// Engine gives the manager's engine, over a new connection where the last one has ended.
func (m *Manager) Engine(ctx context.Context) (*engine.Client, error) {
	conn := m.pool.Held(m.Name)
	if conn != nil {
		select {
		case <-conn.Done():
			conn = nil
		default:
		}
	}
	if conn == nil {
		machines, err := m.session.Driver().Status(ctx)
		if err == nil {
			conn, err = m.pool.ConnTo(ctx, m.Name, machines[m.Name])
		}
		if err != nil {
			return nil, errors.Join(ErrNotSent, err)
		}
	}
	if conn == m.conn {
		return m.client, nil
	}
	m.Close()
	client, err := engine.New(m.Name, conn.DialEngine)
	if err != nil {
		return nil, errors.Join(ErrNotSent, err)
	}
	m.conn, m.client = conn, client
	return client, nil
}

// Close ends what was connected to.
func (m *Manager) Close() {
	if m.client != nil {
		_ = m.client.Close()
	}
}

// Read reads a config.
func (m *Manager) Read(ctx context.Context, object string) (Version, error) {
	client, err := m.Engine(ctx)
	if err != nil {
		return Version{}, err
	}
	c, err := client.Configs.Get(ctx, m.set.ids[object])
	return Version{c.Labels[m.set.ValueLabel()], c}, err
}

// Write gives a config another value, unless it is not what was read any more.
func (m *Manager) Write(ctx context.Context, was Version, value string) error {
	client, err := m.Engine(ctx)
	if err != nil {
		return err
	}
	labels := maps.Clone(was.config.Labels)
	labels[m.set.ValueLabel()] = value
	return client.Configs.Label(ctx, was.config, labels)
}

// Create makes the configs of the set, once it has removed what an earlier command has left.
// It tells which were left.
func (m *Manager) Create(ctx context.Context) (left []string, err error) {
	client, err := m.Engine(ctx)
	if err != nil {
		return nil, err
	}
	if left, err = m.Remove(ctx); err != nil {
		return left, err
	}
	m.set.ids = map[string]string{}
	holdings, err := client.Swarm.Holdings(ctx)
	if err != nil {
		return left, err
	}
	for _, name := range m.set.Names {
		if slices.Contains(holdings.Configs, name) {
			return left, &trouble.Error{
				ID: "config-name-taken", What: "make the config " + name, Why: "there is one of this name, which " + m.set.Command + " did not make", Exit: trouble.ExitRefused,
				Next: []string{"look at it: dcalab ssh " + m.Name + " -- docker config inspect " + name, "where nobody needs it: dcalab ssh " + m.Name + " -- docker config rm " + name},
			}
		}
	}
	for _, name := range m.set.Names {
		id, err := client.Configs.Create(ctx, name, []byte(m.set.Command+" writes the labels of this config\n"), map[string]string{m.set.Label: "", m.set.ValueLabel(): m.set.Initial})
		if err != nil {
			return left, err
		}
		m.set.ids[name] = id
	}
	return left, nil
}

// Remove removes the configs, of this command or an earlier one, and gives their names.
func (m *Manager) Remove(ctx context.Context) ([]string, error) {
	client, err := m.Engine(ctx)
	if err != nil {
		return nil, err
	}
	list, err := client.Configs.List(ctx, m.set.Label)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b engine.Config) int { return strings.Compare(a.Name, b.Name) })
	var names []string
	for _, c := range list {
		if err := client.Configs.Remove(ctx, c.ID); err != nil {
			return names, err
		}
		names = append(names, c.Name)
	}
	return names, nil
}

// Persist tries again, through one manager after the other, until do has succeeded or
// limit is over: an election may be under way.
func Persist(ctx context.Context, managers []*Manager, limit time.Duration, do func(context.Context, *Manager) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i := 0; ; i++ {
		one, done := context.WithTimeout(ctx, OperationTimeout)
		err := do(one, managers[i%len(managers)])
		done()
		var refused *trouble.Error
		if err == nil || errors.As(err, &refused) && refused.Exit == trouble.ExitRefused {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(500 * time.Millisecond):
		}
	}
}
