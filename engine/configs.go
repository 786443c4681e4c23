package engine

import (
	"context"
	"errors"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/swarm"
)

// Config is a config of the swarm, without what is in it.
type Config struct {
	ID, Name string
	// Version changes with each change; an update names the one that it is made of.
	Version uint64
	Labels  map[string]string
}

func configOf(c swarm.Config) Config {
	return Config{ID: c.ID, Name: c.Spec.Name, Version: c.Version.Index, Labels: c.Spec.Labels}
}

// Configs are those of the swarm, which only managers know.
type Configs struct{ *caller }

// List gives those that have a label.
func (c Configs) List(ctx context.Context, label string) ([]Config, error) {
	var out []Config
	err := c.call(ctx, "config list", infoTimeout, func(ctx context.Context) error {
		list, err := c.api.ConfigList(ctx, swarm.ConfigListOptions{Filters: filters.NewArgs(filters.Arg("label", label))})
		for _, one := range list {
			out = append(out, configOf(one))
		}
		return err
	})
	return out, err
}

// Get gives one, by its id.
func (c Configs) Get(ctx context.Context, id string) (Config, error) {
	var out Config
	err := c.call(ctx, "config inspect", infoTimeout, func(ctx context.Context) error {
		one, _, err := c.api.ConfigInspectWithRaw(ctx, id)
		out = configOf(one)
		return err
	})
	return out, err
}

// Create makes a config, and gives its id.
func (c Configs) Create(ctx context.Context, name string, data []byte, labels map[string]string) (string, error) {
	var id string
	err := c.call(ctx, "config create", changeTimeout, func(ctx context.Context) error {
		made, err := c.api.ConfigCreate(ctx, swarm.ConfigSpec{Annotations: swarm.Annotations{Name: name, Labels: labels}, Data: data})
		id = made.ID
		return err
	})
	return id, err
}

// Label gives a config its labels anew, if it still has the version that was read
// of it, else ErrOutOfSequence. A manager that does not lead passes the call on, and
// passes it on once more by itself where it loses the leader meanwhile: so after
// ErrOutOfSequence the first of the two may have changed the config.
func (c Configs) Label(ctx context.Context, was Config, labels map[string]string) error {
	return c.call(ctx, "config update", changeTimeout, func(ctx context.Context) error {
		return c.api.ConfigUpdate(ctx, was.ID, swarm.Version{Index: was.Version}, swarm.ConfigSpec{Annotations: swarm.Annotations{Name: was.Name, Labels: labels}})
	})
}

// Remove removes a config that no service uses. One that is gone is no error.
func (c Configs) Remove(ctx context.Context, id string) error {
	err := c.call(ctx, "config remove", changeTimeout, func(ctx context.Context) error { return c.api.ConfigRemove(ctx, id) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
