package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// targetFile is where the state of a lab has its target.
const targetFile = "docker.json"

// target is the Docker that a lab's container is in. It is kept with the lab:
// DOCKER_HOST and the current context may be others later, and lead to a node of
// a lab where "dcalab env" has set them.
type target struct {
	// Host is as DOCKER_HOST was, Context the name of a context; one of them is set.
	Host    string `json:"host,omitempty"`
	Context string `json:"context,omitempty"`
}

// options are those of the docker program.
func (t target) options() []string {
	if t.Host != "" {
		return []string{"--host", t.Host}
	}
	return []string{"--context", t.Context}
}

func (t target) String() string {
	if t.Host != "" {
		return "the Docker at " + t.Host
	}
	return "the Docker of context " + t.Context
}

// kept is the target of a lab that has had a container.
func (d *Driver) kept() (target, bool, error) {
	var t target
	if d.cfg.State == nil {
		return t, false, nil
	}
	data, err := d.cfg.State.ReadFile(targetFile)
	if errors.Is(err, fs.ErrNotExist) {
		return t, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	if err == nil && t == (target{}) {
		err = errors.New("it names no Docker")
	}
	if err != nil {
		return t, false, fmt.Errorf("which Docker the lab is in (%s): %w", targetFile, err)
	}
	return t, true, nil
}

// keep remembers it.
func (d *Driver) keep(t target) error {
	if d.cfg.State == nil {
		return nil
	}
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return d.cfg.State.WriteFile(targetFile, append(data, '\n'), 0o600)
}

// current is the Docker that the user's docker command speaks to.
func (d *Driver) current(ctx context.Context) (target, error) {
	if host := d.cfg.Getenv("DOCKER_HOST"); host != "" {
		return target{Host: host}, nil
	}
	name, err := cli{log: d.cfg.Log}.run(ctx, nil, "context", "ls", "--format", "{{if .Current}}{{.Name}}{{end}}")
	name = strings.TrimSpace(name)
	if err != nil {
		return target{}, err
	}
	if strings.HasPrefix(name, "dcalab-") {
		return target{}, &trouble.Error{
			ID: "docker-is-node", What: "docker", Why: "its current context, " + name + ", leads to a node of a lab",
			Next: []string{"unset DOCKER_CONTEXT", "docker context use default"}, Exit: trouble.ExitRequirement,
		}
	}
	return target{Context: name}, nil
}

// docker gives the program, for the Docker that the lab is in, or would be made
// in.
func (d *Driver) docker(ctx context.Context) (cli, target, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.in == (target{}) {
		t, ok, err := d.kept()
		if err == nil && !ok {
			t, err = d.current(ctx)
		}
		if err != nil {
			return cli{}, target{}, err
		}
		d.in = t
	}
	return cli{d.in.options(), d.cfg.Log}, d.in, nil
}

// line is the way to dcalab in the lab's container.
func (d *Driver) line(ctx context.Context) (*line, error) {
	_, in, err := d.docker(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.way == nil {
		d.way = newLine(slices.Concat([]string{program}, in.options(), []string{"exec", "--interactive", d.container(), dcalabInside, "host-agent"}))
	}
	return d.way, nil
}

// run runs docker for the lab.
func (d *Driver) run(ctx context.Context, args ...string) (string, error) {
	c, _, err := d.docker(ctx)
	if err != nil {
		return "", err
	}
	return c.run(ctx, nil, args...)
}
