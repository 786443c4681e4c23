package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// pipePatience is how long somebody who feeds a file through a pipe may be
// silent: for longer than a program takes to begin.
const pipePatience = 30 * time.Second

// ErrUnfit is in the chain of ReadInput's errors about a file that is there, and
// cannot be what was asked for: a folder, a socket, or too large.
var ErrUnfit = errors.New("unfit")

// InputError says why a file cannot be what was asked for. It is ErrUnfit.
type InputError struct {
	Path string
	Why  string
	// Size of a file that is too large, as far as it is known; else 0.
	Size int64
}

// Error names the file and the reason.
func (e *InputError) Error() string { return e.Path + ": " + e.Why }

// Is makes it an ErrUnfit.
func (e *InputError) Is(target error) bool { return target == ErrUnfit }

// ReadInput reads the whole of a file that a person named, which may be a pipe
// or a device too (/dev/stdin, the shell's <(…)), and gives what kind of file it
// was. Nothing is read of one that is larger than limit bytes, or that has no
// end; and nothing is waited for but a pipe with somebody at its other end.
//
// Under sudo the file is opened as owner, the user behind it: what they may not
// read is fs.ErrPermission, whatever root may.
func ReadInput(path string, limit int64, owner Owner) ([]byte, fs.FileInfo, error) {
	f, err := openAs(owner, path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	tooLarge := &InputError{Path: path, Why: fmt.Sprintf("it has more than %d bytes", limit), Size: info.Size()}
	switch {
	case info.IsDir():
		return nil, nil, &InputError{Path: path, Why: "it is a folder"}
	case info.Mode().IsRegular() && info.Size() > limit:
		return nil, nil, tooLarge
	case !info.Mode().IsRegular():
		// What cannot wait for ever has no deadline either.
		_ = f.SetReadDeadline(time.Now().Add(pipePatience))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(data)) > limit {
		tooLarge.Size = max(tooLarge.Size, int64(len(data)))
		return nil, nil, tooLarge
	}
	return data, info, nil
}

// OpenInput opens a plain file that a person named, with the rights that
// ReadInput reads with. What is no plain file is ErrUnfit.
func OpenInput(path string, owner Owner) (*os.File, fs.FileInfo, error) {
	f, err := openAs(owner, path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &InputError{Path: path, Why: "it is no plain file"}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// openToRead opens a file without waiting: the writer of a FIFO may never come.
func openToRead(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}
