package doctor

import (
	"os"
	"slices"

	"github.com/dcalab/dcalab/machine"
)

// Fixed is one command that ApplyFixes ran.
type Fixed struct {
	Check string   `json:"check" yaml:"check"`
	Run   []string `json:"run" yaml:"run"`
	// Error is empty where it succeeded.
	Error string `json:"error" yaml:"error"`
}

// ApplyFixes runs the safe commands of the checks, each once, and looks again
// after each, since what was fixed may show something else. It gives the last
// diagnosis, with what was run. An error is that of examine.
func ApplyFixes(d *Diagnosis, run func(machine.Check, []string) error, examine func() (*Diagnosis, error)) (*Diagnosis, error) {
	var done []Fixed
	for {
		c, command := nextFix(d.Checks, done)
		if command == nil {
			d.Fixed = done
			return d, nil
		}
		f := Fixed{Check: c.ID, Run: command}
		if err := run(c, command); err != nil {
			f.Error = err.Error()
		}
		done = append(done, f)
		var err error
		if d, err = examine(); err != nil {
			return nil, err
		}
	}
}

// nextFix gives the first safe command that was not run yet, as it will be
// run: root needs no sudo.
func nextFix(checks []machine.Check, done []Fixed) (machine.Check, []string) {
	for _, c := range checks {
		if c.Verdict == machine.VerdictOK {
			continue
		}
		for _, f := range c.Fixes {
			run := f.Run
			if len(run) > 1 && run[0] == "sudo" && os.Geteuid() == 0 {
				run = run[1:]
			}
			if len(run) > 0 && !slices.ContainsFunc(done, func(d Fixed) bool { return slices.Equal(d.Run, run) }) {
				return c, run
			}
		}
	}
	return machine.Check{}, nil
}
