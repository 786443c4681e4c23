//go:build unix

package lab

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// strangers says why a file is somebody else's: empty where it is root's, or of
// the user that dcalab runs as or for. Who else may write to it does not count:
// on the file systems that Windows shares, everybody may.
func strangers(info fs.FileInfo, owner Owner) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	switch uid := int(st.Uid); uid {
	case 0, os.Geteuid(), owner.UID:
		return ""
	default:
		return fmt.Sprintf("it belongs to another user (uid %d)", uid)
	}
}
