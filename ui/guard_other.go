//go:build !unix

package ui

import "os"

// guardTerminal is for systems with sh and stty: elsewhere a panic outside the
// view's own goroutines leaves the terminal as the view had it.
func guardTerminal(_, _ *os.File) (done func()) { return func() {} }
