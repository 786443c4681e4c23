package show

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/dcalab/dcalab/timeline"
)

// Events prints each event that it is given, a line each; without all, only what is new.
func Events(out io.Writer, asJSON, all bool) func(timeline.Event) {
	var story timeline.Story
	day := ""
	return func(e timeline.Event) {
		if isNew := story.New(e); !all && !isNew {
			return
		}
		if asJSON {
			text, _ := json.Marshal(e) // it was read from JSON
			fmt.Fprintf(out, "%s\n", text)
			return
		}
		at := e.Time.Local()
		if d := at.Format(time.DateOnly); d != day {
			day = d
			fmt.Fprintln(out, day)
		}
		fmt.Fprintf(out, "%s  %-7s  %-10s  %s\n", at.Format("15:04:05.000"), e.Source, e.Node, e.Words())
	}
}
