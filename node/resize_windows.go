package node

import (
	"context"
	"time"
)

// watchSize calls check at once, and then each time that the terminal's size
// may have changed, until ctx ends. Windows has no signal for it.
func watchSize(ctx context.Context, check func()) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		check()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
