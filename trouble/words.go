package trouble

import (
	"fmt"
	"time"
)

// Duration shows d shortly, as a person says it: 0.8s, 12s, 1m49s, 2h05m.
func Duration(d time.Duration) string {
	// Rounded to what is shown before the unit is chosen, or 59.6s would
	// read 60s.
	if tenths := d.Round(100 * time.Millisecond); tenths < 10*time.Second {
		return fmt.Sprintf("%.1fs", max(tenths, 0).Seconds())
	}
	if s := d.Round(time.Second); s < time.Hour {
		m := int(s / time.Minute)
		s -= time.Duration(m) * time.Minute
		if m == 0 {
			return fmt.Sprintf("%ds", int(s.Seconds()))
		}
		return fmt.Sprintf("%dm%02ds", m, int(s.Seconds()))
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%02dm", int(d/time.Hour), int(d%time.Hour/time.Minute))
}

// Count words a number of things: 1 node, 2 nodes.
func Count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
