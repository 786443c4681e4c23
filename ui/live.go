package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
)

// Picture is what a live view shows of something at one time: facts, a meter,
// and a table whose rows can be opened.
type Picture struct {
	// Title stands at the left of the first line.
	Title   string
	Facts   []Fact
	Meter   *Meter
	Columns []Column
	Rows    []Row
	// Tables below it, each shown whole or not at all.
	Tables   []Section
	Warnings []string
	// News are shown among the changes that the view itself notes.
	News []News
	// Stale says what of the picture is older than the rest; empty where
	// nothing is.
	Stale string
}

// Fact is a line above the table.
type Fact struct {
	Label, Value string
	// Since adds how long the value has stood, as far as the view saw it.
	Since bool
	// From adds how long ago this was; nothing where it is zero.
	From time.Time
}

// News is something that happened, and is not seen in the table.
type News struct {
	At          time.Time
	About, Text string
}

// Meter draws how many of a number there are, and how many are needed.
type Meter struct {
	Label          string
	Have, Need, Of int
	// Lost draws it as one that has too few, whatever Have is.
	Lost bool
	// Text is said beside it.
	Text string
}

// Column of the table. The first is never left out.
type Column struct {
	Title string
	// Keep tells which columns a narrow terminal leaves out: those with the
	// smallest first, and of equal ones the rightmost.
	Keep int
	// Sort is the key that sorts by this column; 0 where none does.
	Sort rune
	// WorstFirst sorts by what the words mean (down before ready), not by
	// their letters.
	WorstFirst bool
}

// Row of the table.
type Row struct {
	// Name tells the row from the others, and the same one from look to look.
	Name  string
	Cells []string
	// Stale draws the row as one whose data is old.
	Stale bool
	// Details are what is shown when the row is opened.
	Details []Section
}

// Section is a part of a row's details: a table, with a header or without.
type Section struct {
	Title  string
	Header []string
	Rows   [][]string
}

// LiveOptions say what a live view shows.
type LiveOptions struct {
	// Look makes the next picture. It is called by one goroutine, never twice
	// at a time, and may take its time: the keys work meanwhile, and the age of
	// what is shown is told. Its error is shown in place of nothing, and it is
	// asked again. It must end soon after ctx does.
	Look func(ctx context.Context) (Picture, error)
	// Interval is how long to wait after a look before the next.
	Interval time.Duration
	// Happened wakes the view: what is known is shown at once, and asked for anew,
	// too. Again gives what is known, without asking; it may be called by another
	// goroutine while Look is at work. Both are nil where nothing tells.
	Happened <-chan struct{}
	Again    func() Picture
	Color    bool
	// Now is the clock; time.Now where it is nil.
	Now func() time.Time
}

// CanLive tells whether a live view can be shown: somebody can type, and the
// result goes to a terminal that can be redrawn.
func (s Streams) CanLive() bool { return s.InTerminal() && s.canRedraw(s.Out) }

// Live shows pictures on the whole screen until q or Ctrl-C is typed or ctx
// ends, none of which is an error; then the terminal is as it was before. It
// takes the terminal's input, so Ctrl-C does not reach the program as a signal
// meanwhile. CanLive must hold.
func Live(ctx context.Context, s Streams, o LiveOptions) error {
	in, inOK := s.In.(*os.File)
	out, outOK := s.Out.(*os.File)
	if !inOK || !outOK {
		return errors.New("live view: there is no terminal")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	program := tea.NewProgram(newLive(o),
		tea.WithInput(in),
		tea.WithOutput(out),
		tea.WithEnvironment(s.environ()),
		// Colours were decided on by the caller.
		tea.WithColorProfile(colorprofile.ANSI256),
		// SIGINT and SIGTERM end ctx; nobody else's business.
		tea.WithoutSignalHandler(),
		tea.WithFPS(30),
	)
	defer context.AfterFunc(ctx, program.Quit)()

	done := guardTerminal(in, out)
	var crash string
	looking := make(chan struct{})
	go func() {
		defer close(looking)
		defer func() {
			if r := recover(); r != nil {
				crash = fmt.Sprintf("%v\n\n%s", r, debug.Stack())
				program.Quit()
			}
		}()
		look(ctx, o, program.Send)
	}()
	_, err := program.Run()
	done()
	stop()
	<-looking
	if crash != "" {
		panic(crash) // now that the terminal can show it
	}
	if err != nil {
		return fmt.Errorf("live view: %w", err)
	}
	return nil
}

// look makes pictures until ctx ends.
func look(ctx context.Context, o LiveOptions, send func(tea.Msg)) {
	soon := make(chan struct{}, 1)
	var showing sync.WaitGroup
	defer showing.Wait()
	if o.Happened != nil {
		showing.Go(func() { showAgain(ctx, o, send, soon) })
	}
	for {
		send(lookBegan{o.Now()})
		p, err := o.Look(ctx)
		if ctx.Err() != nil {
			return
		}
		send(looked{p, err, o.Now()})
		timer := time.NewTimer(o.Interval)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-soon:
		}
		timer.Stop()
	}
}

// showAgain shows what is known whenever something has happened, and lets it be asked
// for soon. What happens at nearly the same time is shown at once.
func showAgain(ctx context.Context, o LiveOptions, send func(tea.Msg), soon chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.Happened:
		}
		send(happened{o.Again(), o.Now()})
		select {
		case soon <- struct{}{}:
		default:
		}
		timer := time.NewTimer(breath)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

type lookBegan struct{ at time.Time }

type looked struct {
	picture Picture
	err     error
	at      time.Time
}

type happened struct {
	picture Picture
	at      time.Time
}

// turn makes ages and highlights go on between looks.
type turn struct{}

const (
	turnTime = 250 * time.Millisecond
	// breath is between two pictures of what has happened.
	breath = 100 * time.Millisecond
	// highlight is how long a change is marked.
	highlight = 6 * time.Second
	// history is how many changes are remembered.
	history = 50
	// changesShown is how many of the newest there is a line for at most.
	changesShown = 20
)

// change is a cell that another look found different.
type change struct {
	at                    time.Time
	row, column, old, new string
	text                  string // of news, in place of what a cell was and is
}

// standing is a fact's value, since when it was seen, and what it was before.
type standing struct {
	value, before string
	changed       bool // else it stood so when it was first seen
	since         time.Time
}

// live is the view's state. All of it belongs to the program's one loop.
type live struct {
	o       LiveOptions
	picture Picture
	err     error
	asked   time.Time // the look under way began
	shown   time.Time // the last picture came; zero before the first
	busy    bool

	facts   map[string]standing
	changes []change
	marked  map[[2]string]time.Time // row, column

	selected string
	order    int // column that rows are sorted by; -1 as they come
	reverse  bool
	open     string // the row whose details are shown
	offset   int    // rows scrolled away in the details
	help     bool

	columns, rows int
}

func newLive(o LiveOptions) *live {
	return &live{o: o, order: -1, facts: map[string]standing{}, marked: map[[2]string]time.Time{}}
}

func (l *live) Init() tea.Cmd { return nextTurn() }

func nextTurn() tea.Cmd { return tea.Tick(turnTime, func(time.Time) tea.Msg { return turn{} }) }

func (l *live) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		l.columns, l.rows = m.Width, m.Height
	case turn:
		return l, nextTurn()
	case lookBegan:
		l.asked, l.busy = m.at, true
	case looked:
		l.busy, l.err = false, m.err
		if m.err == nil {
			l.take(m.picture, m.at)
			l.shown = m.at
		}
	case happened:
		if !l.shown.IsZero() { // else there is no table yet
			l.take(m.picture, m.at)
		}
	case tea.KeyPressMsg:
		return l, l.key(m.String())
	}
	return l, nil
}

func (l *live) View() tea.View {
	v := tea.NewView("")
	v.AltScreen = true
	v.DisableBracketedPasteMode = true
	if l.columns > 0 && l.rows > 0 {
		v.SetContent(strings.Join(l.draw(l.o.Now()), "\n"))
	}
	return v
}

// take makes a new picture the one that is shown, and notes what is different.
func (l *live) take(p Picture, at time.Time) {
	for _, f := range p.Facts {
		if s, ok := l.facts[f.Label]; !ok {
			l.facts[f.Label] = standing{value: f.Value, since: at}
		} else if s.value != f.Value {
			l.facts[f.Label] = standing{value: f.Value, before: s.value, changed: true, since: at}
		}
	}
	old := map[[2]string]string{}
	for _, r := range l.picture.Rows {
		for i, c := range l.picture.Columns {
			old[[2]string{r.Name, c.Title}] = r.cell(i)
		}
	}
	for _, r := range p.Rows {
		for i, c := range p.Columns {
			key := [2]string{r.Name, c.Title}
			if was, ok := old[key]; ok && was != r.cell(i) {
				l.changes = append(l.changes, change{at: at, row: r.Name, column: c.Title, old: was, new: r.cell(i)})
				l.marked[key] = at
			}
		}
	}
	if extra := len(l.changes) - history; extra > 0 {
		l.changes = slices.Delete(l.changes, 0, extra)
	}
	l.picture = p
	if l.at(l.selected) < 0 && len(p.Rows) > 0 {
		l.selected = l.sorted()[0].Name
	}
	if l.open != "" && l.at(l.open) < 0 {
		l.open = ""
	}
}

func (r Row) cell(i int) string {
	if i < len(r.Cells) {
		return plainText(r.Cells[i])
	}
	return ""
}

// at gives the place of a row in the order shown, or -1.
func (l *live) at(name string) int {
	return slices.IndexFunc(l.sorted(), func(r Row) bool { return r.Name == name })
}

// sorted gives the rows in the order shown.
func (l *live) sorted() []Row {
	rows := slices.Clone(l.picture.Rows)
	if l.order < 0 || l.order >= len(l.picture.Columns) {
		return rows
	}
	c := l.picture.Columns[l.order]
	slices.SortStableFunc(rows, func(a, b Row) int {
		x, y := a.cell(l.order), b.cell(l.order)
		by := 0
		if c.WorstFirst {
			by = cmp.Compare(badness(x), badness(y))
		}
		if by == 0 {
			by = natural(strings.ToLower(x), strings.ToLower(y))
		}
		if l.reverse {
			by = -by
		}
		return by
	})
	return rows
}

func badness(cell string) int {
	switch statusTone(cell) {
	case toneBad:
		return 0
	case toneWarn:
		return 1
	case toneGood:
		return 3
	}
	return 2
}

// natural compares so that node2 comes before node10.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x > 0 && y > 0 {
			m, n := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
			if c := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[x:], b[y:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits is how many digits s begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// key does what was typed.
func (l *live) key(k string) tea.Cmd {
	switch k {
	case "q", "ctrl+c":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "?":
		l.help = !l.help
	case "esc", "backspace":
		l.open = ""
	case "enter":
		if l.open == "" && l.at(l.selected) >= 0 {
			l.open, l.offset = l.selected, 0
		}
	case "up", "k":
		l.move(-1)
	case "down", "j":
		l.move(1)
	case "pgup":
		l.move(-max(1, l.rows/2))
	case "pgdown":
		l.move(max(1, l.rows/2))
	case "home":
		l.move(-1 << 20)
	case "end":
		l.move(1 << 20)
	case "o":
		l.order, l.reverse = -1, false
	default:
		for i, c := range l.picture.Columns {
			if c.Sort != 0 && k == string(c.Sort) {
				l.reverse = l.order == i && !l.reverse
				l.order = i
			}
		}
	}
	return nil
}

// move goes up or down: in the table, or in the details that are open.
func (l *live) move(by int) {
	if l.open != "" {
		l.offset = max(0, l.offset+by) // its end is known when it is drawn
		return
	}
	rows := l.sorted()
	if len(rows) == 0 {
		return
	}
	to := min(max(l.at(l.selected)+by, 0), len(rows)-1)
	l.selected = rows[to].Name
}

// draw gives the lines of the screen, never more than it has rows nor wider
// than it has columns.
func (l *live) draw(now time.Time) []string {
	top := []string{l.titleLine(now)}
	foot := l.footLines()
	if l.err != nil {
		top = append(top, l.wrap(paint("error:", toneBad, l.o.Color)+" "+plainText(l.err.Error()))...)
	}
	var body []string
	room := func() int { return l.rows - len(top) - len(foot) }
	switch {
	case l.shown.IsZero():
		if l.err == nil {
			body = []string{"", "loading…"}
		}
	case l.open != "":
		body = l.details(max(1, room()))
	default:
		facts := l.factLines(now)
		// A very low screen is for the table.
		if room()-len(facts) >= 5 {
			top = append(top, facts...)
		}
		body = l.overview(max(1, room()), now)
	}
	body = body[:min(len(body), max(0, room()))]
	for len(body) < room() {
		body = append(body, "")
	}
	lines := slices.Concat(top, body, foot)
	lines = lines[:min(len(lines), l.rows)]
	for i, line := range lines {
		if lipgloss.Width(line) > l.columns {
			lines[i] = cut(line, l.columns)
		}
	}
	return lines
}

func (l *live) titleLine(now time.Time) string {
	title := plainText(l.picture.Title)
	if l.open != "" {
		title += " › " + plainText(l.open)
	}
	age := ""
	switch {
	case l.busy && now.Sub(l.asked) >= 2*time.Second && !l.shown.IsZero():
		age = paint(fmt.Sprintf("refreshing for %s; data is %s old", Duration(now.Sub(l.asked)), Duration(now.Sub(l.shown))), toneWarn, l.o.Color)
	case l.busy && now.Sub(l.asked) >= 2*time.Second:
		age = paint("refreshing for "+Duration(now.Sub(l.asked)), toneWarn, l.o.Color)
	case l.shown.IsZero():
	case l.err != nil:
		age = paint(fmt.Sprintf("data is %s old", Duration(now.Sub(l.shown))), toneWarn, l.o.Color)
	case l.picture.Stale != "":
		age = paint(plainText(l.picture.Stale), toneWarn, l.o.Color)
	default:
		age = paint("refreshed "+Duration(now.Sub(l.shown))+" ago", toneFaint, l.o.Color)
	}
	gap := l.columns - lipgloss.Width(title) - lipgloss.Width(age)
	switch {
	case age == "":
		return paint(title, toneStrong, l.o.Color)
	case gap < 2: // the age matters more than the name
		return age
	}
	return paint(title, toneStrong, l.o.Color) + strings.Repeat(" ", gap) + age
}

// factLines are the facts and the meter, with an empty line after them.
func (l *live) factLines(now time.Time) []string {
	width := 0
	for _, f := range l.picture.Facts {
		width = max(width, lipgloss.Width(f.Label))
	}
	if l.picture.Meter != nil {
		width = max(width, lipgloss.Width(l.picture.Meter.Label))
	}
	var out []string
	add := func(label, text string) {
		for i, line := range wrapTo(text, l.columns-width-2) {
			if i > 0 {
				label = ""
			}
			out = append(out, paint(pad(label, width), toneFaint, l.o.Color)+"  "+line)
		}
	}
	for _, f := range l.picture.Facts {
		add(f.Label, l.fact(f, now))
	}
	if m := l.picture.Meter; m != nil {
		add(m.Label, m.draw(l.o.Color)+"  "+plainText(m.Text))
	}
	if out != nil {
		out = append(out, "")
	}
	return out
}

func (l *live) fact(f Fact, now time.Time) string {
	text := plainText(f.Value)
	s := l.facts[f.Label]
	stood := now.Sub(s.since)
	switch {
	case !f.From.IsZero():
		text += ", " + Duration(max(0, now.Sub(f.From)))
	case !f.Since:
	case !s.changed:
		text += paint(", for at least "+Duration(stood), toneFaint, l.o.Color)
	default:
		t := toneFaint
		if stood < highlight {
			t = toneWarn
		}
		text += paint(fmt.Sprintf(", for %s (before: %s)", Duration(stood), plainText(s.before)), t, l.o.Color)
	}
	return text
}

// draw shows a meter as one box for each of Of, the first Have of them full,
// with a bar where Need is reached: ■ ■ │ ■.
func (m Meter) draw(color bool) string {
	t := toneGood
	switch {
	case m.Lost || m.Have < m.Need:
		t = toneBad
	case m.Have < m.Of:
		t = toneWarn
	}
	const most = 15 // beyond that nobody counts boxes
	if m.Of > most {
		return paint(fmt.Sprintf("%d of %d, %d needed", m.Have, m.Of, m.Need), t, color)
	}
	var boxes []string
	for i := range m.Of {
		box := "□"
		if i < m.Have {
			box = "■"
		}
		boxes = append(boxes, paint(box, t, color))
		if i+1 == m.Need {
			boxes = append(boxes, "│")
		}
	}
	return strings.Join(boxes, " ")
}

// overview is the table with what room is left for warnings and changes.
func (l *live) overview(room int, now time.Time) []string {
	rows := l.sorted()
	var warnings, changes []string
	for _, w := range l.picture.Warnings {
		warnings = append(warnings, l.wrap(paint("warning:", toneWarn, l.o.Color)+" "+plainText(w))...)
	}
	newest := slices.Clone(l.changes)
	for _, n := range l.picture.News {
		newest = append(newest, change{at: n.At, row: n.About, text: n.Text})
	}
	slices.SortStableFunc(newest, func(a, b change) int { return b.at.Compare(a.at) })
	for _, c := range newest[:min(len(newest), changesShown)] {
		changes = append(changes, l.changeLine(c, now))
	}
	var tables [][]string
	for _, t := range l.picture.Tables {
		lines := strings.Split(strings.TrimSuffix(table(t.Header, t.Rows, l.o.Color), "\n"), "\n")
		for i, line := range lines {
			lines[i] = strings.Repeat(" ", gutter) + line
		}
		tables = append(tables, lines)
	}
	// The table comes first, then warnings, the other tables, and changes, newest
	// first.
	left := room - 1 - min(len(rows), max(3, (room-1)*2/3))
	block := func(lines []string, least int) []string {
		if len(lines) == 0 || left < 1+least {
			return nil
		}
		n := min(len(lines), left-1)
		left -= n + 1
		return append([]string{""}, lines[:n]...)
	}
	rest := block(warnings, 1)
	for _, lines := range tables {
		rest = append(rest, block(lines, len(lines))...)
	}
	rest = append(rest, block(changes, 1)...)
	return append(l.table(rows, room-1-len(rest), now), rest...)
}

func (l *live) changeLine(c change, now time.Time) string {
	show := func(s string) string { return cmp.Or(s, "nothing") }
	text := fmt.Sprintf("%s: %s → %s", strings.ToLower(c.column), show(c.old), show(c.new))
	if c.text != "" {
		text = plainText(c.text)
	}
	text = strings.TrimSpace(c.at.Format(time.TimeOnly)+"  "+plainText(c.row)) + "  " + text
	if now.Sub(c.at) >= highlight {
		text = paint(text, toneFaint, l.o.Color)
	}
	return cut(text, l.columns)
}

// table is the header and as many rows as there is room for, among them the
// selected one.
func (l *live) table(rows []Row, room int, now time.Time) []string {
	room = max(1, room)
	shown, widths := l.fitColumns(rows)
	first := 0
	if len(rows) > room {
		room = max(1, room-1) // for how many are left out
		first = min(max(0, l.at(l.selected)-room/2), len(rows)-room)
	}
	lines := []string{l.headerLine(shown, widths)}
	for _, r := range rows[first:min(len(rows), first+room)] {
		lines = append(lines, l.rowLine(r, shown, widths, now))
	}
	if left := len(rows) - min(len(rows), room); left > 0 {
		lines = append(lines, paint(fmt.Sprintf("  … %d of %d shown", room, len(rows)), toneFaint, l.o.Color))
	}
	return lines
}

// gutter holds the marks of the selected row and of one that changed.
const gutter = 2

// fitColumns gives the columns that the screen is wide enough for, and their
// widths.
func (l *live) fitColumns(rows []Row) (shown, widths []int) {
	columns := l.picture.Columns
	widths = make([]int, len(columns))
	for i, c := range columns {
		widths[i] = lipgloss.Width(c.Title)
		if c.Sort != 0 {
			widths[i] += 2 // for the arrow, so that sorting moves nothing
		}
		for _, r := range rows {
			widths[i] = max(widths[i], lipgloss.Width(r.cell(i)))
		}
	}
	return keep(columns, widths, gutter, l.columns), widths
}

// keep gives the columns that fit into a width, after a gutter.
func keep(columns []Column, widths []int, gutter, width int) (shown []int) {
	for i := range columns {
		shown = append(shown, i)
	}
	total := func() int {
		w := gutter
		for _, i := range shown {
			w += widths[i] + len(columnGap)
		}
		return w - len(columnGap)
	}
	for len(shown) > 1 && total() > width {
		least := 1
		for at := 1; at < len(shown); at++ {
			if columns[shown[at]].Keep <= columns[shown[least]].Keep {
				least = at
			}
		}
		shown = slices.Delete(shown, least, least+1)
	}
	return shown
}

// FitTable is Table for a width in columns: what does not fit is left out as in
// a live view, by the columns' Keep. With 0 everything is shown.
func FitTable(w io.Writer, columns []Column, rows [][]string, width int, color bool) error {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = lipgloss.Width(c.Title)
		for _, r := range rows {
			widths[i] = max(widths[i], lipgloss.Width(plainText(r[i])))
		}
	}
	if width <= 0 {
		width = math.MaxInt
	}
	shown := keep(columns, widths, 0, width)
	pick := func(cell func(int) string) (line []string) {
		for _, i := range shown {
			line = append(line, cell(i))
		}
		return line
	}
	var lines [][]string
	for _, r := range rows {
		lines = append(lines, pick(func(i int) string { return r[i] }))
	}
	return Table(w, pick(func(i int) string { return columns[i].Title }), lines, color)
}

func (l *live) headerLine(shown, widths []int) string {
	var cells []string
	for _, i := range shown {
		title := plainText(l.picture.Columns[i].Title)
		if i == l.order {
			title += map[bool]string{false: " ▾", true: " ▴"}[l.reverse]
		}
		cells = append(cells, paint(pad(title, widths[i]), toneStrong, l.o.Color))
	}
	return strings.Repeat(" ", gutter) + strings.Join(cells, columnGap)
}

func (l *live) rowLine(r Row, shown, widths []int, now time.Time) string {
	changed := false
	var cells []string
	for i, c := range l.picture.Columns {
		at, ok := l.marked[[2]string{r.Name, c.Title}]
		fresh := ok && now.Sub(at) < highlight
		changed = changed || fresh
		if !slices.Contains(shown, i) {
			continue
		}
		text := r.cell(i)
		blank := strings.Repeat(" ", max(0, widths[i]-lipgloss.Width(text)))
		if fresh && l.o.Color {
			text = lipgloss.NewStyle().Reverse(true).Render(text)
		} else {
			t := statusTone(text)
			if r.Stale && i > 0 {
				t = toneFaint
			}
			text = paint(text, t, l.o.Color)
		}
		cells = append(cells, text+blank)
	}
	mark := []string{" ", " "}
	if r.Name == l.selected {
		mark[0] = paint(">", toneStrong, l.o.Color)
	}
	if changed { // seen without colours too
		mark[1] = paint("*", toneWarn, l.o.Color)
	}
	return strings.TrimRight(strings.Join(mark, "")+strings.Join(cells, columnGap), " ")
}

// details are those of the open row, scrolled.
func (l *live) details(room int) []string {
	var lines []string
	row := l.sorted()[l.at(l.open)]
	for _, s := range row.Details {
		lines = append(lines, "")
		if s.Title != "" {
			lines = append(lines, paint(plainText(s.Title), toneStrong, l.o.Color))
		}
		if len(s.Header) > 0 {
			lines = append(lines, strings.Split(strings.TrimSuffix(table(s.Header, s.Rows, l.o.Color), "\n"), "\n")...)
			continue
		}
		lines = append(lines, l.pairs(s.Rows)...)
	}
	l.offset = min(l.offset, max(0, len(lines)-room))
	if l.offset > 0 || len(lines) > room {
		lines = lines[l.offset:min(len(lines), l.offset+room)]
	}
	return lines
}

// pairs are labels with values, which are wrapped.
func (l *live) pairs(rows [][]string) []string {
	width := 0
	for _, r := range rows {
		if len(r) == 2 {
			width = max(width, lipgloss.Width(plainText(r[0])))
		}
	}
	var lines []string
	for _, r := range rows {
		if len(r) != 2 {
			lines = append(lines, l.wrap(plainText(strings.Join(r, " ")))...)
			continue
		}
		label := pad(plainText(r[0]), width)
		for _, part := range wrapTo(cell(r[1], l.o.Color), l.columns-width-len(columnGap)) {
			lines = append(lines, paint(label, toneFaint, l.o.Color)+columnGap+part)
			label = pad("", width)
		}
	}
	return lines
}

func (l *live) footLines() []string {
	if !l.help {
		if l.open != "" {
			return []string{paint("esc back   ? help   q quit", toneFaint, l.o.Color)}
		}
		return []string{paint("enter details   ? help   q quit", toneFaint, l.o.Color)}
	}
	var keys, titles []string
	for _, c := range l.picture.Columns {
		if c.Sort != 0 {
			keys, titles = append(keys, string(c.Sort)), append(titles, strings.ToLower(c.Title))
		}
	}
	var lines []string
	for _, line := range []string{
		"up/down or k/j: choose, or scroll   enter: details   esc: back",
		fmt.Sprintf("%s: sort by %s (again: the other way round)   o: labs.yaml order", strings.Join(keys, " "), strings.Join(titles, ", ")),
		fmt.Sprintf("> chosen   * changed in the last %s   ?: close help   q, Ctrl-C: quit", highlight),
	} {
		for _, part := range l.wrap(line) {
			lines = append(lines, paint(part, toneFaint, l.o.Color))
		}
	}
	return lines
}

func (l *live) wrap(text string) []string { return wrapTo(text, l.columns) }

// wrapTo breaks a line between words, or inside one that is too long.
func wrapTo(text string, width int) []string {
	return strings.Split(ansi.Wrap(text, max(8, width), ""), "\n")
}
