package vagrant

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// failure is one thing that went wrong in a run of Vagrant. A run in which
// machines were worked on at once has several.
type failure struct {
	// GOOS of this machine, as in package runtime.
	GOOS     string
	Provider string
	// Node is the short name of the machine; empty where it is about none, or
	// Vagrant did not say.
	Node string
	// Class of Vagrant's error; empty where only the text is known.
	Class string
	// Text as Vagrant or Ruby printed it.
	Text string
	// found are the submatches of the cause's pattern in the text with its
	// white space folded.
	found []string
}

// cause is an entry of the catalogue: a failure that is known.
type cause struct {
	// ID is that of the trouble.Error.
	ID string
	// What went wrong, in a few words.
	What string
	// Classes of Vagrant's errors that mean this and nothing else, without
	// their modules ("VMBootTimeout"). They count only where no entry's Text
	// matches: what a program below Vagrant said is nearer to the cause. Of two
	// entries whose Text matches, the first counts.
	Classes []string
	// Text is a regular expression, blind to case, for the text with its white
	// space folded: Vagrant breaks its lines in other places from version to
	// version, and loses the class where machines failed at once.
	Text string
	// Machine tells that it is about one machine, and not about this host.
	Machine bool
	// Next gives what to do now, as trouble.Error has it.
	Next func(failure) []string
	Exit int
}

// The entries on which the driver acts.
const (
	idBootTimeout = "vagrant-boot-timeout"
	idLocked      = "vagrant-locked"
)

// explain turns a failed run of Vagrant into errors that a person can act on:
// one *trouble.Error per cause, and per node where the cause is a node's, all
// joined. It is nil where nothing failed.
func explain(o outcome) error { return newCatalogue().explain(runtime.GOOS, o) }

// explain is explain for any operating system.
func (c catalogue) explain(goos string, o outcome) error {
	var errs []error
	seen := map[[2]string]bool{}
	for _, f := range o.failures(goos) {
		e := c.known(f)
		if e == nil {
			e = o.unknown(f)
		}
		if key := [2]string{e.ID, e.Where}; !seen[key] {
			seen[key] = true
			errs = append(errs, e)
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// bootTimeouts names the nodes that did not answer Vagrant in time. They may
// answer now: a slow machine boots longer than Vagrant waits.
func (o outcome) bootTimeouts() []string {
	var nodes []string
	for _, f := range o.failures(runtime.GOOS) {
		if f.timedOut() && f.Node != "" && !slices.Contains(nodes, f.Node) {
			nodes = append(nodes, f.Node)
		}
	}
	return nodes
}

// onlyBootTimeouts tells that nothing failed but the boot of bootTimeouts, so
// that the run was a success where they all answer.
func (o outcome) onlyBootTimeouts() bool {
	all := o.failures(runtime.GOOS)
	return len(all) > 0 && !slices.ContainsFunc(all, func(f failure) bool { return !f.timedOut() || f.Node == "" })
}

// locked tells that another Vagrant is working on a machine of the lab, or on
// something that all machines share.
func (o outcome) locked() bool { return newCatalogue().locked(o) }

func (c catalogue) locked(o outcome) bool {
	return slices.ContainsFunc(o.failures(runtime.GOOS), func(f failure) bool {
		i := c.find(&f)
		return i >= 0 && c.causes[i].ID == idLocked
	})
}

// timedOut also holds where the guest refused the key, which Vagrant takes for
// a boot that is not finished.
func (f failure) timedOut() bool {
	return f.class() == "VMBootTimeout" || strings.HasPrefix(fold(f.Text), "Timed out while waiting for the machine to boot.")
}

// class is the name of the class without its modules.
func (f failure) class() string { return f.Class[strings.LastIndexByte(f.Class, ':')+1:] }

// catalogue is every known cause, with its pattern.
type catalogue struct {
	causes   []cause
	patterns []*regexp.Regexp // nil where the cause has no Text
}

func newCatalogue() catalogue {
	c := catalogue{causes: slices.Concat(providerCauses(), processorCauses(), libvirtCauses(), boxCauses(), machineCauses(), vagrantCauses())}
	for _, k := range c.causes {
		var p *regexp.Regexp
		if k.Text != "" {
			p = regexp.MustCompile("(?i)" + k.Text)
		}
		c.patterns = append(c.patterns, p)
	}
	return c
}

// find gives the index of a failure's cause, or -1, and notes what its pattern
// found.
func (c catalogue) find(f *failure) int {
	text := fold(f.Text)
	for i, p := range c.patterns {
		if p == nil {
			continue
		}
		if found := p.FindStringSubmatch(text); found != nil {
			f.found = found
			return i
		}
	}
	return slices.IndexFunc(c.causes, func(k cause) bool { return slices.Contains(k.Classes, f.class()) })
}

// known gives nil for a failure that is not in the catalogue.
func (c catalogue) known(f failure) *trouble.Error {
	i := c.find(&f)
	if i < 0 {
		return nil
	}
	k := c.causes[i]
	e := &trouble.Error{ID: k.ID, What: k.What, Why: telling(f.Text, c.patterns[i]), Next: k.Next(f), Exit: k.Exit}
	if k.Machine {
		e.Where = f.Node
	}
	return e
}

// lastWords is how many lines of Vagrant's an unknown failure shows.
const lastWords = 10

// unknown says what Vagrant said.
func (o outcome) unknown(f failure) *trouble.Error {
	status := fmt.Sprintf("exit status %d", o.Exit)
	if f.Class != "" {
		status += ", " + f.Class
	}
	lines := o.words(f)
	e := &trouble.Error{
		ID: "vagrant-failed", Where: f.Node, What: "vagrant " + strings.Join(o.Args, " "), Exit: trouble.ExitFailure,
		Err: errors.New(strings.Join(append([]string{status}, lines[max(0, len(lines)-lastWords):]...), "\n")),
	}
	if o.Log != "" {
		e.Next = append(e.Next, "read everything that Vagrant said: "+o.Log)
	}
	e.Next = append(e.Next, "see the state of the machines: dcalab status", "try again: what is done is not done twice")
	return e
}

// words are the lines of a failure, or of all that Vagrant said where it is
// told by no error, without what says nothing.
func (o outcome) words(f failure) []string {
	text := f.Text
	if f.Class == "" {
		var all []string
		for _, s := range o.Said {
			all = append(all, s.Text)
		}
		text = strings.Join(all, "\n")
	}
	var lines []string
	for line := range strings.Lines(trouble.Redact(text)) {
		line = strings.TrimRight(line, " \r\n")
		if strings.TrimSpace(line) == "" || noise(line) || slices.Contains(lines, line) {
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// noise tells that a line helps nobody: progress, a place in Ruby's call
// stack, the announcement of an error.
func noise(line string) bool {
	line = strings.TrimSpace(line)
	return strings.HasPrefix(line, "Progress: ") || strings.HasPrefix(line, "from /") ||
		strings.HasSuffix(line, "The error will be shown after all tasks complete.") ||
		strings.HasSuffix(line, "at a very early stage:") ||
		stackLine.MatchString(line)
}

var stackLine = regexp.MustCompile("^(from )?\\S+\\.rb:\\d+:in [`'][^']*'$")

// failures takes a run apart: its errors, those of a batch one by one; or,
// where Vagrant fell before it could speak of an error, what it printed.
func (o outcome) failures(goos string) []failure {
	var all []failure
	for _, e := range o.Errors {
		f := failure{GOOS: goos, Provider: o.Provider, Node: e.Node, Class: e.Class, Text: trouble.Redact(e.Message)}
		if parts := batch(f); len(parts) > 0 {
			all = append(all, parts...)
			continue
		}
		f.Node = cmp.Or(f.Node, o.subject(f.Text))
		all = append(all, f)
	}
	for i, f := range all {
		if f.timedOut() {
			all[i].Text += o.lastWarning(f.Node)
		}
	}
	if len(all) > 0 || o.Exit == 0 {
		return all
	}
	var printed []string
	for _, s := range o.Said {
		if s.Kind == "error" || s.Kind == "warn" || s.Kind == "stdout" || s.Kind == "stderr" {
			printed = append(printed, s.Text)
		}
	}
	text := trouble.Redact(strings.Join(printed, "\n"))
	return []failure{{GOOS: goos, Provider: o.Provider, Node: o.subject(text), Text: text}}
}

var batchHeader = regexp.MustCompile(`An (?:unexpected )?error occurred (?:while|when) executing the action on the\s+'([^']+)'\s+machine\. Please (?:handle this error then try again|report this as a bug):`)

// batch takes apart the error of machines that were worked on at once
// (lib/vagrant/batch_action.rb): their classes are lost, their texts are not.
func batch(f failure) []failure {
	if f.class() != "BatchMultiError" {
		return nil
	}
	var parts []failure
	found := batchHeader.FindAllStringSubmatchIndex(f.Text, -1)
	for i, m := range found {
		end := len(f.Text)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		part := f
		part.Node, part.Class, part.Text = f.Text[m[2]:m[3]], "", strings.TrimSpace(f.Text[m[1]:end])
		parts = append(parts, part)
	}
	return parts
}

var namedMachine = regexp.MustCompile(`(?:back the machine|on the machine) '([^']+)'`)

// subject is the machine that Vagrant worked on last, or that the text names.
func (o outcome) subject(text string) string {
	if m := namedMachine.FindStringSubmatch(fold(text)); m != nil {
		return m[1]
	}
	for _, s := range slices.Backward(o.Said) {
		// Where no machine is meant, boxes are added by one of this name.
		if s.Node != "" && s.Node != "box" {
			return s.Node
		}
	}
	return ""
}

// lastWarning is the last reason that Vagrant had for trying again to reach a
// machine, or nothing.
func (o outcome) lastWarning(node string) string {
	for _, s := range slices.Backward(o.Said) {
		_, reason, ok := strings.Cut(s.Text, "Warning: ")
		if ok && s.Node == node && strings.HasSuffix(strings.TrimSpace(reason), "Retrying...") {
			return "\n\nWarning: " + reason
		}
	}
	return ""
}

// say is advice that holds everywhere.
func say(lines ...string) func(failure) []string {
	return func(failure) []string { return lines }
}

// on is advice by operating system; others get Linux's.
func on(linux, darwin, windows []string) func(failure) []string {
	return func(f failure) []string {
		switch f.GOOS {
		case "darwin":
			return darwin
		case "windows":
			return windows
		}
		return linux
	}
}
