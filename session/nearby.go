package session

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
)

// keptLab is the file of a lab's folder that holds the lab as labs.yaml had it
// when it was last brought up. By it a lab is still known whose name labs.yaml
// no longer has.
const keptLab = "lab.yaml"

// Keep writes the lab as it is now into its folder. The caller holds the lock.
func (s *OnDisk) Keep() error { return s.state.WriteFile(keptLab, s.lab.YAML(), 0o600) }

// kept gives a lab that exists in the folder of a labs.yaml which does not have
// it any more, as it was when it was last brought up; ok is false where there is
// none, or nothing was kept of it.
func (set Settings) kept(file *lab.File, name string) (l *lab.Lab, ok bool) {
	if name == "" {
		return nil, false
	}
	root, err := set.Root(file)
	if err != nil {
		return nil, false
	}
	state, err := lab.OpenState(root, name, set.User)
	if err != nil {
		return nil, false // not a lab's name, for example
	}
	return keptIn(state, name)
}

func keptIn(state *lab.State, name string) (*lab.Lab, bool) {
	if _, created, err := state.ReadRecord(); err != nil || !created {
		return nil, false
	}
	data, err := state.ReadFile(keptLab)
	if err != nil {
		return nil, false
	}
	file, err := lab.Parse(filepath.Join(state.Dir(), keptLab), data)
	if err != nil {
		return nil, false
	}
	l, err := file.Lab(name)
	return l, err == nil
}

// assume gives a session that Hold opened its labs.yaml, which it is looked up
// in. kept is true where it no longer has the lab: it is then as it was when it
// was last brought up.
func (s *OnDisk) assume(file *lab.File) (kept bool, err error) {
	s.file = file
	name := filepath.Base(s.state.Dir())
	if s.lab, err = file.Lab(name); err != nil {
		if l, ok := keptIn(s.state, name); ok {
			s.lab = l
			return true, nil
		}
	}
	return false, err
}

// Made names the labs that have a record in a folder of states.
func Made(folder string) []string {
	entries, _ := os.ReadDir(folder) // none where there is no such folder
	var labs []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(folder, e.Name(), "lab.json")); err == nil {
			labs = append(labs, e.Name())
		}
	}
	return labs
}

// lost says how a lab is reached that lies in the folder of a labs.yaml which
// does not have it.
func (set Settings) lost(file *lab.File, name string) string {
	switch _, ok := set.kept(file, name); {
	case ok:
		return fmt.Sprintf("lab %s is here, and no longer in %s: dcalab --lab %s status; to remove it: dcalab --lab %s destroy", name, FileName(file), name, name)
	case file.Path != "" && set.BuiltIn(name):
		return fmt.Sprintf("lab %s is here, but not in %s: move that file away to reach it", name, FileName(file))
	default:
		return fmt.Sprintf("lab %s is here, and not in %s: put it back there under this name, or name the file that it was made from: dcalab --config FILE --lab %s status", name, FileName(file), name)
	}
}

// Forgotten says which labs lie in the folder of a labs.yaml that does not have
// them.
func (s *OnDisk) Forgotten() []string {
	var out []string
	for _, other := range Made(filepath.Dir(s.state.Dir())) {
		if _, err := s.file.Lab(other); err != nil {
			out = append(out, s.settings.lost(s.file, other))
		}
	}
	return out
}

// Neighbours says which other labs lie in the folder of this one's labs.yaml, and
// in which other folders one of its name does, each with its command.
func (s *OnDisk) Neighbours() []string {
	out := s.Forgotten()
	for _, other := range Made(filepath.Dir(s.state.Dir())) {
		if _, err := s.file.Lab(other); err == nil && other != s.lab.Name {
			out = append(out, "another lab is here: dcalab --lab "+other+" status")
		}
	}
	const most = 3
	here := s.Place().Real()
	elsewhere := slices.DeleteFunc(placesOf(s.settings, s.owner), func(p lab.Place) bool { return p.Lab != s.lab.Name || p.Root == here.Root })
	for _, p := range elsewhere[:min(most, len(elsewhere))] {
		out = append(out, fmt.Sprintf("lab %s is in %s: %s status", p.Lab, p.Root, CommandFor(p)))
	}
	if more := len(elsewhere) - most; more > 0 {
		out = append(out, fmt.Sprintf("and in %d more: dcalab list", more))
	}
	return out
}

// CommandFor is how a command reaches a lab of another folder; a subcommand
// follows.
func CommandFor(p lab.Place) string {
	if p.Config == "" {
		return runbook.Line("cd", p.Root) + " && " + runbook.Line("dcalab", "--lab", p.Lab)
	}
	return runbook.Line("dcalab", "--config", p.Config, "--lab", p.Lab)
}
