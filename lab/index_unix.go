//go:build unix

package lab

import (
	"io/fs"
	"syscall"
)

// belongs tells whether a file or folder is the owner's own.
func belongs(info fs.FileInfo, owner Owner) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == owner.UID
}
