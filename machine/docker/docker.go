// Package docker runs a whole lab in one container of the user's own Docker:
// Docker Desktop or OrbStack on macOS and Windows, or Docker on Linux. The
// container is a Linux host of its own, in which the sandbox driver makes the
// nodes. Docker is reached through its command line program, so that DOCKER_HOST,
// contexts and credentials mean what they mean everywhere else.
//
// What belongs to the lab with id I:
//
//	dcalab-I         the container, with labels that tell whose it is
//	dcalab-I         the volume with the nodes' disks, at /var/lib/dcalab in it
//	dcalab-host:TAG  the image, which all labs share
//
// Nothing listens: dcalab in the container is asked over the standard input and
// output of `docker exec`, and so is a node's sshd.
package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// Name is the name of this driver in labs.yaml.
const Name = "docker"

// program is Docker's own.
const program = "docker"

// dcalabInside is the path of dcalab in the container.
const dcalabInside = "/usr/local/bin/dcalab"

// cli runs the docker program.
type cli struct {
	// options name the Docker that is meant.
	options []string
	// log gets the commands and what they say on standard error.
	log io.Writer
}

// cliError is a docker command that failed.
type cliError struct {
	args []string
	said string // on standard error, without what is not text
	err  error
}

func (e *cliError) Error() string {
	if e.said != "" {
		return e.said
	}
	return fmt.Sprintf("docker %s: %v", strings.Join(e.args[:min(2, len(e.args))], " "), e.err)
}

func (e *cliError) Unwrap() error { return e.err }

// missing: Docker answers, and there is no object of that name. A socket that is
// not there is no answer ("no such file or directory").
func (e *cliError) missing() bool {
	said := strings.ToLower(e.said)
	for _, object := range []string{"container", "image", "object", "volume"} {
		if strings.Contains(said, "no such "+object) {
			return true
		}
	}
	return false
}

func isMissing(err error) bool {
	var e *cliError
	return errors.As(err, &e) && e.missing()
}

// run runs docker to its end, and gives what it writes to standard output.
func (c cli) run(ctx context.Context, in io.Reader, args ...string) (string, error) {
	var out bytes.Buffer
	err := c.stream(ctx, in, &out, args...)
	return strings.TrimSpace(out.String()), err
}

func (c cli) stream(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	args = slices.Concat(c.options, args)
	fmt.Fprintf(c.log, "$ docker %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, program, args...)
	node.Separate(cmd)
	cmd.WaitDelay = time.Minute // what it has written at its end may go to a slow disk
	// The image is for the processor of Docker, whatever the user wants elsewhere.
	cmd.Env = append(os.Environ(), "DOCKER_DEFAULT_PLATFORM=")
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, io.MultiWriter(&ending{&said, 8 << 10}, c.log)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return explain(&cliError{args, strings.TrimSpace(said.String()), err})
	}
	return nil
}

// ending keeps the end of what is written.
type ending struct {
	to  *bytes.Buffer
	max int
}

func (e *ending) Write(p []byte) (int, error) {
	e.to.Write(p)
	e.to.Next(max(0, e.to.Len()-e.max))
	return len(p), nil
}

// explain makes an error that its reader can act on of what is common.
func explain(err *cliError) error {
	said := strings.ToLower(err.said)
	e := &trouble.Error{What: "docker", Exit: trouble.ExitRequirement, Err: err}
	switch {
	case errors.Is(err.err, exec.ErrNotFound):
		e.ID, e.Why = "docker-missing", "the docker program is not installed, or not on PATH"
		e.Next = []string{"install Docker Desktop, OrbStack or Docker Engine", "or use another driver: dcalab doctor says which this machine has"}
	case strings.Contains(said, "cannot connect to the docker daemon"), strings.Contains(said, "failed to connect to the docker api"), // from 29 on
		strings.Contains(said, "error during connect"), strings.Contains(said, "is the docker daemon running"):
		e.ID, e.Why = "docker-down", "Docker does not answer: "+firstLine(err.said)
		e.Next = []string{"start Docker Desktop or OrbStack (Linux: sudo systemctl start docker)", "see which Docker is meant: docker context ls"}
	case strings.Contains(said, "permission denied while trying to connect"):
		e.ID, e.Why = "docker-denied", "this user may not use Docker: "+firstLine(err.said)
		e.Next = []string{"join its group: sudo usermod -aG docker \"$USER\", then log out and in again"}
	default:
		return err
	}
	return e
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
