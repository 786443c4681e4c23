package session

import (
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/runbook"
)

// ExplainMachines is the driver's runbook for what it does to machines, one deed after the
// other. What each begins with in the same way is said once.
func (s *Session) ExplainMachines(deeds ...machine.Deed) runbook.Runbook {
	e, ok := s.driver.(machine.Explainer)
	if !ok {
		return nil
	}
	var flags []string // with which dcalab finds the lab's settings from every folder, beside --lab
	if s.file.Path != "" {
		flags = append(flags, "--config", s.file.Path)
	}
	if _, asked := s.Overridden("provider"); asked {
		flags = append(flags, "--provider", s.lab.Provider)
	}
	var all, first runbook.Runbook
	for i, d := range deeds {
		d.Flags = flags
		l := e.Explain(d)
		if i == 0 {
			first = l
			all = append(all, l...)
			continue
		}
		same := 0
		for same < len(l) && same < len(first) && l[same] == first[same] {
			same++
		}
		all = append(all, l[same:]...)
	}
	return all
}
