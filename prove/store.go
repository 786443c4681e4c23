package prove

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// The labels of the configs: which are ours, and the value.
const (
	ownLabel   = "dcalab.prove"
	valueLabel = "dcalab.prove.value"
)

// objectCount is how many objects there are: few, so that clients meet.
const objectCount = 3

// objectName is the name of a config.
func objectName(i int) string { return fmt.Sprintf("dcalab-prove-%d", i+1) }

// version is what was read of an object, for the write that replaces it.
type version struct {
	value  string
	config engine.Config
}

// store is the swarm's store as one manager gives it.
type store interface {
	read(ctx context.Context, object string) (version, error)
	write(ctx context.Context, was version, value string) error
}

// errNotSent is for what has not come as far as an engine.
var errNotSent = errors.New("not sent")

// managerStore goes through one manager. It is used by one goroutine at a time.
type managerStore struct {
	session *session.Session
	pool    *session.Pool
	manager string
	ids     map[string]string // of the objects' configs
	conn    *node.Conn
	client  *engine.Client
}

// connect gives the engine, over a new connection where the last one has ended.
func (m *managerStore) connect(ctx context.Context) (*engine.Client, error) {
	conn := m.pool.Held(m.manager)
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
			conn, err = m.pool.ConnTo(ctx, m.manager, machines[m.manager])
		}
		if err != nil {
			return nil, errors.Join(errNotSent, err)
		}
	}
	if conn == m.conn {
		return m.client, nil
	}
	m.close()
	client, err := engine.New(m.manager, conn.DialEngine)
	if err != nil {
		return nil, errors.Join(errNotSent, err)
	}
	m.conn, m.client = conn, client
	return client, nil
}

func (m *managerStore) close() {
	if m.client != nil {
		_ = m.client.Close()
	}
}

func (m *managerStore) read(ctx context.Context, object string) (version, error) {
	client, err := m.connect(ctx)
	if err != nil {
		return version{}, err
	}
	c, err := client.Config(ctx, m.ids[object])
	return version{c.Labels[valueLabel], c}, err
}

func (m *managerStore) write(ctx context.Context, was version, value string) error {
	client, err := m.connect(ctx)
	if err != nil {
		return err
	}
	labels := maps.Clone(was.config.Labels)
	labels[valueLabel] = value
	return client.LabelConfig(ctx, was.config, labels)
}

// outcomeOf says what an error of a store leaves of an operation.
func outcomeOf(err error) Outcome {
	if err == nil {
		return OK
	}
	if errors.Is(err, engine.ErrOutOfSequence) {
		return Refused
	}
	for _, certain := range []error{errNotSent, engine.ErrNotManager, engine.ErrNotInSwarm, engine.ErrLocked, engine.ErrCertExpired, engine.ErrNotFound} {
		if errors.Is(err, certain) {
			return Failed
		}
	}
	return Unknown
}

// create makes the objects through a manager, once it has removed what an earlier run has
// left. It tells which configs were left.
func (m *managerStore) create(ctx context.Context) (left []string, err error) {
	client, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	if left, err = m.remove(ctx); err != nil {
		return left, err
	}
	holdings, err := client.Holdings(ctx)
	if err != nil {
		return left, err
	}
	for i := range objectCount {
		name := objectName(i)
		if slices.Contains(holdings.Configs, name) {
			return left, &trouble.Error{
				ID: "prove-name-taken", What: "make the config " + name, Why: "there is one of this name, which dcalab prove did not make", Exit: trouble.ExitRefused,
				Next: []string{"look at it: dcalab ssh " + m.manager + " -- docker config inspect " + name, "where nobody needs it: dcalab ssh " + m.manager + " -- docker config rm " + name},
			}
		}
	}
	for i := range objectCount {
		name := objectName(i)
		id, err := client.CreateConfig(ctx, name, []byte("dcalab prove writes the labels of this config\n"), map[string]string{ownLabel: "", valueLabel: Initial})
		if err != nil {
			return left, err
		}
		m.ids[name] = id
	}
	return left, nil
}

// remove removes the objects, of this run or an earlier one, and gives their names.
func (m *managerStore) remove(ctx context.Context) ([]string, error) {
	client, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	list, err := client.Configs(ctx, ownLabel)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b engine.Config) int { return strings.Compare(a.Name, b.Name) })
	var names []string
	for _, c := range list {
		if err := client.RemoveConfig(ctx, c.ID); err != nil {
			return names, err
		}
		names = append(names, c.Name)
	}
	return names, nil
}

// persist tries again, through one manager after the other, until do has succeeded or
// limit is over: an election may be under way.
func persist(ctx context.Context, stores []*managerStore, limit time.Duration, do func(context.Context, *managerStore) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i := 0; ; i++ {
		one, done := context.WithTimeout(ctx, operationTimeout)
		err := do(one, stores[i%len(stores)])
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
