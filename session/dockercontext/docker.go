package dockercontext

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// CLI runs the docker program with arguments, and gives what it prints on
// standard output. Its error has what it printed on standard error.
type CLI func(ctx context.Context, args ...string) ([]byte, error)

// dockerContext is what is of interest in a context.
type dockerContext struct{ description, host string }

// FindDocker is the docker program of this machine.
func FindDocker() (CLI, error) {
	path, err := exec.LookPath("docker")
	if err != nil {
		return nil, &trouble.Error{
			ID: "docker-cli-missing", What: "context", Why: "the docker program is not installed on this machine",
			Next: []string{"install Docker's client (the engine is not needed): docker-cli or docker.io in most distributions",
				"or do without: dcalab ssh NODE -- docker node ls"}, Exit: trouble.ExitRequirement,
		}
	}
	return func(ctx context.Context, args ...string) ([]byte, error) { return runDocker(ctx, path, args) }, nil
}

func runDocker(ctx context.Context, path string, args []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	// A context in the environment that does not exist would make any command fail.
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "DOCKER_CONTEXT=") && !strings.HasPrefix(kv, "DOCKER_HOST=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.WaitDelay = time.Second
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			err = errors.New(text)
		}
		return nil, fmt.Errorf("%s: %w", runbook.Line(append([]string{"docker"}, args[:min(2, len(args))]...)...), err)
	}
	return out.Bytes(), nil
}

func (d CLI) names(ctx context.Context) ([]string, error) {
	out, err := d(ctx, "context", "ls", "--quiet")
	return strings.Fields(string(out)), err
}

func (d CLI) inspect(ctx context.Context, name string) (c dockerContext, exists bool, err error) {
	names, err := d.names(ctx)
	if err != nil || !slices.Contains(names, name) {
		return c, false, err
	}
	out, err := d(ctx, "context", "inspect", name)
	if err != nil {
		return c, false, err
	}
	var all []struct {
		Metadata  struct{ Description string }
		Endpoints map[string]struct{ Host string }
	}
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 {
		return c, false, fmt.Errorf("docker context inspect %s: an answer that cannot be read: %w", name, err)
	}
	return dockerContext{description: all[0].Metadata.Description, host: all[0].Endpoints["docker"].Host}, true, nil
}

// reaches tells whether the host of any context but one begins so.
func (d CLI) reaches(ctx context.Context, prefix, but string) (bool, error) {
	names, err := d.names(ctx)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if name == but {
			continue
		}
		c, _, err := d.inspect(ctx, name)
		if err != nil {
			return false, err
		}
		if strings.HasPrefix(c.host, prefix) {
			return true, nil
		}
	}
	return false, nil
}

func (d CLI) remove(ctx context.Context, name string) error {
	_, err := d(ctx, "context", "rm", name)
	if err != nil && strings.Contains(err.Error(), "in use") {
		return &trouble.Error{ID: "context-in-use", What: "context rm " + name, Why: "it is the one that docker uses now",
			Next: []string{"docker context use default, then again"}, Exit: trouble.ExitRefused, Err: err}
	}
	return err
}
