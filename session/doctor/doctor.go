// Package doctor looks for what keeps a lab from running: on this machine, in
// the lab's own folder, and in its swarm. What it finds are values; nothing is
// printed, and nothing is changed but by ApplyFixes.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/drivers"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// Diagnosis is what was looked at, in order. Its keys are a promise of dcalab
// doctor.
type Diagnosis struct {
	Lab      string          `json:"lab" yaml:"lab"`
	Driver   string          `json:"driver" yaml:"driver"`
	Provider string          `json:"provider" yaml:"provider"`
	Checks   []machine.Check `json:"checks" yaml:"checks"`
	// Fixed are the commands that ApplyFixes ran, in their order.
	Fixed []Fixed `json:"fixed,omitempty" yaml:"fixed,omitempty"`
}

// labsCheck is the id of the check of labs.yaml.
const labsCheck = "labs-yaml"

// Count tells how many checks came to a verdict.
func (d *Diagnosis) Count(v machine.Verdict) int {
	n := 0
	for _, c := range d.Checks {
		if c.Verdict == v {
			n++
		}
	}
	return n
}

// Exit is the exit status for it: trouble.ExitOK without a failure.
func (d *Diagnosis) Exit() int {
	switch {
	case slices.ContainsFunc(d.Checks, func(c machine.Check) bool { return c.ID == labsCheck && c.Verdict == machine.VerdictFailure }):
		return trouble.ExitConfig
	case d.Count(machine.VerdictFailure) > 0:
		return trouble.ExitRequirement
	}
	return trouble.ExitOK
}

func (d *Diagnosis) add(c ...machine.Check) { d.Checks = append(d.Checks, c...) }

// Runbook is how a person looks whether this machine can run a lab of a driver;
// an empty one is not known. The checks look at more than a few lines can say.
func Runbook(driver string) runbook.Runbook {
	kind := drivers.All()[0]
	if driver != "" {
		kind = drivers.Find(driver)
	}
	return append(runbook.Runbook{
		{Text: "free -m", Why: "memory for the nodes"}, {Text: "df -h .", Why: "room for their disks"}, {Text: "ip addr", Why: "is the lab's subnet in use"},
	}, kind.Checks...)
}

// Examine makes all checks of the lab that the settings mean. One that needs
// what an earlier one found missing is left out. The driver is the one that the
// settings name, even where the lab was made by the other.
func Examine(ctx context.Context, set session.Settings) (*Diagnosis, error) {
	d := &Diagnosis{Checks: []machine.Check{}}
	wanted, err := set.Wanted()
	labs := machine.Check{ID: labsCheck, What: "labs.yaml"}
	var invalid *lab.InvalidError
	switch {
	case errors.As(err, &invalid):
		d.add(labs.Failure(err.Error(), machine.Advise("fix it and check again: dcalab config validate")))
		return d, nil
	case err != nil:
		return nil, err
	}
	d.Lab = wanted.Lab.Name
	d.add(checkLabs(labs, wanted.File))

	root, err := set.Root(wanted.File)
	if err != nil {
		return nil, err
	}
	state := machine.Check{ID: "state-folder", What: "state folder"}
	s, err := set.Hold(wanted, root, d.Lab)
	if err == nil {
		err = machine.Writable(s.State().Dir())
	}
	if err != nil {
		d.add(state.Failure(err.Error(), stateFixes(root, d.Lab, err)...))
		return d, nil
	}
	defer s.Close()
	d.add(state.OK(s.State().Dir()), checkOtherLabs(root, s), checkOrphans(set))

	getenv := set.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	driver, err := checkDriver(s, getenv)
	d.add(driver)
	if err != nil {
		return d, nil
	}
	kind := drivers.Find(s.Record().Driver)
	d.Driver = kind.Name
	if kind.Provider != nil {
		d.Provider = cmp.Or(s.Record().Provider, kind.Provider(getenv, s.Lab()))
	}
	if err := s.UseDriver(); err != nil {
		return nil, err
	}
	if examiner, ok := s.Driver().(machine.Examiner); ok {
		d.add(examiner.Examine(ctx)...)
	}
	if s.Created() {
		d.add(checkFaults(s, time.Now()))
		d.add(checkSwarm(ctx, s)...)
	}
	return d, ctx.Err()
}

// checkFaults looks for what was broken on purpose.
func checkFaults(s *session.Session, now time.Time) machine.Check {
	c := machine.Check{ID: "faults", What: "faults"}
	j, err := fault.ReadJournal(s.State())
	if err != nil {
		return c.Unknown(err.Error(), advise(err)...)
	}
	if there := j.Now(now); len(there) > 0 {
		return c.Warning("broken by dcalab break: "+strings.Join(fault.Explained(there), "; "), machine.Advise("dcalab heal --all"))
	}
	return c.OK("nothing is broken by dcalab break")
}

func checkLabs(c machine.Check, file *lab.File) machine.Check {
	var words []string
	for _, w := range file.Warnings {
		words = append(words, w.String())
	}
	if len(words) > 0 {
		return c.Warning(strings.Join(words, "; "))
	}
	return c.OK(session.FileName(file) + " is valid")
}

// checkDriver says which driver is looked at, and why; the session then has its
// record.
func checkDriver(s *session.Session, getenv func(string) string) (machine.Check, error) {
	c := machine.Check{ID: "driver", What: "driver"}
	want, from := s.Lab().Driver, "labs.yaml says so"
	if origin, ok := s.Overridden("driver"); ok {
		from = origin
	}
	if s.OtherDriverAsked() {
		made := s.Record().Driver
		s.AsIfNew(want)
		return c.Warning(fmt.Sprintf("%s (%s), though the lab was made by the %s driver", want, from, made)), nil
	}
	kind, err := s.ChooseDriver()
	switch {
	case err != nil:
		return c.Failure(err.Error(), advise(err)...), err
	case s.Created():
		return c.OK(kind.Name + ": the lab was made by it"), nil
	case want == lab.DriverAuto: // how the preferred one is tells why
		_, from = drivers.All()[0].Usable(getenv, s.Lab())
	}
	s.AsIfNew(kind.Name)
	return c.OK(kind.Name + ": " + from), nil
}

// stateFixes are for a state folder that is not trusted. Shutting others out is
// enough only where they have put nothing in yet.
func stateFixes(root, name string, err error) []machine.Fix {
	var fixes []machine.Fix
	if errors.Is(err, lab.ErrNotTrusted) {
		for _, dir := range []string{filepath.Join(root, lab.StateFolder), filepath.Join(root, lab.StateFolder, name)} {
			fi, err := os.Lstat(dir)
			if err != nil || !fi.IsDir() || fi.Mode().Perm()&0o022 == 0 {
				continue
			}
			if entries, err := os.ReadDir(dir); err == nil && len(entries) == 0 {
				fixes = append(fixes, machine.Command("chmod", "go-w", dir))
			}
		}
	}
	return append(fixes, advise(err)...)
}

func advise(err error) []machine.Fix {
	var fixes []machine.Fix
	for _, next := range trouble.Advice(err) {
		fixes = append(fixes, machine.Advise(next))
	}
	return fixes
}

// checkOtherLabs looks for a lab of the same folder whose subnet overlaps: only
// one of the two can be up at a time.
func checkOtherLabs(root string, s *session.Session) machine.Check {
	c := machine.Check{ID: "other-labs", What: "other labs"}
	others := 0
	for _, name := range session.Made(filepath.Join(root, lab.StateFolder)) {
		if name == s.Lab().Name {
			continue
		}
		state, err := lab.OpenState(root, name, s.Owner())
		if err != nil {
			continue
		}
		r, created, err := state.ReadRecord()
		if err != nil || !created {
			continue
		}
		others++
		if p, err := netip.ParsePrefix(r.Subnet); err == nil && p.Overlaps(s.Lab().Subnet) {
			return c.Warning(fmt.Sprintf("lab %s, which exists, has the subnet %s too: only one of the two can be up", r.Lab, r.Subnet),
				machine.Advise("dcalab --lab "+r.Lab+" halt"), machine.Advise("or remove it: dcalab --lab "+r.Lab+" destroy"))
		}
	}
	if others == 0 {
		return c.OK("none exists here")
	}
	return c.OK("none that exists here has this subnet")
}

// checkOrphans looks for labs of this machine that no folder holds any more.
func checkOrphans(set session.Settings) machine.Check {
	c := machine.Check{ID: "orphaned-labs", What: "labs without a folder"}
	var words []string
	for _, p := range set.OrphanedLabs() {
		words = append(words, fmt.Sprintf("the folder of lab %s, %s, is gone or no longer contains it, but its machines still exist", p.Lab, p.Root))
	}
	if len(words) == 0 {
		return c.OK("there are none")
	}
	return c.Warning(strings.Join(words, "; "), machine.Advise("remove them, with all that is on them: dcalab prune"),
		machine.Advise("if the folder was only moved: run dcalab status in it"))
}
