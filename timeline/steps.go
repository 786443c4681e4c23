package timeline

import (
	"time"

	"github.com/dcalab/dcalab/session"
)

// Steps is a Reporter that passes on what it is told, and records it while some
// process records the lab. What it cannot record is lost: the work goes on.
func Steps(s *session.Session, to session.Reporter) session.Reporter {
	if s == nil {
		return to
	}
	return steps{to, Recording{State: s.State()}}
}

type steps struct {
	session.Reporter
	recording Recording
}

func (s steps) record(kind Kind, node, text string) {
	if !s.recording.State.Recording().Runs() {
		return
	}
	_ = s.recording.Add(Event{Time: time.Now(), Source: SourceCommand, Kind: kind, Node: node, Text: text})
}

func (s steps) Step(node, text string) {
	s.record(KindStep, node, text)
	s.Reporter.Step(node, text)
}

func (s steps) Done(node, text string) {
	s.record(KindDone, node, text)
	s.Reporter.Done(node, text)
}

func (s steps) Fail(node string, err error) {
	s.record(KindFailed, node, err.Error())
	s.Reporter.Fail(node, err)
}

func (s steps) Note(text string) {
	s.record(KindNote, "", text)
	s.Reporter.Note(text)
}

func (s steps) Warn(text string) {
	s.record(KindNote, "", text)
	s.Reporter.Warn(text)
}
