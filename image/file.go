package image

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// File is an archive in a file of this machine, open.
type File struct {
	*Archive

	file      *os.File
	temporary bool
}

// Close closes the file, and removes it where it is a temporary one.
func (f *File) Close() error {
	err := f.file.Close()
	if f.temporary {
		err = errors.Join(err, os.Remove(f.file.Name()))
	}
	return err
}

// OpenFile opens an archive. One that is compressed with gzip or bzip2 is
// unpacked into a temporary file.
//
// Errors: trouble.Error "image-file-unfit".
func OpenFile(ctx context.Context, path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unfit(path, err)
	}
	head := make([]byte, 6)
	n, _ := io.ReadFull(f, head) // a shorter one is no archive, which is found out below
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(unfit(path, err), f.Close())
	}
	if compression(head[:n]) != "" {
		defer f.Close()
		return spool(ctx, path, func(w io.Writer) error { return unpack(w, f) })
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(unfit(path, err), f.Close())
	}
	a, err := Read(f, info.Size())
	if err != nil {
		return nil, errors.Join(unfit(path, err), f.Close())
	}
	return &File{Archive: a, file: f}, nil
}

// ReadFile takes an archive from r, whole, into a temporary file. name is for
// errors, which are those of OpenFile. When ctx ends, a Read of r may still be
// under way.
func ReadFile(ctx context.Context, name string, r io.Reader) (*File, error) {
	return spool(ctx, name, func(w io.Writer) error {
		out, in := io.Pipe()
		defer out.Close()
		go func() {
			_, err := io.Copy(in, r)
			_ = in.CloseWithError(err)
		}()
		defer context.AfterFunc(ctx, func() { _ = in.CloseWithError(ctx.Err()) })()
		return unpack(w, out)
	})
}

// Save takes an archive from save, which writes one.
func Save(ctx context.Context, name string, save func(io.Writer) error) (*File, error) {
	return spool(ctx, name, save)
}

// spool makes an open archive of what fill writes. It ends with ctx at the
// next write.
func spool(ctx context.Context, name string, fill func(io.Writer) error) (*File, error) {
	f, err := os.CreateTemp("", "dcalab-image-*.tar")
	if err != nil {
		return nil, fmt.Errorf("make room for the image: %w", err)
	}
	// An open file needs no name, and nothing is left of one without when dcalab
	// is killed. Windows does not let it go.
	file := &File{file: f, temporary: os.Remove(f.Name()) != nil}
	w := bufio.NewWriterSize(writer{ctx, f}, 1<<20)
	if err = fill(w); err == nil {
		err = w.Flush()
	}
	var size int64
	if err == nil {
		size, err = f.Seek(0, io.SeekEnd)
	}
	if err == nil {
		file.Archive, err = Read(f, size)
	}
	if err != nil {
		_ = file.Close()
		var t *trouble.Error
		if ctx.Err() != nil || errors.As(err, &t) {
			return nil, err
		}
		return nil, unfit(name, err)
	}
	return file, nil
}

// writer ends with a context.
type writer struct {
	ctx context.Context //nolint:containedctx // an io.Writer takes none
	w   io.Writer
}

func (w writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

func unfit(name string, err error) error {
	e := &trouble.Error{ID: "image-file-unfit", What: "read images from " + name, Err: err}
	var c compressed
	switch {
	case errors.As(err, &c):
		e.Next = []string{"unpack it first: " + string(c) + " -dk " + name}
	case errors.Is(err, os.ErrNotExist):
		e.Why = "there is no such file"
	default:
		e.Next = []string{"write one with: docker save -o FILE.tar IMAGE"}
	}
	return e
}

// compressed is a compression that only its own program can undo here.
type compressed string

func (c compressed) Error() string { return "it is compressed with " + string(c) }

// compression names what a file that begins so is compressed with.
func compression(head []byte) string {
	for _, c := range []struct{ name, magic string }{
		{"gzip", "\x1f\x8b"}, {"bzip2", "BZh"}, {"xz", "\xfd7zXZ\x00"}, {"zstd", "\x28\xb5\x2f\xfd"},
	} {
		if bytes.HasPrefix(head, []byte(c.magic)) {
			return c.name
		}
	}
	return ""
}

func unpack(w io.Writer, r io.Reader) error {
	b := bufio.NewReaderSize(r, 1<<20)
	head, _ := b.Peek(6)
	switch c := compression(head); c {
	case "":
		r = b
	case "gzip":
		z, err := gzip.NewReader(b)
		if err != nil {
			return err
		}
		r = z
	case "bzip2":
		r = bzip2.NewReader(b)
	default:
		return compressed(c)
	}
	_, err := io.Copy(w, r)
	return err
}

// SaveWithDocker takes an image of the local Docker, by its own command line,
// which knows which engine the user means (docker context, DOCKER_HOST).
// program is that of LookPath("docker").
//
// Errors: trouble.Error "local-docker-failed".
func SaveWithDocker(ctx context.Context, program, name string) (*File, error) {
	return spool(ctx, name, func(w io.Writer) error {
		var stderr bytes.Buffer
		c := exec.CommandContext(ctx, program, "image", "save", "--", name)
		c.Stdout, c.Stderr = w, &stderr
		err := c.Run()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		why := strings.TrimSpace(stderr.String())
		if why == "" {
			why = err.Error()
		}
		return &trouble.Error{
			ID: "local-docker-failed", What: "docker image save " + name, Why: why,
			Next: []string{
				"there is no file " + name + " either; the local Docker's images: docker image ls",
				"without a local Docker: dcalab image load FILE.tar, a file that docker save wrote on another machine",
			},
			Err: err,
		}
	})
}
