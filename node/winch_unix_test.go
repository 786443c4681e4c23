//go:build unix

package node

import "syscall"

const winch = syscall.SIGWINCH
