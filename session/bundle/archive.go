package bundle

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

// archive is what will be packed; put and note may be called from several
// goroutines.
type archive struct {
	limit int // of a text, in bytes
	mu    sync.Mutex
	files map[string]string
	notes []string
}

func newArchive(limit int) *archive { return &archive{limit: limit, files: map[string]string{}} }

// put takes a whole text, masks what is secret in it, and keeps its end.
func (a *archive) put(name, text string) {
	text = cleaned(text)
	if cut := len(text) - a.limit; cut > 0 {
		if i := strings.IndexByte(text[cut:], '\n'); i >= 0 {
			cut += i + 1
		}
		text = text[cut:]
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files[name] = text
}

func (a *archive) note(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes = append(a.notes, trouble.Redact(fmt.Sprintf(format, args...)))
}

// cleaned masks secrets in a text that may be the end of a longer one: a
// private key whose beginning was cut off is masked from where the text begins.
// So are passwords in addresses (those of proxies and mirrors).
func cleaned(text string) string {
	text = trouble.Redact(text)
	keyEnd := regexp.MustCompile(`-----END [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----`)
	if all := keyEnd.FindAllStringIndex(text, -1); len(all) > 0 {
		text = "-----PRIVATE KEY REMOVED-----" + text[all[len(all)-1][1]:]
	}
	return regexp.MustCompile(`(://)[^/\s:@"']*:[^/\s@"']+@`).ReplaceAllString(text, "$1***@")
}

func (a *archive) list() []File {
	var files []File
	for _, name := range slices.Sorted(maps.Keys(a.files)) {
		files = append(files, File{name, int64(len(a.files[name]))})
	}
	return files
}

// write writes a .tar.gz with all files below a folder.
func (a *archive) write(w io.Writer, folder string, now time.Time) error {
	zip := gzip.NewWriter(w)
	t := tar.NewWriter(zip)
	for _, f := range a.list() {
		err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: folder + "/" + f.Name, Mode: 0o600, Size: f.Size, ModTime: now})
		if err == nil {
			_, err = io.WriteString(t, a.files[f.Name])
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), zip.Close())
}

// tail keeps the end of what is written to it: at least the last limit bytes,
// and not more than twice as many. Two streams may share one.
type tail struct {
	limit int
	mu    sync.Mutex
	buf   []byte
	cut   bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.limit {
		t.buf, t.cut = append(t.buf[:0], t.buf[len(t.buf)-t.limit:]...), true
	}
	return len(p), nil
}

// String gives whole lines only: half a token would not be known as one.
func (t *tail) String() string {
	if t.cut {
		_, rest, _ := strings.Cut(string(t.buf), "\n")
		return rest
	}
	return string(t.buf)
}
