//go:build unix

package provision

import "syscall"

const winch = syscall.SIGWINCH
