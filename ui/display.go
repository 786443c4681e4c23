package ui

import (
	"io"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
)

// spinner turns once in 0.8 s at the pace of frameTime.
func spinner(frame int) string {
	frames := [...]string{"⠋", "⠙", "⠸", "⠴", "⠦", "⠇"}
	return frames[frame%len(frames)]
}

const frameTime = 120 * time.Millisecond

// display redraws a few lines at the bottom of a terminal's text. It leaves
// the terminal's modes alone: no raw mode, no input read, no queries sent, no
// signals caught.
type display struct {
	out      io.Writer
	program  *tea.Program
	stop     chan struct{}
	closing  sync.Once
	finished sync.WaitGroup
}

// newDisplay starts to show what view draws, some times a second, until
// close. The caller's view must be safe to be called from another goroutine.
func newDisplay(w io.Writer, environ []string, view func(columns, rows, frame int) string) *display {
	d := &display{out: w, stop: make(chan struct{})}
	d.program = tea.NewProgram(screen{view: view},
		tea.WithOutput(w),
		tea.WithInput(nil),
		tea.WithEnvironment(environ),
		// view has decided on colours already; this only keeps the library
		// from asking the environment once more and deciding otherwise.
		tea.WithColorProfile(colorprofile.ANSI256),
		tea.WithoutSignalHandler(),
		tea.WithFPS(30),
	)
	d.finished.Go(func() {
		// It fails only when the terminal has gone, and the story with it.
		_, _ = d.program.Run()
	})
	d.finished.Go(func() {
		tick := time.NewTicker(frameTime)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.program.Send(nextFrame{})
			case <-d.stop:
				return
			}
		}
	})
	return d
}

// redraw asks for the view now rather than at the next turn of the spinner.
func (d *display) redraw() { d.program.Send(nextFrame{}) }

// above writes a line that stays, over the live ones. After close it does
// nothing. The line is wrapped here: the library miscounts the rows of one
// that the terminal would wrap.
func (d *display) above(line string) {
	columns := width(d.out)
	d.program.Send(tea.Println(ansi.Wrap(line, max(1, columns-1), ""))())
}

// close clears the live lines and waits until the terminal is as before, with
// the cursor where they began. keep leaves the last view standing instead.
func (d *display) close() { d.end(lastFrame{}) }
func (d *display) keep()  { d.end(lastFrame{keep: true}) }

func (d *display) end(last lastFrame) {
	d.closing.Do(func() {
		close(d.stop)
		d.program.Send(last)
	})
	d.finished.Wait()
}

type nextFrame struct{}

type lastFrame struct{ keep bool }

// screen is the program's model: a size and the number of the frame.
type screen struct {
	view          func(columns, rows, frame int) string
	columns, rows int
	frame         int
	blank         bool
}

func (s screen) Init() tea.Cmd { return nil }

func (s screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		s.columns, s.rows = m.Width, m.Height
	case nextFrame:
		s.frame++
	case lastFrame:
		s.blank = !m.keep
		return s, tea.Quit
	}
	return s, nil
}

func (s screen) View() tea.View {
	v := tea.NewView("")
	// A mode of the terminal, to be left as it is.
	v.DisableBracketedPasteMode = true
	if !s.blank && s.columns > 0 {
		v.SetContent(s.view(s.columns, s.rows, s.frame))
	}
	return v
}

// cut shortens s to a width in columns, showing that it did.
func cut(s string, width int) string { return ansi.Truncate(s, max(1, width), "…") }
