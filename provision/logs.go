package provision

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// LogOptions say which part of an engine's log is wanted.
type LogOptions struct {
	// Lines is how many lines at the end; negative means all.
	Lines int
	// Since leaves out what is older, in whole seconds; 0 means nothing is.
	Since time.Duration
	// Follow goes on with what is written from now on, until ctx ends.
	Follow bool
}

// EngineLog writes the log of the node's engine to out: systemd's journal of
// the service, or /var/log/docker.log where no systemd starts it; with sudo,
// and as it is: secrets that the engine was told to log are not masked.
// Following leaves nothing running on the node, however it ends; its end
// through ctx is no error.
//
// Errors: "engine-log-absent", "sudo-refused", "connection-lost".
func EngineLog(ctx context.Context, c *node.Conn, o LogOptions, out io.Writer) error {
	args := []string{"all", "", "0"}
	if o.Lines >= 0 {
		args[0] = strconv.Itoa(o.Lines)
	}
	if o.Since > 0 {
		args[1] = strconv.FormatInt(int64(max(o.Since/time.Second, 1)), 10)
	}
	var stdin io.Reader
	if o.Follow {
		args[2] = "1"
		// It is never written to: its end is what ends the script there.
		r, w := io.Pipe()
		defer w.Close()
		stdin = r
	}
	cmd := c.AsRoot(script(c, "logs.sh").Line(args...))
	stderr := &trouble.Bound{Max: node.MaxOutput, Node: c.Name(), What: "read the engine's log"}
	exit, err := c.Stream(ctx, cmd, stdin, out, stderr)
	switch {
	case ctx.Err() != nil && o.Follow:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case exit == 0:
		return nil
	case exit == 3:
		return &trouble.Error{
			ID: "engine-log-absent", Where: c.Name(), What: "read the engine's log", Why: "there is no journal, and no /var/log/docker.log",
			Next: []string{"dcalab up " + c.Name() + "    # is there an engine?"},
		}
	}
	failed := &node.RunError{Node: c.Name(), Command: node.Quote(append([]string{"logs.sh"}, args...)...), Exit: exit, Stderr: trouble.LastLines(stderr.String(), 5)}
	if failed.SudoRefused() {
		return &trouble.Error{
			ID: "sudo-refused", Where: c.Name(), What: "read the engine's log", Why: failed.Stderr,
			Next: []string{"let the user run everything without a password: " + c.Endpoint().User + " ALL=(ALL) NOPASSWD:ALL in the node's /etc/sudoers.d/dcalab"},
			Err:  failed,
		}
	}
	return fmt.Errorf("read the engine's log: %w", failed)
}
