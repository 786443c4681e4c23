package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/dcalab/dcalab/trouble"
)

// FileName is what Find looks for.
const FileName = "labs.yaml"

// Find looks for labs.yaml in dir and in the folders above it, up to the root
// of the file system, and gives the absolute path of the first; ok is false
// where there is none.
func Find(dir string) (path string, ok bool, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", false, fmt.Errorf("look for %s: %w", FileName, err)
	}
	for {
		path := filepath.Join(dir, FileName)
		switch info, err := os.Stat(path); {
		case err == nil && info.Mode().IsRegular():
			return path, true, nil
		case err == nil:
			return "", false, &trouble.Error{ID: "labs-not-a-file", Where: path, What: "this is not a file", Next: []string{"move it away, or name another one: dcalab --config FILE"}, Exit: trouble.ExitConfig}
		case !errors.Is(err, fs.ErrNotExist):
			return "", false, &trouble.Error{ID: "labs-unreadable", What: "look for " + FileName, Exit: trouble.ExitConfig, Err: err}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false, nil
		}
		dir = parent
	}
}

// Load reads and parses the labs.yaml at path. Messages name it as path does.
func Load(path string) (*File, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		e := &trouble.Error{ID: "labs-unreadable", What: "read the labs", Exit: trouble.ExitConfig, Err: err}
		if errors.Is(err, fs.ErrNotExist) {
			e.Next = []string{"dcalab init    # writes a labs.yaml to start from"}
		} else {
			e.Next = []string{"name a file that you may read: dcalab --config FILE", "who may read it: ls -l " + path}
		}
		return nil, e
	}
	f, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	f.Path = abs
	return f, nil
}

// Parse reads a labs.yaml. name is what messages call it. The file is valid as
// a whole or the error is a *trouble.Error (trouble.ExitConfig) that lists
// every problem with its position; the *InvalidError in its chain has them as data.
// File.Path stays empty.
func Parse(name string, data []byte) (*File, error) {
	root, problems := readDocument(data)
	if root == nil {
		return nil, invalid(name, problems)
	}
	s, err := checkStructure(root)
	if err != nil {
		return nil, err
	}
	d := &decoder{bad: s.bad, problems: append(problems, s.problems...)}
	f := d.file(root)
	if len(d.problems) > 0 {
		return nil, invalid(name, d.problems)
	}
	f.name, f.Warnings = name, sorted(d.warnings)
	return f, nil
}

// Lab finds a lab by name; the empty name means the default lab. A name that
// is unknown is answered with the names that are.
func (f *File) Lab(name string) (*Lab, error) {
	if name == "" {
		name = f.Default
	}
	names := make([]string, len(f.Labs))
	for i, l := range f.Labs {
		if l.Name == name {
			return l, nil
		}
		names[i] = l.Name
	}
	e := &trouble.Error{
		ID:   "lab-unknown",
		What: fmt.Sprintf("there is no lab %q in %s", name, f.name),
		Why:  "it has " + oneOf(names),
		Next: []string{"all labs, also those of other folders: dcalab list"},
		Exit: trouble.ExitUsage,
	}
	if near := Nearest(name, names); near != "" {
		e.Why += fmt.Sprintf(" (did you mean %s?)", near)
	}
	return nil, e
}

// decoder turns a document into a File. It passes over what has a problem
// already, so that one mistake is told once and the others are still found.
type decoder struct {
	bad                map[*yaml.Node]bool
	problems, warnings []Problem
}

// found looks up a key and gives its value if that is fit to be decoded.
func (d *decoder) found(n *yaml.Node, key string) (*yaml.Node, bool) {
	v := value(n, key)
	return v, v != nil && v.Kind != yaml.AliasNode && !d.bad[v]
}

func (d *decoder) problem(n *yaml.Node, what, expected string) {
	d.problems = append(d.problems, Problem{n.Line, n.Column, what, expected})
	d.bad[n] = true
}

func (d *decoder) warning(n *yaml.Node, what, expected string) {
	d.warnings = append(d.warnings, Problem{n.Line, n.Column, what, expected})
}
