package ui

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"charm.land/lipgloss/v2"

	"github.com/dcalab/dcalab/trouble"
)

// maxLine is how much of a line that does not end is kept, in bytes: a longer
// one is broken.
const maxLine = 64 << 10

// MaxHeld is how much of what a source says is kept until it is its turn, in
// bytes: then whoever writes has to wait.
const MaxHeld = 32 << 20

// LineMux writes what several sources say to two streams, whole lines only, the
// name of the source in front of each. In order, a source is shown when all
// before it have ended; what it said meanwhile is kept in memory, up to MaxHeld.
type LineMux struct {
	out     io.Writer
	ordered bool
	max     int

	mu      sync.Mutex
	moved   sync.Cond // turn is another's
	sources []*source
	turn    int   // the source that is shown, in order
	lost    error // why part of what is for out could not be written
}

type source struct {
	streams [2]*stream // to out, to err
	held    []lines
	kept    int // bytes in held
	ended   bool
}

// lines are whole ones, on their way to a stream.
type lines struct {
	to   io.Writer
	text []byte
}

// stream is one of a source's two.
type stream struct {
	mux    *LineMux
	source int
	to     io.Writer
	prefix string
	part   []byte // of a line that has not ended
}

// NewLineMux makes one for sources of these names, which it aligns.
func NewLineMux(to Streams, names []string, ordered, noColor bool) *LineMux {
	m := &LineMux{out: to.Out, ordered: ordered, max: MaxHeld}
	m.moved.L = &m.mu
	width := 0
	for _, n := range names {
		width = max(width, len(n))
	}
	// Of the sixteen that follow the user's theme, those that mean nothing else.
	colors := []lipgloss.Style{
		lipgloss.NewStyle().Foreground(lipgloss.Cyan), lipgloss.NewStyle().Foreground(lipgloss.Magenta),
		lipgloss.NewStyle().Foreground(lipgloss.Blue), lipgloss.NewStyle().Foreground(lipgloss.BrightCyan),
		lipgloss.NewStyle().Foreground(lipgloss.BrightMagenta), lipgloss.NewStyle().Foreground(lipgloss.BrightBlue),
	}
	for i, n := range names {
		label := fmt.Sprintf("%-*s |", width, n)
		open := func(w io.Writer, color bool) *stream {
			prefix := label + " "
			if color {
				prefix = colors[i%len(colors)].Render(label) + " "
			}
			return &stream{mux: m, source: i, to: w, prefix: prefix}
		}
		m.sources = append(m.sources, &source{streams: [2]*stream{open(to.Out, to.OutColor(noColor)), open(to.Err, to.ErrColor(noColor))}})
	}
	return m
}

// Stream is what source i writes to: its stdout or its stderr. Writing to it never
// fails: a stream that is closed is not the source's fault, and it is to end by
// itself.
func (m *LineMux) Stream(i int, stderr bool) io.Writer {
	if stderr {
		return m.sources[i].streams[1]
	}
	return m.sources[i].streams[0]
}

// Err is why part of what is for Out could not be written.
func (m *LineMux) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lost
}

// Write takes any piece of text.
func (s *stream) Write(p []byte) (int, error) {
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	var b []byte
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			room := maxLine - len(s.part)
			if len(rest) < room {
				s.part = append(s.part, rest...)
				break
			}
			s.part = append(s.part, rest[:room]...)
			b, rest = s.cut(b), rest[room:]
			continue
		}
		s.part = append(s.part, rest[:i]...)
		b, rest = s.cut(b), rest[i+1:]
	}
	s.mux.say(s.source, lines{s.to, b})
	return len(p), nil
}

// cut appends the line that has ended to b.
func (s *stream) cut(b []byte) []byte {
	b = append(b, s.prefix...)
	b = append(b, bytes.TrimSuffix(s.part, []byte("\r"))...)
	s.part = s.part[:0]
	return append(b, '\n')
}

// say writes lines, or keeps them until the source's turn, for which one that
// says much has to wait. m.mu is held.
func (m *LineMux) say(i int, l lines) {
	from := m.sources[i]
	for m.ordered && i != m.turn && from.kept > 0 && from.kept+len(l.text) > m.max {
		m.moved.Wait()
	}
	switch {
	case len(l.text) == 0:
	case m.ordered && i != m.turn:
		from.held, from.kept = append(from.held, l), from.kept+len(l.text)
	default:
		m.write(l)
	}
}

// write shows lines. That the result is not whole is told at the end; m.mu is
// held.
func (m *LineMux) write(l lines) {
	if _, err := l.to.Write(l.text); err != nil && l.to == m.out && m.lost == nil {
		m.lost = err
	}
}

// End finishes a source's last lines, and says why there are no more.
func (m *LineMux) End(i int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from := m.sources[i]
	for _, s := range from.streams {
		if len(s.part) > 0 {
			m.say(i, lines{s.to, s.cut(nil)})
		}
	}
	if err != nil {
		var t *trouble.Error
		why := err.Error()
		if errors.As(err, &t) && t.Why != "" {
			why = t.Why
		}
		s := from.streams[1]
		s.part = append(s.part, strings.ReplaceAll(why, "\n", " ")...)
		m.say(i, lines{s.to, s.cut(nil)})
	}
	from.ended = true
	for m.turn < len(m.sources) && m.sources[m.turn].ended {
		m.turn++
		if m.turn < len(m.sources) {
			for _, l := range m.sources[m.turn].held {
				m.write(l)
			}
			m.sources[m.turn].held = nil
		}
	}
	m.moved.Broadcast()
}
