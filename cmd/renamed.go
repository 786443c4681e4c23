package cmd

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dcalab/dcalab/lab"
)

// keptLab is the file of a lab's folder that holds the lab as labs.yaml had it
// when it was last brought up. By it a lab is still known whose name labs.yaml
// no longer has.
const keptLab = "lab.yaml"

// keep writes the lab as it is now into its folder.
func (s *session) keep() error { return s.state.WriteFile(keptLab, s.lab.YAML(), 0o600) }

// kept gives a lab that exists in the folder of a labs.yaml which does not have
// it any more, as it was when it was last brought up; ok is false where there is
// none, or nothing was kept of it.
func (a *app) kept(file *lab.File, name string) (l *lab.Lab, ok bool) {
	dir, err := os.Getwd()
	if err != nil || name == "" {
		return nil, false
	}
	root, err := lab.StateRoot(file, dir, owner())
	if err != nil {
		return nil, false
	}
	state, err := lab.OpenState(root, name, owner())
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

// lost says how a lab is reached that lies in the folder of a labs.yaml which
// does not have it.
func (a *app) lost(file *lab.File, name string) string {
	switch _, ok := a.kept(file, name); {
	case ok:
		return fmt.Sprintf("lab %s is here, and no longer in %s: dcalab --lab %s status; to remove it: dcalab --lab %s destroy", name, place(file), name, name)
	case file.Path != "" && a.builtIn(name):
		return fmt.Sprintf("lab %s is here, but not in %s: move that file away to reach it", name, place(file))
	default:
		return fmt.Sprintf("lab %s is here, and not in %s: put it back there under this name, or name the file that it was made from: dcalab --config FILE --lab %s status", name, place(file), name)
	}
}

// forgotten says which labs lie in the folder of a labs.yaml that does not have
// them.
func (s *session) forgotten() []string {
	var out []string
	for _, other := range made(filepath.Dir(s.state.Dir())) {
		if _, err := s.file.Lab(other); err != nil {
			out = append(out, s.app.lost(s.file, other))
		}
	}
	return out
}

// neighbours says which other labs lie in the folder of this one's labs.yaml, and
// in which other folders one of its name does, each with its command.
func (s *session) neighbours() []string {
	out := s.forgotten()
	for _, other := range made(filepath.Dir(s.state.Dir())) {
		if _, err := s.file.Lab(other); err == nil && other != s.lab.Name {
			out = append(out, "another lab is here: dcalab --lab "+other+" status")
		}
	}
	return append(out, s.namesakes()...)
}

// namesakes are labs of this one's name in other folders, as list knows them.
func (s *session) namesakes() []string {
	const most = 3
	index, err := lab.OpenIndex(os.Getenv, s.owner)
	if err != nil {
		return nil
	}
	places, _, err := index.Places()
	if err != nil {
		return nil
	}
	here := s.place().Real()
	var out []string
	more := 0
	for _, p := range places {
		switch {
		case p.Lab != s.lab.Name || p.Root == here.Root:
		case len(out) == most:
			more++
		default:
			out = append(out, fmt.Sprintf("lab %s is in %s: %s status", p.Lab, p.Root, elsewhere(p)))
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("and in %d more: dcalab list", more))
	}
	return out
}
