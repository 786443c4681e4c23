package vagrant

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
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
