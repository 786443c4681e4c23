//go:build unix

package node

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// loose is a node whose files are everybody's, and run as root.
type loose struct{ liar }

func (loose) Open(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }

// What a node says of a file does not give it to more people than the user
// gives files to.
func TestCopiesHonourTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	target := filepath.Join(t.TempDir(), "target")
	c := Copy{From: &Place{fileSystem: loose{liar{name: "f"}}, name: "node01", node: &Conn{}}, To: Here(), Recursive: true}
	if _, err := c.Run(t.Context(), "folder", target); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{target: fs.ModeDir | 0o750, filepath.Join(target, "f"): 0o750} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s is %v, want %v (%v)", path, info.Mode(), want, err)
		}
	}
	if again := Here().umask; again != 0o027 {
		t.Errorf("the umask is %04o now", again)
	}
}

// A copy that is killed leaves nothing beside its target: until it is whole, it
// has no name.
func TestAnUnfinishedCopyHasNoName(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system has no files without a name")
	}
	dir := t.TempDir()
	f, err := Here().Create(filepath.Join(dir, ".dcalab-x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, named := f.(*os.File); named {
		t.Skip("this file system has no files without a name")
	}
	if _, err := f.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(dir, ".dcalab-x"), "half", 0o600)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := Copy{From: &Place{fileSystem: loose{liar{name: "f"}}, name: "node01", node: &Conn{}}, To: Here(), Recursive: true}
	if _, err := c.Run(ctx, "folder", filepath.Join(dir, "target")); err == nil {
		t.Error("it went on")
	}
}
