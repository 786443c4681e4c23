//go:build unix

package lab

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// nonblock: a pipe that comes in place of a file is not waited for.
const nonblock = syscall.O_NONBLOCK | syscall.O_NOFOLLOW

// exposed says why a private key is not to be used; empty where it is the
// owner's, or root's, and for nobody else to read.
func exposed(info fs.FileInfo, owner Owner) string {
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Sprintf("others may read it or write to it (mode %04o)", info.Mode().Perm())
	}
	return distrust(info, owner)
}

// distrust says why a folder is not to be trusted with keys; empty where it
// is: it must belong to root, to the user that dcalab runs as or to the one it
// runs for, and nobody else may write to it.
func distrust(info fs.FileInfo, owner Owner) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	switch uid := int(st.Uid); uid {
	case 0, os.Geteuid(), owner.UID:
	default:
		return fmt.Sprintf("it belongs to another user (uid %d)", uid)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Sprintf("other users may write to it (mode %04o)", info.Mode().Perm())
	}
	return ""
}
