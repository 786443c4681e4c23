//go:build unix

package node

import (
	"os/exec"
	"syscall"
)

// Separate puts a command, and what it starts, into a process group of its own:
// Ctrl-C at the terminal is then not for it.
func Separate(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// Detach makes a command outlive this process and its terminal.
func Detach(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
