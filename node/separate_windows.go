package node

import (
	"os/exec"
	"syscall"
)

// Separate puts a command, and what it starts, into a process group of its own:
// Ctrl-C on the console is then not for it.
func Separate(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// Detach makes a command outlive this process and its console (DETACHED_PROCESS in
// Windows's process creation flags).
func Detach(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP | 0x8}
}
