package session

import (
	"strings"

	"github.com/dcalab/dcalab/swarm"
)

// Reporter is told how work on the nodes goes, while it goes; *ui.Progress is
// one. An empty node means the lab as a whole. Its methods may be called from
// several goroutines at once.
type Reporter interface {
	// Step: a node begins something, in the present participle.
	Step(node, text string)
	// Done: a node is finished, with this result.
	Done(node, text string)
	// Fail: a node failed.
	Fail(node string, err error)
	// Note is further information; Detail is shown in verbose mode only.
	Note(text string)
	Detail(node, text string)
	// Warn tells of a problem that stopped nothing.
	Warn(text string)
}

// Events passes the steps of a swarm's plan on to a reporter.
func Events(r Reporter) func(swarm.Event) {
	return func(e swarm.Event) {
		switch {
		case e.Done && e.Err != nil:
			r.Fail(e.Node, e.Err)
		case e.Done:
		case e.Kind == swarm.KindConfigure:
			r.Note(e.Step) // no node's line would tell it
		case e.Node == "":
			r.Detail("", e.Step) // of the whole swarm: the nodes' lines tell enough
		default:
			r.Step(e.Node, e.Step)
		}
	}
}

// Waiting tells a reporter what conditions are waited for.
func Waiting(r Reporter) func(missing []string) {
	return func(missing []string) { r.Detail("", "waiting for "+strings.Join(missing, "; ")) }
}
