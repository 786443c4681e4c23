package provision

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Clock tells by how much the node's clock is ahead of this machine's, in
// whole seconds; negative where it is behind. What the time of asking can
// explain is none.
func (n *Node) Clock(ctx context.Context) (time.Duration, error) {
	before := time.Now()
	r, err := n.Run(ctx, "date +%s", nil)
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
		return 0, fmt.Errorf("read the clock: the node says %q", lastLines(printed, 1))
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
func (n *Node) SetClock(ctx context.Context) error {
	root := rooted{n: n, sudo: n.endpoint.User != "root"}
	if _, err := root.run(ctx, nil, "clock.sh", strconv.FormatInt(time.Now().Unix(), 10)); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}
