package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"github.com/dcalab/dcalab/trouble"
)

// Place is one end of a copy: the files of this machine (Here) or of a node
// (Conn.Files). The zero value is of no use.
type Place struct {
	fileSystem
	// name is the node's, or how this machine is called in a message.
	name string
	node *Conn // nil here
	// umask is what others do not get of a new file.
	umask fs.FileMode
}

// fileSystem is what a copy needs of a place. Paths are in the place's own
// form; relative ones start in the working folder, or the user's home on a
// node.
type fileSystem interface {
	Stat(path string) (fs.FileInfo, error)
	Lstat(path string) (fs.FileInfo, error)
	ReadDir(path string) ([]fs.FileInfo, error)
	Glob(pattern string) ([]string, error)
	Open(path string) (io.ReadCloser, error)
	// Create makes a new file that only its owner may read.
	Create(path string) (io.WriteCloser, error)
	Mkdir(path string) error
	Chmod(path string, mode fs.FileMode) error
	// Replace renames a file, also over one that is there, in one step.
	Replace(from, to string) error
	Remove(path string) error
	RealPath(path string) (string, error)
	Join(elem ...string) string
	Base(path string) string
	Dir(path string) string
	// Slashes are the characters that end the name of a folder.
	Slashes() string
	Close() error
}

// Here is the place of this machine's files.
func Here() *Place { return &Place{fileSystem: local{}, name: "this machine", umask: umask()} }

// Files opens an SFTP session on the node's connection: the place of the
// node's files, as its user sees them. The caller closes it. When ctx ends,
// so does it, a moment later, in which a copy may remove what it has begun.
//
// Errors: "sftp-absent" where sshd offers none, and those of a session.
func (c *Conn) Files(ctx context.Context) (*Place, error) {
	within := c.timeouts.Answer
	opening, cancel := context.WithTimeoutCause(ctx, within, c.late("open an SFTP session", within))
	defer cancel()
	s, release, err := c.session(opening)
	if err != nil {
		return nil, err
	}
	in, errIn := s.StdinPipe()
	out, errOut := s.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		release()
		return nil, err
	}
	words := &listings{}
	from, to := io.Pipe() // ends when it is told to, also where sshd says nothing
	go func() {
		_, err := io.Copy(to, io.TeeReader(out, words))
		_ = to.CloseWithError(err) // nil is io.EOF
	}()
	end := func() { release(); _ = to.CloseWithError(io.ErrClosedPipe) }
	client, err := await(opening, func() (*sftp.Client, error) {
		if err := s.RequestSubsystem("sftp"); err != nil {
			return nil, err
		}
		// Many requests under way at once: else each 32 KiB would wait for the
		// one before. A file with holes is never given its name.
		return sftp.NewClientPipe(from, in, sftp.UseConcurrentWrites(true))
	})
	if err == nil {
		r := &remote{Client: client, node: c.Name(), words: words}
		stop := closeAfter(ctx, tidyPatience, end)
		r.release = func() { stop(); end() }
		return &Place{fileSystem: r, name: c.Name(), node: c}, nil
	}
	end()
	if opening.Err() != nil {
		return nil, context.Cause(opening)
	}
	select {
	case <-c.done:
		return nil, c.lost(err)
	default:
	}
	return nil, &trouble.Error{
		ID: "sftp-absent", Where: c.Name(), What: "copy files", Why: "its sshd offers no SFTP: " + err.Error(),
		Next: []string{"add the line \"Subsystem sftp internal-sftp\" to /etc/ssh/sshd_config on the node, and restart its sshd"},
		Err:  err,
	}
}

// tidyPatience is how long a copy that was interrupted may take to end what is
// under way and to remove what it has begun: on a node that is very busy that
// is seconds. One that does not answer at all delays the end by this much.
const tidyPatience = 5 * time.Second

// closeAfter calls end a while after ctx has ended, unless it is stopped.
func closeAfter(ctx context.Context, while time.Duration, end func()) (stop func() bool) {
	return context.AfterFunc(ctx, func() { time.AfterFunc(while, end) })
}

// Copy copies files and folders from one place to another, as scp does.
//
// A file appears at its target whole or not at all: it is written beside it
// under another name (.dcalab-…; here without one, where Linux can), gets the
// permissions of the source, less the umask here, and is then renamed; whatever
// goes wrong before leaves what was there. A target that is a symbolic link
// stays one: what it leads to is replaced. Inside a folder, links to files are
// followed; links to folders, and whatever is neither a file nor a folder, are
// left out.
type Copy struct {
	From, To *Place
	// Recursive lets folders be copied. One that is there already is added to.
	Recursive bool
	// Into: the target is a folder and must exist, as with several sources.
	Into bool
	// Moved is told how much of a file has been copied, in bytes, often and
	// from one goroutine; it may be nil.
	Moved func(name string, done, size int64)
	// Skipped is told what is left out, and why; it may be nil.
	Skipped func(path, why string)
	// Left is told what a copy that ended early had begun and could not
	// remove; it may be nil.
	Left func(path string, err error)
}

// Copied is how much was copied.
type Copied struct {
	Files int
	Bytes int64
}

// Run copies a source, which may be a pattern (*, ?, […]) where no file has
// that name, to a target: into it where that is a folder, else under its name.
// An empty target is the home. What was copied is told also with an error.
//
// Errors are trouble.Error: "file-absent", "file-denied", "file-kind" (a
// folder without Recursive, a device), "file-failed".
func (c Copy) Run(ctx context.Context, source, target string) (Copied, error) {
	var sum Copied
	source, target = c.From.place(source), c.To.place(target)
	sources := []string{source}
	info, err := c.From.Stat(source)
	if errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(source, "*?[") {
		if found, globErr := c.From.Glob(source); globErr == nil && len(found) > 0 {
			sources, err = found, nil
		}
	}
	if err != nil {
		return sum, c.From.explain(ctx, "read", source, err)
	}
	folder, err := c.folder(ctx, target, c.Into || len(sources) > 1)
	if err != nil {
		return sum, err
	}
	for _, source := range sources {
		if len(sources) > 1 || info == nil {
			if info, err = c.From.Stat(source); err != nil {
				return sum, c.From.explain(ctx, "read", source, err)
			}
		}
		to := target
		if folder {
			name, err := c.From.nameOf(source)
			if err != nil {
				return sum, c.From.explain(ctx, "read", source, err)
			}
			to = c.To.Join(target, name)
		}
		if info.IsDir() && c.within(source, to) {
			return sum, c.From.kind(source, "it would be copied into itself", "copy it to a folder beside it, or above")
		}
		if err := c.item(ctx, source, info, to, &sum); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// within tells whether the target is below the folder that is to be copied: it
// would be copied for ever.
func (c Copy) within(folder, target string) bool {
	if c.From != c.To {
		return false
	}
	whole, err := c.From.RealPath(folder)
	if err != nil {
		return false // the copy will say why
	}
	above, err := c.To.RealPath(c.To.Dir(target))
	return err == nil && (above == whole || strings.HasPrefix(above, strings.TrimRight(whole, "/")+"/"))
}

// folder tells whether the target is a folder. One that must be and is not is
// an error.
func (c Copy) folder(ctx context.Context, target string, must bool) (bool, error) {
	must = must || strings.ContainsAny(target[len(target)-1:], c.To.Slashes())
	info, err := c.To.Stat(target)
	switch {
	case err == nil && info.IsDir():
		return true, nil
	case err == nil && must:
		return false, c.To.kind(target, "it is not a folder")
	case must && errors.Is(err, fs.ErrNotExist):
		return false, c.To.kind(target, "there is no such folder", "make it: "+c.To.typed("mkdir", "-p", target))
	case err != nil && (must || !errors.Is(err, fs.ErrNotExist)):
		return false, c.To.explain(ctx, "write", target, err)
	}
	return false, nil
}

// item copies a file or a folder to a path of its own.
func (c Copy) item(ctx context.Context, source string, info fs.FileInfo, target string, sum *Copied) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case info.IsDir() && !c.Recursive:
		return c.From.kind(source, "it is a folder", "copy folders with -r")
	case info.IsDir():
		return c.tree(ctx, source, info, target, sum)
	case !info.Mode().IsRegular():
		return c.From.kind(source, "it is neither a file nor a folder")
	}
	n, err := c.file(ctx, source, info, target)
	if err == nil {
		sum.Files++
		sum.Bytes += n
	}
	return err
}

// tree copies a folder.
func (c Copy) tree(ctx context.Context, source string, info fs.FileInfo, target string, sum *Copied) error {
	entries, err := c.From.ReadDir(source)
	if err != nil {
		return c.From.explain(ctx, "read", source, err)
	}
	there, err := c.To.Stat(target)
	made := errors.Is(err, fs.ErrNotExist)
	switch {
	case made:
		if err := c.To.Mkdir(target); err != nil {
			return c.To.explain(ctx, "write", target, err)
		}
	case err != nil:
		return c.To.explain(ctx, "write", target, err)
	case !there.IsDir():
		return c.To.kind(target, "it is not a folder")
	}
	for _, e := range entries {
		from := c.From.Join(source, e.Name())
		// What a node calls its files must not lead out of the target.
		if name := e.Name(); !filepath.IsLocal(name) || strings.ContainsAny(name, c.To.Slashes()) {
			c.skip(from, "this name is no name of a file there")
			continue
		}
		if e.Mode()&fs.ModeSymlink != 0 {
			if e, err = c.From.Stat(from); err != nil || !e.Mode().IsRegular() {
				c.skip(from, "a link that leads to no file")
				continue
			}
		} else if !e.IsDir() && !e.Mode().IsRegular() {
			c.skip(from, "neither a file nor a folder")
			continue
		}
		if err := c.item(ctx, from, e, c.To.Join(target, c.From.Base(from)), sum); err != nil {
			return err
		}
	}
	if !made {
		return nil
	}
	// Last: a folder that its owner may not write to could not be filled.
	if err := c.To.Chmod(target, c.To.perm(info)); err != nil {
		return c.To.explain(ctx, "write", target, err)
	}
	return nil
}

func (c Copy) skip(path, why string) {
	if c.Skipped != nil {
		c.Skipped(path, why)
	}
}

func (c Copy) left(path string, err error) {
	if c.Left != nil {
		c.Left(path, err)
	}
}

// file copies one file.
func (c Copy) file(ctx context.Context, source string, info fs.FileInfo, target string) (size int64, err error) {
	if there, err := c.To.Lstat(target); err == nil {
		if there.Mode()&fs.ModeSymlink != 0 {
			if target, err = c.To.RealPath(target); err != nil {
				return 0, c.To.explain(ctx, "write", target, err)
			}
			if there, err = c.To.Lstat(target); errors.Is(err, fs.ErrNotExist) {
				there = info // a link to where nothing is yet
			} else if err != nil {
				return 0, c.To.explain(ctx, "write", target, err)
			}
		}
		if !there.Mode().IsRegular() {
			return 0, c.To.kind(target, "it is there, and is not a file")
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, c.To.explain(ctx, "write", target, err)
	}

	in, err := c.From.Open(source)
	if err != nil {
		return 0, c.From.explain(ctx, "read", source, err)
	}
	defer in.Close()
	half := c.To.Join(c.To.Dir(target), ".dcalab-"+rand.Text())
	out, err := c.To.Create(half)
	if err != nil {
		return 0, c.To.explain(ctx, "write", target, err)
	}
	done := false
	defer func() {
		if !done {
			_ = out.Close()
			if err := c.To.Remove(half); err != nil && !errors.Is(err, fs.ErrNotExist) {
				c.left(half, err)
			}
		}
	}()
	size, err = c.content(ctx, in, out, source, info.Size(), target)
	if err != nil {
		return 0, err
	}
	err = out.Close()
	if err == nil {
		err = c.To.Chmod(half, c.To.perm(info))
	}
	if err == nil {
		err = c.To.Replace(half, target)
	}
	if err != nil {
		return 0, c.To.explain(ctx, "write", target, err)
	}
	done = true
	return size, nil
}

// content copies what is in a file. The SFTP client has its own ways to do
// that fast, in either direction.
func (c Copy) content(ctx context.Context, in io.Reader, out io.Writer, source string, size int64, target string) (int64, error) {
	m := &meter{ctx: ctx, size: size}
	if c.Moved != nil {
		m.moved = func(done int64) { c.Moved(source, done, size) }
	}
	var n int64
	var err error
	if file, ok := in.(*sftp.File); ok {
		n, err = file.WriteTo(meteredWriter{m, out})
	} else {
		n, err = io.Copy(out, meteredReader{m, in})
	}
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() != nil:
		return n, context.Cause(ctx)
	// Whichever side was metered knows whether the error is its own.
	case (m.err != nil) == (c.From.node == nil):
		return n, c.From.explain(ctx, "read", source, err)
	}
	return n, c.To.explain(ctx, "write", target, err)
}

// meter counts what goes through it and ends the copy with ctx.
type meter struct {
	ctx   context.Context //nolint:containedctx // it lives as long as one call
	size  int64
	done  int64
	moved func(done int64)
	err   error // of the reader or writer that is metered
}

func (m *meter) count(n int, err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	m.done += int64(n)
	if m.moved != nil {
		m.moved(m.done)
	}
}

type meteredReader struct {
	*meter
	r io.Reader
}

func (m meteredReader) Read(p []byte) (int, error) {
	if m.ctx.Err() != nil {
		return 0, context.Cause(m.ctx)
	}
	n, err := m.r.Read(p)
	m.count(n, err)
	return n, err
}

// Size lets the SFTP client choose how much to have under way.
func (m meteredReader) Size() int64 { return m.size }

type meteredWriter struct {
	*meter
	w io.Writer
}

func (m meteredWriter) Write(p []byte) (int, error) {
	if m.ctx.Err() != nil {
		return 0, context.Cause(m.ctx)
	}
	n, err := m.w.Write(p)
	m.count(n, err)
	return n, err
}

// place is a path as it was typed, in the place's own form: on a node, ~ is
// the home, and so is nothing.
func (p *Place) place(typed string) string {
	if p.node != nil {
		if typed == "~" {
			typed = ""
		}
		typed = strings.TrimPrefix(typed, "~/")
	}
	if typed == "" {
		return "."
	}
	return typed
}

// nameOf is the name that a copy of path gets in a folder.
func (p *Place) nameOf(path string) (string, error) {
	name := p.Base(path)
	if name == "." || name == ".." {
		full, err := p.RealPath(path)
		if err != nil {
			return "", err
		}
		name = p.Base(full)
	}
	if name == "" || strings.ContainsAny(name, p.Slashes()) {
		return "", p.kind(path, "this path has no file name to copy", "name a file or a folder below it")
	}
	return name, nil
}

// perm are the permissions that a copy of it gets here or there: neither the
// bits that make whoever runs it somebody else, nor, on this machine, what the
// user's umask keeps from others.
func (p *Place) perm(info fs.FileInfo) fs.FileMode {
	return info.Mode().Perm() &^ p.umask
}

// kind is the error of a path that is something else than it should be.
func (p *Place) kind(path, why string, next ...string) error {
	if len(next) == 0 {
		next = []string{"see what is there: " + p.typed("ls", "-ld", path)}
	}
	return &trouble.Error{ID: "file-kind", Where: p.name, What: path, Why: why, Next: next}
}

// typed is a command as a person types it to run it in this place.
func (p *Place) typed(words ...string) string {
	if p.node == nil {
		return Quote(words...)
	}
	return "dcalab ssh " + p.name + " -- " + Quote(words...)
}

// explain says which side a copy failed on, and why. verb is read or write.
func (p *Place) explain(ctx context.Context, verb, path string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var known *trouble.Error
	if errors.As(err, &known) {
		return err
	}
	if p.node != nil {
		select {
		case <-p.node.done:
			return p.node.lost(err)
		default:
		}
	}
	e := &trouble.Error{ID: "file-failed", Where: p.name, What: verb + " " + path, Err: err}
	var status *sftp.StatusError
	var at *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.ID, e.Why = "file-absent", "no such file or folder"
		e.Next = []string{"see what is there: " + p.typed("ls", "-la", p.Dir(path))}
		if verb == "write" {
			e.Why = "the folder is not there"
			e.Next = []string{"make it: " + p.typed("mkdir", "-p", p.Dir(path))}
		}
	case errors.Is(err, fs.ErrPermission):
		e.ID, e.Why = "file-denied", "permission denied"
		switch {
		case p.node == nil:
			e.Next = []string{"see whose it is: " + p.typed("ls", "-ld", path)}
		case verb == "read":
			e.Next = []string{"read it as root: " + p.typed("sudo", "cat", path) + " > " + Quote(p.Base(path))}
		default:
			e.Next = []string{
				"copy it to the home, and move it from there as root:",
				"dcalab cp " + Quote(p.Base(path)) + " " + p.name + ": && dcalab ssh " + p.name + " -- sudo mv " + Quote(p.Base(path)) + " " + Quote(path),
			}
		}
	case errors.As(err, &status):
		// SFTP has one word for everything else (SSH_FX_FAILURE).
		e.Why = "sftp says only: " + err.Error()
		if verb == "write" {
			e.Next = []string{"is its disk full? " + p.typed("df", "-h")}
		}
	case errors.As(err, &at):
		e.Why = at.Err.Error() // the path is said
	}
	return e
}

// remote is a node's file system. Its paths are POSIX ones.
type remote struct {
	*sftp.Client
	node    string
	words   *listings
	release func()
}

func (r *remote) ReadDir(path string) ([]fs.FileInfo, error) {
	r.words.begin()
	list, err := r.Client.ReadDir(path)
	return list, r.words.explain(err, r.node, path)
}

func (r *remote) Glob(pattern string) ([]string, error) {
	r.words.begin()
	list, err := r.Client.Glob(pattern)
	return list, r.words.explain(err, r.node, pattern)
}

// maxListing is how much a node may say of what is in a folder, in bytes:
// about 100,000 names.
const maxListing = 16 << 20

// listings watches an SFTP stream for lists of names, which the client gathers
// for as long as they come, and ends a stream that has too many of them. A
// packet is its length in four bytes, its type in one, and the rest
// (draft-ietf-secsh-filexfer-02).
type listings struct {
	mu     sync.Mutex
	head   []byte
	rest   int64 // of the packet under way
	listed int64 // bytes of names since begin
}

func (l *listings) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listed = 0
}

func (l *listings) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		if l.rest > 0 {
			k := min(l.rest, int64(len(rest)))
			l.rest, rest = l.rest-k, rest[k:]
			continue
		}
		l.head, rest = append(l.head, rest[0]), rest[1:]
		if len(l.head) < 5 {
			continue
		}
		const name = 104 // SSH_FXP_NAME
		length := int64(binary.BigEndian.Uint32(l.head))
		if l.head[4] == name {
			l.listed += length
		}
		l.rest, l.head = max(length-1, 0), l.head[:0]
	}
	if l.listed > maxListing {
		return 0, errEndless
	}
	return len(p), nil
}

var errEndless = errors.New("a list of files that is too long")

// explain tells why a list that was too long did not come; its client knows
// only that the stream has ended.
func (l *listings) explain(err error, node, path string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.listed > maxListing {
		return trouble.TooMuch(node, "list "+path, maxListing)
	}
	return err
}

func (r *remote) Open(path string) (io.ReadCloser, error) { return r.Client.Open(path) }

func (r *remote) Create(path string) (io.WriteCloser, error) {
	f, err := r.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o600); err != nil {
		return nil, errors.Join(err, f.Close(), r.Remove(path))
	}
	return f, nil
}

func (r *remote) Replace(from, to string) error { return r.PosixRename(from, to) }
func (*remote) Base(p string) string            { return path.Base(p) }
func (*remote) Dir(p string) string             { return path.Dir(p) }
func (*remote) Slashes() string                 { return "/" }

func (r *remote) Close() error {
	err := r.Client.Close()
	r.release()
	return err
}

// local is this machine's file system.
type local struct{}

func (local) Stat(p string) (fs.FileInfo, error)     { return os.Stat(p) }
func (local) Lstat(p string) (fs.FileInfo, error)    { return os.Lstat(p) }
func (local) Glob(p string) ([]string, error)        { return filepath.Glob(p) }
func (local) Open(p string) (io.ReadCloser, error)   { return os.Open(p) }
func (local) Mkdir(p string) error                   { return os.Mkdir(p, 0o700) }
func (local) Chmod(p string, mode fs.FileMode) error { return os.Chmod(p, mode) }
func (local) Replace(from, to string) error          { return os.Rename(from, to) }
func (local) Remove(p string) error                  { return os.Remove(p) }
func (local) Join(elem ...string) string             { return filepath.Join(elem...) }
func (local) Base(p string) string                   { return filepath.Base(p) }
func (local) Dir(p string) string                    { return filepath.Dir(p) }
func (local) Close() error                           { return nil }

func (local) Create(p string) (io.WriteCloser, error) { return createHere(p) }

func (local) ReadDir(p string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(p)
	if err != nil {
		return nil, err
	}
	var infos []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (local) RealPath(p string) (string, error) {
	full, err := filepath.Abs(p)
	if err != nil {
		return "", err
	}
	led, err := filepath.EvalSymlinks(full)
	if err != nil {
		return "", fmt.Errorf("follow the link %s: %w", full, err)
	}
	return led, nil
}

func (local) Slashes() string {
	if os.PathSeparator == '\\' {
		return `/\`
	}
	return "/"
}
