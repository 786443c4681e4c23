//go:build !unix

package ui

import "os"

// errorStream is this process's standard error: no signal comes of a closed pipe
// here.
func errorStream() *os.File { return os.Stderr }
