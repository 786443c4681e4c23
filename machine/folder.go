package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Nearest is path, or the nearest folder above it that exists.
func Nearest(path string) string {
	for {
		fi, err := os.Stat(path)
		up := filepath.Dir(path)
		if err == nil && fi.IsDir() || up == path {
			return path
		}
		path = up
	}
}

// Writable tells why nothing can be put into a folder, or into the nearest above
// it that exists. It tries: on Windows, and under many file systems, no mode
// says so.
func Writable(dir string) error {
	dir = Nearest(dir)
	f, err := os.CreateTemp(dir, ".dcalab-doctor-*")
	if err != nil {
		return fmt.Errorf("nothing can be written to %s: %w", dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
