package machine

import (
	"context"
	"strings"

	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// Verdict is the result of a check.
type Verdict string

// The verdicts of a check.
const (
	VerdictOK      Verdict = "ok"
	VerdictWarning Verdict = "warning" // works, and something will be slow, scarce or missing
	VerdictFailure Verdict = "failure" // stops Up
	VerdictUnknown Verdict = "unknown" // could not be examined; Why says what prevented it
)

// Check is one thing that was examined on this machine.
type Check struct {
	// ID names the check: stable, lower case, with dashes ("host-only-range").
	ID string `json:"id" yaml:"id"`
	// What was examined, in a few words ("host-only range").
	What    string  `json:"what" yaml:"what"`
	Verdict Verdict `json:"verdict" yaml:"verdict"`
	// Why it has this verdict: the version found, the address that conflicts.
	Why string `json:"why" yaml:"why"`
	// Fixes, each of which would solve it; the best first.
	Fixes []Fix `json:"fixes,omitempty" yaml:"fixes,omitempty"`
}

// OK gives the check with that verdict. The methods below give the others.
func (c Check) OK(why string) Check { return c.with(VerdictOK, why, nil) }

// Warning is for what works, and will be slow, scarce or missing.
func (c Check) Warning(why string, fixes ...Fix) Check { return c.with(VerdictWarning, why, fixes) }

// Failure is for what stops Up.
func (c Check) Failure(why string, fixes ...Fix) Check { return c.with(VerdictFailure, why, fixes) }

// Unknown is for what could not be examined; why says what prevented it.
func (c Check) Unknown(why string, fixes ...Fix) Check { return c.with(VerdictUnknown, why, fixes) }

func (c Check) with(v Verdict, why string, fixes []Fix) Check {
	c.Verdict, c.Why, c.Fixes = v, why, fixes
	return c
}

// Fix is a way to solve what a check found.
type Fix struct {
	// Text says what to do, as a person would be told; where Run is set, it is
	// that command as it would be typed.
	Text string `json:"text" yaml:"text"`
	// Run is the command, program first, where dcalab may run it when asked to
	// (doctor --fix): one that takes nothing away and can be undone. It begins
	// with sudo where it needs root. Nil where a person has to decide.
	Run []string `json:"run,omitempty" yaml:"run,omitempty"`
}

// Advise is a fix that only a person can decide on or do.
func Advise(text string) Fix { return Fix{Text: text} }

// Command is a fix that dcalab may run when asked to.
func Command(run ...string) Fix { return Fix{Text: runbook.Line(run...), Run: run} }

// Examiner is a Driver that can show each of its checks of this machine, not
// only those that would stop Up. Its Preflight gives the failures among them.
type Examiner interface {
	// Examine changes nothing. Its checks have a fixed order, the basic ones first;
	// one that makes no sense after an earlier failure is left out.
	Examine(ctx context.Context) []Check
}

// Preflight makes one error of all failures among the checks, with everything
// that would solve them; nil where there are none. Its id is that of the
// failure where there is only one, else "preflight".
func Preflight(checks []Check) error {
	e := &trouble.Error{ID: "preflight", What: "the lab cannot run on this machine", Exit: trouble.ExitRequirement}
	var ids, why []string
	for _, c := range checks {
		if c.Verdict != VerdictFailure {
			continue
		}
		ids, why = append(ids, c.ID), append(why, c.Why)
		for _, f := range c.Fixes {
			e.Next = append(e.Next, f.Text)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if len(ids) == 1 {
		e.ID = ids[0]
	}
	e.Why = strings.Join(why, "; ")
	return e
}

// The kinds of error of Preflight: several checks failed, or one of these alone.
const (
	ErrChecksFailed         trouble.Kind = "preflight"
	ErrSubnetFailed         trouble.Kind = "subnet"
	ErrVagrantFailed        trouble.Kind = "vagrant"
	ErrProviderFailed       trouble.Kind = "provider"
	ErrVirtualBoxFailed     trouble.Kind = "virtualbox"
	ErrVirtualizationFailed trouble.Kind = "virtualization"
)
