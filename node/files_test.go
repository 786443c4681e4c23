//go:build unix

package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/node/nodetest"
	"github.com/dcalab/dcalab/trouble"
)

const withSFTP = "Subsystem sftp internal-sftp"

func filesOf(t *testing.T, n *Conn) *Place {
	t.Helper()
	p, err := n.Files(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// put writes a file with these permissions, whatever the umask.
func put(t *testing.T, path, text string, perm fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, perm); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, path, text string, perm fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	fi, err := os.Stat(path)
	if string(got) != text || err != nil || fi.Mode().Perm() != perm {
		t.Errorf("%s holds %.40q, mode %v (%v); want %.40q, %v", path, got, fi.Mode(), err, text, perm)
	}
}

// wantNames: this is all that is in a folder; nothing half was left behind.
func wantNames(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		t.Errorf("%s holds %q, want %q", dir, got, names)
	}
}

// The node's sshd runs on this machine, so that both sides can be looked at.
func TestCopy(t *testing.T) {
	node := filesOf(t, startSSHD(t, "unix", withSFTP).dial(t))
	big := make([]byte, 3<<20+17)
	for i := range big {
		big[i] = byte(rand.IntN(256))
	}
	for name, way := range map[string]Copy{
		"to a node":         {From: Here(), To: node},
		"from a node":       {From: node, To: Here()},
		"from node to node": {From: node, To: node},
	} {
		t.Run(name, func(t *testing.T) {
			src, dst := t.TempDir(), t.TempDir()
			put(t, src+"/stack.yml", "one", 0o640)
			put(t, src+"/big", string(big), 0o751)
			put(t, src+"/secret", "", 0o400)
			put(t, src+"/site/index.html", "hello", 0o644)
			put(t, src+"/site/deep/page", "deep", 0o600)
			for from, to := range map[string]string{src + "/site/link": "index.html", src + "/site/away": "deep", src + "/site/dangling": "nowhere"} {
				if err := os.Symlink(to, from); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(src+"/site/deep", 0o550); err != nil {
				t.Fatal(err)
			}
			run := func(c Copy, source, target string) Copied {
				t.Helper()
				sum, err := c.Run(t.Context(), source, target)
				if err != nil {
					t.Errorf("%s to %s: %v", source, target, err)
				}
				return sum
			}

			run(way, src+"/stack.yml", dst)
			wantFile(t, dst+"/stack.yml", "one", 0o640)
			run(way, src+"/stack.yml", dst+"/other.yml")
			wantFile(t, dst+"/other.yml", "one", 0o640)
			if sum := run(way, src+"/big", dst+"/other.yml"); sum != (Copied{1, int64(len(big))}) {
				t.Errorf("it says %+v", sum)
			}
			wantFile(t, dst+"/other.yml", string(big), 0o751)
			run(way, src+"/secret", dst+"/")
			wantFile(t, dst+"/secret", "", 0o400)
			wantNames(t, dst, "other.yml", "secret", "stack.yml")

			// A link stays one.
			if err := os.Symlink(dst+"/stack.yml", dst+"/current"); err != nil {
				t.Fatal(err)
			}
			put(t, dst+"/stack.yml", "old", 0o600)
			run(way, src+"/stack.yml", dst+"/current")
			wantFile(t, dst+"/stack.yml", "one", 0o640)
			if to, err := os.Readlink(dst + "/current"); err != nil || to != dst+"/stack.yml" {
				t.Errorf("the link leads to %q, %v", to, err)
			}

			deep := way
			deep.Recursive = true
			var skipped []string
			deep.Skipped = func(path, _ string) { skipped = append(skipped, filepath.Base(path)) }
			for _, target := range []string{dst, dst + "/new", dst + "/new"} { // into, under a new name, into that
				run(deep, src+"/site", target)
			}
			slices.Sort(skipped)
			if want := []string{"away", "away", "away", "dangling", "dangling", "dangling"}; !slices.Equal(skipped, want) {
				t.Errorf("left out: %q", skipped)
			}
			for _, site := range []string{dst + "/site", dst + "/new", dst + "/new/site"} {
				wantFile(t, site+"/index.html", "hello", 0o644)
				wantFile(t, site+"/link", "hello", 0o644)
				wantFile(t, site+"/deep/page", "deep", 0o600)
				if fi, err := os.Stat(site + "/deep"); err != nil || fi.Mode().Perm() != 0o550 {
					t.Errorf("%s/deep: %v, %v", site, fi, err)
				}
			}

			run(way, src+"/s*t", dst+"/") // stack.yml does not match
			if sum := run(way, src+"/s[et]*", dst); sum.Files != 2 {
				t.Errorf("a pattern copied %d files", sum.Files)
			}
		})
	}
}

func TestCopyRefuses(t *testing.T) {
	node := filesOf(t, startSSHD(t, "unix", withSFTP).dial(t))
	dir := t.TempDir()
	put(t, dir+"/file", "new", 0o644)
	put(t, dir+"/old", "old", 0o644)
	put(t, dir+"/folder/file", "", 0o644)
	for name, c := range map[string]struct {
		from           *Place
		source, target string
		copy           Copy
		id, where, why string
	}{
		"no source here":       {Here(), dir + "/nope", dir, Copy{}, "file-absent", "this machine", "no such file"},
		"no source there":      {node, dir + "/nope", dir, Copy{}, "file-absent", "node01", "no such file"},
		"a pattern of nothing": {node, dir + "/x*", dir, Copy{}, "file-absent", "node01", "no such file"},
		"a folder":             {Here(), dir + "/folder", dir + "/x", Copy{}, "file-kind", "this machine", "it is a folder"},
		"a device":             {Here(), "/dev/null", dir + "/x", Copy{}, "file-kind", "this machine", "neither"},
		"onto a device":        {Here(), dir + "/file", "/dev/null", Copy{}, "file-kind", "node01", "not a file"},
		"into no folder":       {Here(), dir + "/file", dir + "/nope/", Copy{}, "file-kind", "node01", "no such folder"},
		"under no folder":      {Here(), dir + "/file", dir + "/nope/x", Copy{}, "file-absent", "node01", "folder is not there"},
		"into a file":          {Here(), dir + "/file", dir + "/old", Copy{Into: true}, "file-kind", "node01", "not a folder"},
		"a folder onto a file": {Here(), dir + "/folder", dir + "/old", Copy{Recursive: true}, "file-kind", "node01", "not a folder"},
		"the root has no name": {Here(), "/", dir, Copy{Recursive: true}, "file-kind", "this machine", "no file name"},
	} {
		t.Run(name, func(t *testing.T) {
			way := c.copy
			way.From, way.To = c.from, node
			if c.from == node {
				way.To = Here()
			}
			_, err := way.Run(t.Context(), c.source, c.target)
			e := nodetest.WantTrouble(t, err, c.id)
			if e.Where != c.where || !strings.Contains(e.Error(), c.why) {
				t.Errorf("it reads %q", e)
			}
		})
	}
	wantFile(t, dir+"/old", "old", 0o644)
	wantNames(t, dir, "file", "folder", "old")
}

// broken is this machine's file system, with one file that breaks off.
type broken struct {
	local
	read func(r io.Reader) io.Reader
}

func (b broken) Open(path string) (io.ReadCloser, error) {
	f, err := b.local.Open(path)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{b.read(f), f}, nil
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Whatever ends a copy in its middle, what was there stays, and nothing else.
func TestCopyNeverLeavesHalfAFile(t *testing.T) {
	sshd := startSSHD(t, "unix", withSFTP)
	dir := t.TempDir()
	put(t, dir+"/new", strings.Repeat("x", 1<<20), 0o644)
	bad := errors.New("bad sector")
	for name, c := range map[string]struct {
		at   func(cancel func()) error
		want error
	}{
		"the source breaks off": {func(func()) error { return bad }, bad},
		"Ctrl-C":                {func(cancel func()) error { cancel(); return nil }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			node, err := sshd.dial(t).Files(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer node.Close()
			to := t.TempDir()
			put(t, to+"/file", "old", 0o600)
			from := Here()
			from.fileSystem = broken{read: func(r io.Reader) io.Reader {
				left := 512 << 10
				return readerFunc(func(p []byte) (int, error) {
					if left <= 0 {
						if err := c.at(cancel); err != nil {
							return 0, err
						}
					}
					n, err := r.Read(p)
					left -= n
					return n, err
				})
			}}
			_, err = Copy{From: from, To: node}.Run(ctx, dir+"/new", to+"/file")
			if !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			wantFile(t, to+"/file", "old", 0o600)
			wantNames(t, to, "file")
		})
	}
}

// kept is a place where nothing can be removed.
type kept struct{ local }

func (kept) Remove(string) error { return fs.ErrPermission }

// What was begun and stays is told.
func TestCopyTellsWhatItLeaves(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/new", "x", 0o644)
	from, to := Here(), Here()
	bad := errors.New("bad sector")
	from.fileSystem = broken{read: func(io.Reader) io.Reader {
		return readerFunc(func([]byte) (int, error) { return 0, bad })
	}}
	to.fileSystem = kept{}
	var left []string
	c := Copy{From: from, To: to, Left: func(path string, err error) {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("left for %v", err)
		}
		left = append(left, path)
	}}
	if _, err := c.Run(t.Context(), dir+"/new", dir+"/file"); !errors.Is(err, bad) {
		t.Errorf("got %v", err)
	}
	if len(left) != 1 || !strings.HasPrefix(left[0], dir+"/.dcalab-") {
		t.Errorf("left %q", left)
	}
}

// named is a folder whose entries have the names of the test's choice.
type named struct {
	local
	names []string
}

func (n named) ReadDir(string) ([]fs.FileInfo, error) {
	var infos []fs.FileInfo
	for _, name := range n.names {
		infos = append(infos, entry{name})
	}
	return infos, nil
}

func (named) Open(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("evil")), nil }

type entry struct{ name string }

func (e entry) Name() string     { return e.name }
func (entry) Size() int64        { return 4 }
func (entry) Mode() fs.FileMode  { return 0o644 }
func (entry) ModTime() time.Time { return time.Time{} }
func (entry) IsDir() bool        { return false }
func (entry) Sys() any           { return nil }

// A node that was taken over must not choose where files go here.
func TestCopyStaysInItsTarget(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/src/x", "", 0o644)
	from := Here()
	from.fileSystem = named{names: []string{"..", "../evil", "/evil", "a/b", "", "fine"}}
	skipped := 0
	c := Copy{From: from, To: Here(), Recursive: true, Skipped: func(string, string) { skipped++ }}
	if _, err := c.Run(t.Context(), dir+"/src", dir+"/dst"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir, "dst", "src")
	wantNames(t, dir+"/dst", "fine")
	if skipped != 5 {
		t.Errorf("%d left out", skipped)
	}
}

func TestNoSFTPIsExplained(t *testing.T) {
	_, err := startSSHD(t, "unix", "").dial(t).Files(t.Context())
	nodetest.WantTrouble(t, err, "sftp-absent")
}

// A copy leaves the connection free for others, and gives its session back.
func TestFilesGiveTheirSessionBack(t *testing.T) {
	n := startSSHD(t, "unix", withSFTP).dial(t)
	for range 2 * maxSessions {
		p, err := n.Files(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := n.Stream(t.Context(), "echo here", nil, &b, nil); err != nil || b.String() != "here\n" {
			t.Errorf("%q, %v", b.String(), err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(n.sessions) != 0 {
		t.Errorf("%d sessions are taken", len(n.sessions))
	}
}

// dcalab cp -r master:site master:site/backup
func TestAFolderIsNotCopiedIntoItself(t *testing.T) {
	node := filesOf(t, startSSHD(t, "unix", withSFTP).dial(t))
	dir := t.TempDir()
	put(t, dir+"/site/index.html", "hello", 0o644)
	put(t, dir+"/site/backup/old", "", 0o644)
	if err := os.Symlink("site", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, way := range [][2]string{{"/site", "/site/backup"}, {"/site", "/site/new"}, {"/link", "/site/backup"}, {"/site/.", "/link/backup"}} {
		_, err := Copy{From: node, To: node, Recursive: true}.Run(t.Context(), dir+way[0], dir+way[1])
		var e *trouble.Error
		if !errors.As(err, &e) || e.ID != "file-kind" {
			t.Errorf("%s to %s: %v", way[0], way[1], err)
		}
	}
	wantNames(t, dir+"/site", "backup", "index.html")
	wantNames(t, dir+"/site/backup", "old")
	// Its neighbour is another folder.
	if _, err := (Copy{From: node, To: node, Recursive: true}).Run(t.Context(), dir+"/site", dir+"/site2"); err != nil {
		t.Error(err)
	}
}
