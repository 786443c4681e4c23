//go:build unix

package ui

import (
	"os"

	"golang.org/x/sys/unix"
)

// errorStream is this process's standard error, by another number. Go ends a program
// that writes to a closed pipe by number 2, as by 1: right for the result, but
// a story that nobody hears any more (`dcalab up 2>&1 | tee log`, where Ctrl-C
// ends tee first) is no reason to let go of machines halfway. A write to this
// one fails, and no more.
func errorStream() *os.File {
	fd, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return os.Stderr
	}
	return os.NewFile(uintptr(fd), os.Stderr.Name())
}
