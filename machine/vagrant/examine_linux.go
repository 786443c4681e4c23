package vagrant

import (
	"fmt"
	"os"
	"strings"
)

func memoryOf() (available, total uint64, err error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	available, total = meminfo(string(text))
	if total == 0 {
		return 0, 0, fmt.Errorf("/proc/meminfo does not say")
	}
	return available, total, nil
}

// meminfo reads /proc/meminfo (proc(5)).
func meminfo(text string) (available, total uint64) {
	for line := range strings.Lines(text) {
		var kib uint64
		if _, err := fmt.Sscanf(line, "MemTotal: %d kB", &kib); err == nil {
			total = kib << 10
		}
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			available = kib << 10
		}
	}
	return available, total
}
