package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"charm.land/lipgloss/v2"
)

// ProgressOptions say how much of the story is told, and where else it goes.
type ProgressOptions struct {
	// Quiet tells errors only.
	Quiet bool
	// Verbose tells the details too.
	Verbose bool
	// Color of what is written to Err.
	Color bool
	// Nodes in the order in which their lines stand. A node that is not among
	// them gets a line after them.
	Nodes []string
	// Log gets every event with its time (RFC 3339, UTC), whatever Quiet and
	// Verbose say. Each event is one Write. It is the caller's writer that
	// keeps secrets out. May be nil.
	Log io.Writer
	// Now is the clock; nil stands for time.Now.
	Now func() time.Time
	// Hint gets each line that may advise a command, and gives it as it is
	// shown; nil leaves it as it is.
	Hint func(string) string
}

// Progress tells the story of a command, node by node, on Err: on a terminal
// with a live line for each node, elsewhere with a plain line for each event.
// All methods may be called from several goroutines at once. A node's time
// runs from its first Step to its Done or Fail; a Step after that starts it
// anew. The empty node stands for the lab as a whole.
//
// Errors of writing the story are not reported: losing it is no reason to
// stop the work.
type Progress struct {
	opts  ProgressOptions
	out   io.Writer
	names int // width of the widest node name
	live  *display

	mu     sync.Mutex
	nodes  []*nodeLine
	closed bool
}

// nodeLine is what is known of one node.
type nodeLine struct {
	name    string
	text    string // its step, or how it ended
	outcome outcome
	started time.Time
	took    time.Duration // once it has ended
	// step and detail are the last ones that it was not done with.
	step, detail string
}

type outcome int

const (
	notStarted outcome = iota
	underWay
	done
	failed
)

// NewProgress begins to tell. The caller must Close it, also on an error, or
// the terminal's cursor stays hidden. It takes neither the input nor any
// signal: Ctrl-C reaches the program as ever.
func NewProgress(s Streams, opts ProgressOptions) *Progress {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Hint == nil {
		opts.Hint = func(line string) string { return line }
	}
	p := &Progress{opts: opts, out: s.Err}
	for _, n := range opts.Nodes {
		p.line(n)
	}
	if !opts.Quiet && s.canRedraw(s.Err) {
		p.live = newDisplay(s.Err, s.environ(), p.view)
	}
	return p
}

// Step says what a node is busy with now, in a few words ("joining as
// worker"). The step that it had before is over. The same step again is not
// told twice.
func (p *Progress) Step(node, step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	step = plainText(step)
	n := p.line(node)
	if n.outcome == underWay && n.text == step {
		return
	}
	if n.outcome != underWay {
		n.started = p.opts.Now()
	}
	n.outcome, n.text, n.step, n.detail = underWay, step, step, ""
	p.log(n.name, "step", step)
	if !p.opts.Quiet {
		p.say(n.name, step)
	}
}

// Done says that a node is finished, and how ("joined"); an empty summary
// reads "done". The node's time is added, where it had something to do.
func (p *Progress) Done(node, summary string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if summary = plainText(summary); summary == "" {
		summary = "done"
	}
	n := p.end(node, done, summary)
	n.step, n.detail = "", ""
	text := n.text
	if n.took > 0 { // it was under way
		text += " in " + Duration(n.took)
	}
	p.log(n.name, "done", text)
	if !p.opts.Quiet {
		p.say(n.name, text)
	}
}

// Fail says that a node could not be finished. The whole error, with what to
// do about it, is for PrintError at the end of the command.
func (p *Progress) Fail(node string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.end(node, failed, plainText(p.opts.Hint(err.Error())))
	p.log(n.name, "failed", n.text)
	p.say(n.name, fmt.Sprintf("failed after %s: %s", Duration(n.took), n.text))
}

// Note tells a line of the whole command, above the nodes' live lines.
func (p *Progress) Note(line string) {
	line = plainText(p.opts.Hint(line))
	p.mu.Lock()
	p.log("", "note", line)
	p.mu.Unlock()
	if !p.opts.Quiet {
		p.above(line)
	}
}

// Warn tells what the reader should know, and what stopped nothing: above the
// live lines, and after Close as well. The log gets it as it is.
func (p *Progress) Warn(text string) {
	if p.opts.Log != nil {
		_, _ = fmt.Fprintf(p.opts.Log, "warning: %s\n", text)
	}
	if p.opts.Quiet {
		return
	}
	text = p.opts.Hint(text)
	p.mu.Lock()
	if p.live == nil || p.closed {
		PrintWarning(p.out, text, p.opts.Color)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.live.above(warning(text, p.opts.Color))
}

// Detail tells a line about a node that only -v shows, and the log keeps.
func (p *Progress) Detail(node, line string) {
	line = plainText(line)
	p.mu.Lock()
	p.log(node, "detail", line)
	p.line(node).detail = line
	width := p.names
	p.mu.Unlock()
	if p.opts.Verbose && !p.opts.Quiet {
		p.above(paint(label(node, width)+line, toneFaint, p.opts.Color))
	}
}

// Unfinished says what nodes were busy with that they did not come to the end of,
// in their order.
func (p *Progress) Unfinished() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, n := range p.nodes {
		text := n.step
		if n.name == "" && n.detail != "" {
			text = n.detail
		}
		if text != "" && n.name != "" {
			text = n.name + ": " + text
		}
		if text != "" {
			out = append(out, text)
		}
	}
	return out
}

// Close ends the story and gives the terminal back as it was, with the last
// state of every node that had begun left on it. What is told afterwards goes
// to the log only. Closing twice is harmless.
func (p *Progress) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	p.mu.Unlock()
	if p.live == nil {
		return
	}
	p.live.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	// Written plainly: the live lines of a big lab did not all fit the screen.
	var b strings.Builder
	for _, n := range p.nodes {
		if n.outcome != notStarted {
			b.WriteString(p.render(n, 0, "·"))
			b.WriteByte('\n')
		}
	}
	_, _ = io.WriteString(p.out, b.String())
}

// line gives a node's line, making it when it is new. p.mu is held.
func (p *Progress) line(node string) *nodeLine {
	for _, n := range p.nodes {
		if n.name == node {
			return n
		}
	}
	n := &nodeLine{name: node}
	p.nodes = append(p.nodes, n)
	p.names = max(p.names, lipgloss.Width(node))
	return n
}

func (p *Progress) end(node string, o outcome, text string) *nodeLine {
	n := p.line(node)
	now := p.opts.Now()
	if n.outcome != underWay {
		n.started = now
	}
	n.outcome, n.text, n.took = o, text, now.Sub(n.started)
	return n
}

// say writes an event where there are no live lines. p.mu is held.
func (p *Progress) say(node, text string) {
	if p.live == nil && !p.closed {
		_, _ = io.WriteString(p.out, label(node, p.names)+text+"\n")
	}
}

// above writes a line that stays. p.mu is not held: the display asks for the
// view, which takes it.
func (p *Progress) above(line string) {
	if p.live != nil {
		p.live.above(line)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		_, _ = io.WriteString(p.out, line+"\n")
	}
}

func (p *Progress) log(node, kind, text string) {
	if p.opts.Log == nil {
		return
	}
	if node == "" {
		node = "-"
	}
	at := p.opts.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	_, _ = fmt.Fprintf(p.opts.Log, "%s %s %s %s\n", at, node, kind, text)
}

// label is the node's column in front of a line.
func label(node string, width int) string {
	if node == "" {
		return ""
	}
	return pad(plainText(node), width) + "  "
}

// view draws the live lines for a screen of a size, frame being the number of
// the spinner's turn.
func (p *Progress) view(columns, rows, frame int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var shown []*nodeLine
	for _, n := range p.nodes {
		if n.outcome != notStarted {
			shown = append(shown, n)
		}
	}
	// One row stays free for the cursor, one for what is left out.
	hidden := 0
	if room := max(1, rows-2); len(shown) > room {
		hidden = len(shown) - room
		shown = mostTelling(shown, room)
	}
	var b strings.Builder
	for _, n := range shown {
		b.WriteString(p.render(n, columns, spinner(frame)))
		b.WriteByte('\n')
	}
	if hidden > 0 {
		b.WriteString(paint(fmt.Sprintf("  and %d more nodes", hidden), toneFaint, p.opts.Color))
		b.WriteByte('\n')
	}
	return b.String()
}

// mostTelling picks as many lines as there is room for: those under way, then
// the failed, then the done; in their usual order.
func mostTelling(lines []*nodeLine, room int) []*nodeLine {
	keep := map[*nodeLine]bool{}
	for _, o := range []outcome{underWay, failed, done} {
		for _, n := range lines {
			if n.outcome == o && len(keep) < room {
				keep[n] = true
			}
		}
	}
	var out []*nodeLine
	for _, n := range lines {
		if keep[n] {
			out = append(out, n)
		}
	}
	return out
}

// render draws one node's line, cut to columns where that is not 0.
func (p *Progress) render(n *nodeLine, columns int, turn string) string {
	mark, took := paint(turn, toneStrong, p.opts.Color), n.took
	switch n.outcome {
	case underWay:
		took = p.opts.Now().Sub(n.started)
	case done:
		mark = paint("✔", toneGood, p.opts.Color)
	case failed:
		mark = paint("✘", toneBad, p.opts.Color)
	}
	head := mark + " " + label(n.name, p.names)
	tail := "  " + Duration(took)
	text := n.text
	if columns > 0 {
		text = cut(text, columns-1-lipgloss.Width(head)-lipgloss.Width(tail))
	}
	return head + text + paint(tail, toneFaint, p.opts.Color)
}
