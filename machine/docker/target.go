package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

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

// labDocker is the docker program for the Docker that the lab is in, or would be made
// in.
type labDocker struct {
	cfg *Config
	mu  sync.Mutex
	in  target // once it is known
}

// kept is the target of a lab that has had a container.
func (l *labDocker) kept() (target, bool, error) {
	var t target
	if l.cfg.State == nil {
		return t, false, nil
	}
	data, err := l.cfg.State.ReadFile(targetFile)
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
func (l *labDocker) keep(t target) error {
	if l.cfg.State == nil {
		return nil
	}
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return l.cfg.State.WriteFile(targetFile, append(data, '\n'), 0o600)
}

// current is the Docker that the user's docker command speaks to.
func (l *labDocker) current(ctx context.Context) (target, error) {
	if host := l.cfg.Getenv("DOCKER_HOST"); host != "" {
		return target{Host: host}, nil
	}
	name, err := cli{log: l.cfg.Log}.run(ctx, nil, "context", "ls", "--format", "{{if .Current}}{{.Name}}{{end}}")
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

// find gives the program, and which Docker it is for.
func (l *labDocker) find(ctx context.Context) (cli, target, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.in == (target{}) {
		t, ok, err := l.kept()
		if err == nil && !ok {
			t, err = l.current(ctx)
		}
		if err != nil {
			return cli{}, target{}, err
		}
		l.in = t
	}
	return cli{l.in.options(), l.cfg.Log}, l.in, nil
}

// run runs docker for the lab.
func (l *labDocker) run(ctx context.Context, args ...string) (string, error) {
	c, _, err := l.find(ctx)
	if err != nil {
		return "", err
	}
	return c.run(ctx, nil, args...)
}

// stream runs docker for the lab, with its standard input and output.
func (l *labDocker) stream(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	c, _, err := l.find(ctx)
	if err != nil {
		return err
	}
	return c.stream(ctx, in, out, args...)
}
