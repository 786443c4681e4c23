package lab

import (
	"os"
	"path/filepath"
	"strings"
)

// MountsBelow lists the mount points in and below a folder (proc(5),
// mountinfo: the fifth field, with \040 for a space).
func MountsBelow(dir string) ([]string, error) {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var mounts []string
	for text := range strings.Lines(string(data)) {
		fields := strings.Fields(text)
		if len(fields) < 5 {
			continue
		}
		if at := unescape.Replace(fields[4]); at == dir || strings.HasPrefix(at, dir+"/") {
			mounts = append(mounts, at)
		}
	}
	return mounts, nil
}
