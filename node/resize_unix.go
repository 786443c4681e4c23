//go:build unix

package node

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// watchSize calls check at once, and then each time that the terminal's size
// may have changed, until ctx ends.
func watchSize(ctx context.Context, check func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	defer signal.Stop(changed)
	for {
		check()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
