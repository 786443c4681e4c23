package engine

import (
	"io"
	"net/http"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// How much an engine may answer. Docker's client reads whatever comes, and
// makes an object of every element of a list, so that both count: "[{},{},…]"
// takes two hundred times its own length in memory. The limits are far above
// what a lab's swarm has (a task is about 2.5 kB of JSON, and some 20 elements
// of lists).
const (
	maxAnswer   = 16 << 20
	maxElements = 100_000
	maxDepth    = 64
	maxHeader   = 256 << 10
)

// bounded reads no more of an engine's answers than the limits above allow; it
// gives trouble "node-too-much-output" in place of the rest. Images that are
// saved go to the caller as they come, and have none.
type bounded struct {
	node string
	*http.Transport
}

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(req)
	if err == nil && !strings.HasSuffix(req.URL.Path, "/images/get") {
		note, _ := req.Context().Value(noteKey{}).(*note)
		resp.Body = &boundedBody{ReadCloser: resp.Body, note: note, failed: trouble.TooMuch(b.node, "ask the engine for "+req.URL.Path, maxAnswer)}
	}
	return resp, err
}

// boundedBody counts what is read of a body, as it is JSON.
type boundedBody struct {
	io.ReadCloser
	failed   *trouble.Error
	note     *note // may be nil
	read     int
	elements int
	lists    []bool // of the brackets that are open: is it a list?
	inString bool
	escaped  bool
	over     bool
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.over {
		return 0, b.failed
	}
	n, err := b.ReadCloser.Read(p)
	b.read += n
	for _, c := range p[:n] {
		b.count(c)
	}
	if b.over = b.read > maxAnswer || b.elements > maxElements || len(b.lists) > maxDepth; b.over {
		if b.note != nil {
			b.note.setCut(b.failed)
		}
		return 0, b.failed
	}
	return n, err
}

func (b *boundedBody) count(c byte) {
	switch {
	case b.escaped:
		b.escaped = false
	case b.inString:
		b.escaped, b.inString = c == '\\', c != '"'
	case c == '"':
		b.inString = true
	case c == '[' || c == '{':
		if len(b.lists) <= maxDepth {
			b.lists = append(b.lists, c == '[')
		}
	case len(b.lists) == 0: // not JSON, or a stream of objects
	case c == ']' || c == '}':
		b.lists = b.lists[:len(b.lists)-1]
	case c == ',' && b.lists[len(b.lists)-1]:
		b.elements++
	}
}
