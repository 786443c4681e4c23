package e2e

import (
	"encoding/json"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dcalab/dcalab/observe"
)

// milestones checks that a report of what was observed has milestones in this order, with
// others between them, but not those with a !, and that the swarm is whole at its end:
//
//	milestones seen.json broken !write healed write whole
func milestones(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: milestones FILE ID|!ID...")
	}
	var r observe.Report
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &r))
	if len(r.Missing) > 0 {
		ts.Fatalf("the swarm is not whole: %s", strings.Join(r.Missing, "; "))
	}
	at := 0
	var not []string
	for _, want := range args[1:] {
		if id, is := strings.CutPrefix(want, "!"); is {
			not = append(not, id)
			continue
		}
		found := false
		for ; at < len(r.Milestones) && !found; at++ {
			m := r.Milestones[at]
			for _, id := range not {
				if string(m.ID) == id && id != want {
					ts.Fatalf("before %s there is: %s", want, m.Line())
				}
			}
			found = string(m.ID) == want
		}
		if !found {
			ts.Fatalf("there is no %s after that", want)
		}
		not = nil
	}
}
