package node

import "fmt"

// Size words a number of bytes as people say it: 512 B, 12 kB, 3.4 MB.
func Size(n int64) string {
	f, unit := float64(n), ""
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if f < 1000 {
			break
		}
		f, unit = f/1000, u
	}
	switch {
	case unit == "":
		return fmt.Sprintf("%d B", n)
	case f < 10:
		return fmt.Sprintf("%.1f %s", f, unit)
	}
	return fmt.Sprintf("%.0f %s", f, unit)
}
