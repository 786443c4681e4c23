package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

// Script is a text that runs on a node with any POSIX sh and takes what it
// needs as arguments.
type Script struct {
	// Name is what errors call it: "probe.sh".
	Name string
	Text string
	// Within is how long it may take.
	Within time.Duration
}

// Line is the command line that runs the script with arguments. The text goes
// as an argument of sh, not through its stdin: package managers read that, and
// would swallow the rest of the script.
func (s Script) Line(args ...string) string {
	return Quote(append([]string{"sh", "-c", s.Text, s.Name}, args...)...)
}

// Script is Run for a script. It may take as long as the script says.
func (c *Conn) Script(ctx context.Context, s Script, args ...string) (Result, error) {
	return c.ask(ctx, s.Name, s.Line(args...), nil, s.Within)
}

// AsRoot is the command line that runs another one as root: with sudo, which
// must not ask for a password, unless the connection's user is root.
func (c *Conn) AsRoot(line string) string {
	if c.isRoot() {
		return line
	}
	return "sudo -n " + line
}

func (c *Conn) isRoot() bool { return c.endpoint.User == "root" }

// Root is Script as root. stdin is the script's input; it may be nil. It gives
// what the script wrote to stdout, also with an error. A node whose sudo
// refuses is a trouble.Error "sudo-refused".
func (c *Conn) Root(ctx context.Context, s Script, stdin []byte, args ...string) (string, error) {
	var in io.Reader
	if stdin != nil {
		in = bytes.NewReader(stdin)
	}
	result, err := c.ask(ctx, s.Name, c.AsRoot(s.Line(args...)), in, s.Within)
	var failed *RunError
	if errors.As(err, &failed) {
		failed.Command = Quote(append([]string{s.Name}, args...)...) // the text of the script says nothing to the reader
		if !c.isRoot() && failed.SudoRefused() {
			return "", &trouble.Error{
				ID: "sudo-refused", Where: c.Name(), What: "become root",
				Why: "sudo on the node asks " + c.endpoint.User + " for a password, or is not there: " + failed.Stderr,
				Next: []string{
					"let the user run everything without one: " + c.endpoint.User + " ALL=(ALL) NOPASSWD:ALL in the node's /etc/sudoers.d/dcalab",
				},
				Err: err,
			}
		}
	}
	return string(result.Stdout), err
}

// SudoRefused tells a refusal of sudo's own from a failure of what it ran.
func (e *RunError) SudoRefused() bool {
	switch e.Exit {
	case 1:
		return strings.Contains(e.Stderr, "sudo: a password is required") ||
			strings.Contains(e.Stderr, "is not in the sudoers file") ||
			strings.Contains(e.Stderr, "is not allowed to execute")
	case 127:
		return strings.Contains(e.Stderr, "sudo")
	}
	return false
}
