//go:build !linux

package relay

import "errors"

// Run is for nodes, which are Linux.
func Run(string) error { return errors.ErrUnsupported }
