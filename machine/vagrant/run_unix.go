//go:build unix

package vagrant

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"github.com/dcalab/dcalab/node"
)

// separate puts a command, and what it starts, into a process group of its
// own.
func separate(c *exec.Cmd) { node.Separate(c) }

// interrupt is Ctrl-C for the command's process group.
func interrupt(p *os.Process) error {
	err := syscall.Kill(-p.Pid, syscall.SIGINT)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
