package vagrant

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// event is one line of what `vagrant --machine-readable` prints: time, target,
// type and data, with commas between.
type event struct {
	Time time.Time
	// Target is the machine that it is about; empty for Vagrant as a whole.
	Target string
	// Type of the line ("ui", "action", "state", "error-exit").
	Type string
	Data []string
}

// maxLine is the longest line that is read whole, in bytes; the rest of a
// longer one is dropped.
const maxLine = 1 << 20

// readStream reads Vagrant's standard output line by line as it comes, and
// calls each with the events; a line that is not one (a plugin that prints by
// itself, Ruby's own complaints) goes to plain. It returns when the stream
// ends.
func readStream(r io.Reader, each func(event), plain func(string)) error {
	b := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for {
		part, more, err := b.ReadLine()
		if len(line) < maxLine {
			line = append(line, part[:min(len(part), maxLine-len(line))]...)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		if more {
			continue
		}
		text := strings.TrimSuffix(string(line), "\r")
		line = line[:0]
		if e, ok := parseEvent(text); ok {
			each(e)
		} else {
			plain(text)
		}
	}
}

// unescape undoes what Vagrant does to data (lib/vagrant/ui.rb): a comma
// within becomes %!(VAGRANT_COMMA), a newline \n, a carriage return \r.
func unescape(data string) string {
	return strings.NewReplacer("%!(VAGRANT_COMMA)", ",", `\n`, "\n", `\r`, "\r").Replace(data)
}

// parseEvent reads one line; ok is false where it is not an event.
func parseEvent(line string) (e event, ok bool) {
	fields := strings.Split(line, ",")
	if len(fields) < 3 {
		return event{}, false
	}
	seconds, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || seconds < 0 || fields[2] == "" {
		return event{}, false
	}
	e = event{Time: time.Unix(seconds, 0), Target: fields[1], Type: fields[2]}
	for _, field := range fields[3:] {
		e.Data = append(e.Data, unescape(field))
	}
	return e, true
}

// data gives a field, or nothing where the line has no such field.
func (e event) data(i int) string {
	if i < len(e.Data) {
		return e.Data[i]
	}
	return ""
}

// stepOf is a line of Vagrant's as a step: "==> master: Booting VM..." is
// "booting VM".
func stepOf(e event) string {
	if e.Type != "ui" || e.data(0) != "output" && e.data(0) != "info" {
		return ""
	}
	text, _, _ := strings.Cut(strings.TrimSpace(e.data(1)), "\n")
	text = strings.TrimSpace(strings.TrimPrefix(text, "==>"))
	text = strings.TrimSpace(strings.TrimPrefix(text, e.Target+":"))
	text, _, _ = strings.Cut(text, ". ")
	text = strings.TrimRight(text, ".! ")
	for _, noise := range []string{"Running action triggers", "Running trigger", "--", "->"} {
		if strings.HasPrefix(text, noise) {
			return ""
		}
	}
	// A word in capitals stays one: "SSH address: …".
	if first, rest, _ := strings.Cut(text, " "); first != strings.ToUpper(first) {
		letter, size := utf8.DecodeRuneInString(first)
		return string(unicode.ToLower(letter)) + first[size:] + strings.TrimSuffix(" "+rest, " ")
	}
	return text
}
