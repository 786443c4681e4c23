package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
)

// What was written survives a power failure: the file, then the folder that has
// its name, and each folder that was made for it.
func TestWhatIsRenamedIsBroughtToTheDisk(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such call")
	}
	s, err := OpenState(t.TempDir(), "dca", Owner{})
	must(t, err)
	must(t, s.Create())
	var synced []string
	s.sync = func(f *os.File) error {
		info, err := f.Stat()
		must(t, err)
		name := filepath.Base(f.Name())
		if !info.IsDir() {
			name = "the file"
		}
		synced = append(synced, name)
		return nil
	}
	for _, tc := range []struct {
		name string
		data string
		perm fs.FileMode
		want []string
	}{
		{"lab.json", "x", 0o600, []string{"the file", "dca"}},
		{"lab.json", "x", 0o600, nil}, // it is already so
		{"lab.json", "y", 0o600, []string{"the file", "dca"}},
		{"lab.json", "y", 0o400, []string{"the file", "dca"}},
		{"a/b/x", "x", 0o600, []string{"dca", "a", "the file", "b"}},
	} {
		synced = nil
		must(t, s.WriteFile(tc.name, []byte(tc.data), tc.perm))
		for i, name := range synced {
			if name == "." {
				synced[i] = "dca"
			}
		}
		if !slices.Equal(synced, tc.want) {
			t.Errorf("%s, %q, mode %o: brought to the disk: %q, want %q", tc.name, tc.data, tc.perm, synced, tc.want)
		}
	}

	broken := errors.New("broken")
	s.sync = func(*os.File) error { return broken }
	if err := s.WriteFile("lab.json", []byte("broken"), 0o600); !errors.Is(err, broken) {
		t.Errorf("a disk that is broken: %v", err)
	}
	s.sync = func(f *os.File) error {
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return syscall.EINVAL // of file systems that know no such call
		}
		return nil
	}
	must(t, s.WriteFile("lab.json", []byte("z"), 0o600))
}
