package node

import "io/fs"

// umask: Windows knows no permissions, and a file of everybody's would be
// everybody's to write.
func umask() fs.FileMode { return 0o022 }
