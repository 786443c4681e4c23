//go:build unix

package node

import (
	"io/fs"
	"syscall"
)

// umask is what the user lets nobody else have of a new file. The system tells
// it only to who sets it, for the whole process: what others make in that moment
// is its owner's alone. Not to be called by two at once.
func umask() fs.FileMode {
	mask := syscall.Umask(0o077)
	syscall.Umask(mask)
	return fs.FileMode(mask) & fs.ModePerm
}
