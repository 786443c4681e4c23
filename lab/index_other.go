//go:build !unix

package lab

import "io/fs"

// belongs tells whether a file or folder is the owner's own. Only sudo makes an Owner.
func belongs(fs.FileInfo, Owner) bool { return true }
