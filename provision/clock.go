package provision

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// Clock tells by how much the node's clock is ahead of this machine's, in
// whole seconds; negative where it is behind. What the time of asking can
// explain is none.
func Clock(ctx context.Context, c *node.Conn) (time.Duration, error) {
	before := time.Now()
	r, err := c.Run(ctx, "date +%s", nil)
	if err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return clockOffset(before, time.Now(), strings.TrimSpace(string(r.Stdout)))
}

// clockOffset is how far the seconds that date(1) printed at some time from
// before to after are outside these.
func clockOffset(before, after time.Time, printed string) (time.Duration, error) {
	seconds, err := strconv.ParseInt(printed, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the clock: the node says %q", trouble.LastLines(printed, 1))
	}
	switch { // of a second that has begun
	case seconds < before.Unix():
		return time.Duration(seconds-before.Unix()) * time.Second, nil
	case seconds > after.Unix():
		return time.Duration(seconds-after.Unix()) * time.Second, nil
	}
	return 0, nil
}

// SetClock sets the node's clock by this machine's, to a second or so. Not for
// a node that shares this machine's kernel: it would set both.
func SetClock(ctx context.Context, c *node.Conn) error {
	if _, err := c.Root(ctx, script(c, "clock.sh"), nil, strconv.FormatInt(time.Now().Unix(), 10)); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}
