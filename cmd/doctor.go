package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/vagrant"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// diagnosis is what `dcalab doctor -o json` prints. Its keys are a promise.
type diagnosis struct {
	Lab      string          `json:"lab" yaml:"lab"`
	Driver   string          `json:"driver" yaml:"driver"`
	Provider string          `json:"provider" yaml:"provider"`
	Checks   []machine.Check `json:"checks" yaml:"checks"`
	// Fixed are the commands that --fix ran, in their order.
	Fixed []fixed `json:"fixed,omitempty" yaml:"fixed,omitempty"`
}

// fixed is one command that --fix ran.
type fixed struct {
	Check string   `json:"check" yaml:"check"`
	Run   []string `json:"run" yaml:"run"`
	// Error is empty where it succeeded.
	Error string `json:"error" yaml:"error"`
}

func (d *diagnosis) add(c ...machine.Check) { d.Checks = append(d.Checks, c...) }

func (d *diagnosis) count(v machine.Verdict) int {
	n := 0
	for _, c := range d.Checks {
		if c.Verdict == v {
			n++
		}
	}
	return n
}

func (a *app) doctor() *cobra.Command {
	var o listing
	var fix bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine can run the lab, and show how to fix problems",
		Long: `Look at everything that dcalab up needs of this machine and say of each what
was found, and what would mend it. The checks are those of the lab's driver;
--driver looks at the other one.

A failure stops dcalab up; a warning does not. With --fix, the commands marked
(--fix) are run, each shown first: they take nothing away and can be undone.
Whatever else there is to do is left to you.`,
		Example: "  dcalab doctor\n  dcalab doctor --fix\n  dcalab --driver vagrant doctor -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			format, err := o.format(machine.Check{})
			if err != nil {
				return err
			}
			if fix && a.dryRun() {
				return a.rehearseMending(c.Context())
			}
			if stop, err := (&session{app: a}).announce(a.doctorRunbook()); stop || err != nil {
				return err
			}
			d, err := a.diagnose(c.Context())
			if err == nil && fix {
				d, err = a.mend(c.Context(), d)
			}
			if err != nil {
				return err
			}
			if err := a.writeDiagnosis(d, format); err != nil {
				return err
			}
			if len(d.Fixed) > 0 {
				var runs [][]string
				for _, f := range d.Fixed {
					runs = append(runs, f.Run)
				}
				if err := (&session{app: a}).recount(here(shellLines(runs)...)); err != nil {
					return err
				}
			}
			return d.status()
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&fix, "fix", false, "run the commands that mend things and are safe")
	return explained(c)
}

// doctorRunbook is how a person looks at this machine. The checks look at more
// than a few lines can say.
func (a *app) doctorRunbook() runbook.Runbook {
	driver := lab.DriverVagrant
	if s, err := a.identify(); err == nil {
		driver = s.Record().Driver
	}
	l := runbook.Runbook{{Text: "free -m", Why: "memory for the nodes"}, {Text: "df -h .", Why: "room for their disks"}, {Text: "ip addr", Why: "is the lab's subnet in use"}}
	if driver == lab.DriverSandbox {
		return append(l,
			runbook.Command{Text: "command -v runc dockerd docker containerd iptables sshd sudo", Why: "what the nodes run"},
			runbook.Command{Text: "grep -w -e overlay /proc/filesystems", Why: "their root file system"},
			runbook.Command{Text: "lsmod | grep -w -e ip_vs -e vxlan", Why: "the routing mesh, overlay networks"})
	}
	return append(l,
		runbook.Command{Text: "vagrant --version"},
		runbook.Command{Text: "vagrant plugin list", Why: "a provider may be a plugin"},
		runbook.Command{Text: "VBoxManage --version", Why: "VirtualBox (of libvirt: virsh --connect qemu:///system version)"},
		runbook.Command{Text: "grep -E -o -m 1 'vmx|svm' /proc/cpuinfo", Why: "hardware virtualization"})
}

// rehearseMending is the dry run of doctor --fix: what it would run first. A
// mended thing may show another one.
func (a *app) rehearseMending(ctx context.Context) error {
	d, err := a.diagnose(ctx)
	if err != nil {
		return err
	}
	var runs [][]string
	for {
		_, run := nextFix(d.Checks, d.Fixed)
		if run == nil {
			lines := shellLines(runs)
			var plan []string
			for _, line := range lines {
				plan = append(plan, "run "+line)
			}
			return (&session{app: a}).rehearse(plan, here(lines...))
		}
		d.Fixed = append(d.Fixed, fixed{Run: run})
		runs = append(runs, run)
	}
}

func shellLines(runs [][]string) []string {
	out := make([]string, len(runs))
	for i, run := range runs {
		out[i] = runbook.Line(run...)
	}
	return out
}

// status is the exit status: everything has been said.
func (d *diagnosis) status() error {
	for _, c := range d.Checks {
		if c.ID == labsCheck && c.Verdict == machine.VerdictFailure {
			return remoteError(trouble.ExitConfig)
		}
	}
	if d.count(machine.VerdictFailure) > 0 {
		return remoteError(trouble.ExitRequirement)
	}
	return nil
}

const labsCheck = "labs-yaml"

// diagnose makes all checks. One that needs what an earlier one found missing
// is left out.
func (a *app) diagnose(ctx context.Context) (*diagnosis, error) {
	d := &diagnosis{Checks: []machine.Check{}}
	labs := machine.Check{ID: labsCheck, What: "labs.yaml"}
	wanted, err := a.choice()
	var invalid *lab.InvalidError
	switch {
	case errors.As(err, &invalid):
		d.add(labs.Failure(err.Error(), machine.Advise("fix it and check again: dcalab config validate")))
		return d, nil
	case err != nil:
		return nil, err
	}
	file, l := wanted.File, wanted.Lab
	d.Lab = l.Name
	if len(file.Warnings) == 0 {
		d.add(labs.OK(labsession.FileName(file) + " is valid"))
	} else {
		var words []string
		for _, w := range file.Warnings {
			words = append(words, w.String())
		}
		d.add(labs.Warning(strings.Join(words, "; ")))
	}

	set := a.lab()
	root, err := set.Root(file)
	if err != nil {
		return nil, err
	}
	state := machine.Check{ID: "state-folder", What: "state folder"}
	opened, err := set.Hold(wanted, root, l.Name)
	s := &session{app: a, Session: opened}
	if err == nil {
		err = canWrite(s.State().Dir())
	}
	if err != nil {
		d.add(state.Failure(err.Error(), stateFixes(root, l.Name, err)...))
		return d, nil
	}
	d.add(state.OK(s.State().Dir()), otherLabs(root, l, s.Owner()), a.checkOrphans())

	driver, err := s.diagnoseDriver()
	d.add(driver)
	if err != nil {
		return d, nil //nolint:nilerr // the check says it
	}
	d.Driver = s.Record().Driver
	if s.Record().Driver == lab.DriverVagrant {
		e := vagrant.Examination{
			Lab: l, Flag: a.settings.GetString("provider"), ID: s.Record().ID, Dir: s.State().Dir(), Created: s.Created(), Full: true,
		}
		if s.Created() {
			e.Provider = s.Record().Provider
		}
		d.Provider = e.Provider
		if d.Provider == "" {
			d.Provider, _, _ = vagrant.PickProvider(os.Getenv, e.Flag, l.Provider) // its error is a check
		}
		d.add(vagrant.Examine(ctx, e)...)
	}
	if err := s.UseDriver(); err != nil {
		return nil, err
	}
	if examiner, ok := s.Driver().(machine.Examiner); ok && s.Record().Driver != lab.DriverVagrant {
		d.add(examiner.Examine(ctx)...)
	}
	if s.Created() {
		d.add(s.swarmChecks(ctx)...)
	}
	return d, ctx.Err()
}

// diagnoseDriver says which driver is looked at, and why: the one that a flag
// or the environment names even if the lab was made by the other.
func (s *session) diagnoseDriver() (machine.Check, error) {
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
	driver := kind.Name
	if err != nil {
		var fixes []machine.Fix
		for _, next := range trouble.Advice(err) {
			fixes = append(fixes, machine.Advise(next))
		}
		return c.Failure(err.Error(), fixes...), err
	}
	if s.Created() {
		return c.OK(driver + ": the lab was made by it"), nil
	}
	s.AsIfNew(driver)
	if want != lab.DriverAuto {
		return c.OK(driver + ": " + from), nil
	}
	_, usable, why := vagrant.Usable(os.Getenv, s.Lab().Provider)
	if usable && driver != lab.DriverVagrant {
		why = "it is what auto takes here"
	}
	return c.OK(driver + ": " + why), nil
}

// canWrite tries to put a file into a folder, or into the nearest above it that
// exists.
func canWrite(dir string) error {
	for {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
			break
		}
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, ".dcalab-doctor-*")
	if err != nil {
		return fmt.Errorf("nothing can be written to %s: %w", dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// stateFixes mends a state folder that is not trusted. Shutting others out is
// enough only where they have put nothing in yet.
func stateFixes(root, name string, err error) []machine.Fix {
	var fixes []machine.Fix
	var t *trouble.Error
	if errors.As(err, &t) && t.ID == "state-not-trusted" {
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
	for _, next := range trouble.Advice(err) {
		fixes = append(fixes, machine.Advise(next))
	}
	return fixes
}

// otherLabs looks for a lab of the same folder whose subnet overlaps: only one
// of the two can be up at a time.
func otherLabs(root string, l *lab.Lab, o lab.Owner) machine.Check {
	c := machine.Check{ID: "other-labs", What: "other labs"}
	entries, err := os.ReadDir(filepath.Join(root, lab.StateFolder))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return c.Unknown(err.Error())
	}
	others := 0
	for _, e := range entries {
		if !e.IsDir() || e.Name() == l.Name {
			continue
		}
		state, err := lab.OpenState(root, e.Name(), o)
		if err != nil {
			continue
		}
		r, created, err := state.ReadRecord()
		if err != nil || !created {
			continue
		}
		others++
		if p, err := netip.ParsePrefix(r.Subnet); err == nil && p.Overlaps(l.Subnet) {
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
func (a *app) checkOrphans() machine.Check {
	c := machine.Check{ID: "orphaned-labs", What: "labs without a folder"}
	var words []string
	for _, p := range a.lab().OrphanedLabs() {
		words = append(words, fmt.Sprintf("the folder of lab %s, %s, is gone or holds it no more, and its machines are still there", p.Lab, p.Root))
	}
	if len(words) == 0 {
		return c.OK("there are none")
	}
	return c.Warning(strings.Join(words, "; "), machine.Advise("remove them, with all that is on them: dcalab prune"),
		machine.Advise("of one that was moved: dcalab status in its folder"))
}

// mend runs the safe commands of the checks, each shown first and once, and
// looks again, until there is nothing left to run.
func (a *app) mend(ctx context.Context, d *diagnosis) (*diagnosis, error) {
	s := &session{app: a}
	var done []fixed
	for {
		c, run := nextFix(d.Checks, done)
		if run == nil {
			break
		}
		s.note("fix %s: %s", c.What, runbook.Line(run...))
		f := fixed{Check: c.ID, Run: run}
		cmd := exec.CommandContext(ctx, run[0], run[1:]...)
		cmd.WaitDelay = time.Second
		// What it says is part of the story, not of the result.
		cmd.Stdin, cmd.Stdout, cmd.Stderr = a.streams.In, a.streams.Err, a.streams.Err
		if err := cmd.Run(); err != nil {
			f.Error = err.Error()
			s.note("that failed: %v", err)
		}
		done = append(done, f)
		var err error
		if d, err = a.diagnose(ctx); err != nil {
			return nil, err
		}
	}
	if len(done) == 0 && d.count(machine.VerdictOK) < len(d.Checks) {
		s.note("nothing here can be fixed automatically")
	}
	d.Fixed = done
	return d, nil
}

// nextFix gives the first safe command that was not run yet, as it will be
// run: root needs no sudo.
func nextFix(checks []machine.Check, done []fixed) (machine.Check, []string) {
	for _, c := range checks {
		if c.Verdict == machine.VerdictOK {
			continue
		}
		for _, f := range c.Fixes {
			run := f.Run
			if len(run) > 1 && run[0] == "sudo" && os.Geteuid() == 0 {
				run = run[1:]
			}
			if len(run) > 0 && !slices.ContainsFunc(done, func(d fixed) bool { return slices.Equal(d.Run, run) }) {
				return c, run
			}
		}
	}
	return machine.Check{}, nil
}

func (a *app) writeDiagnosis(d *diagnosis, format ui.Format) error {
	for _, c := range d.Checks {
		for i, f := range c.Fixes {
			if f.Run == nil {
				c.Fixes[i].Text = a.hint(f.Text)
			}
		}
	}
	return a.print(format, ui.Listing{
		Document: d, Rows: d.Checks, Key: "id",
		Table: func(w io.Writer, _ bool) error {
			text, err := d.table(a.outColor())
			if err == nil {
				_, err = io.WriteString(w, a.hint(string(text)))
			}
			return err
		},
	})
}

// table is a line for each check, with what would mend it below, and a last
// line that sums up.
func (d *diagnosis) table(color bool) ([]byte, error) {
	var rows [][]string
	for _, c := range d.Checks {
		rows = append(rows, []string{string(c.Verdict), c.What, c.Why})
	}
	var lines, b bytes.Buffer
	if err := ui.Table(&lines, nil, rows, color); err != nil {
		return nil, err
	}
	marked := false
	for i, line := range strings.SplitAfter(strings.TrimRight(lines.String(), "\n")+"\n", "\n") {
		b.WriteString(line)
		if i >= len(d.Checks) || d.Checks[i].Verdict == machine.VerdictOK {
			continue
		}
		for _, f := range d.Checks[i].Fixes {
			mark := ""
			if f.Run != nil {
				mark, marked = "   (--fix)", true
			}
			fmt.Fprintf(&b, "          → %s%s\n", f.Text, mark)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", d.summary(marked))
	return b.Bytes(), nil
}

func (d *diagnosis) summary(marked bool) string {
	parts := []string{}
	for _, v := range []machine.Verdict{machine.VerdictFailure, machine.VerdictWarning, machine.VerdictUnknown} {
		switch n := d.count(v); {
		case n == 1:
			parts = append(parts, "1 "+string(v))
		case n > 1 && v != machine.VerdictUnknown:
			parts = append(parts, fmt.Sprintf("%d %ss", n, v))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	sum := fmt.Sprintf("%d checks", len(d.Checks))
	if len(d.Checks) == 1 {
		sum = "1 check"
	}
	if len(parts) > 0 {
		sum += ": " + strings.Join(parts, ", ")
	}
	switch {
	case d.count(machine.VerdictFailure) == 0:
		sum += "; nothing stops dcalab up"
	case marked:
		sum += "; dcalab doctor --fix runs what is marked"
	}
	return sum
}
