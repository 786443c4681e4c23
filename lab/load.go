package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/dcalab/dcalab/trouble"
)

// FileName is what Find looks for.
const FileName = "labs.yaml"

// Found is what a search for labs.yaml met.
type Found struct {
	// Path of the file, absolute; empty where there is none.
	Path string
	// Passed are files of that name which belong to other users, and are not
	// read for that: by what they say, programs of their author's would run.
	Passed []string
	// Misspelt are files that were probably meant, in the folders that were
	// searched, and are not read either: labs.yml.
	Misspelt []string
}

// spellings are names that people give to a labs.yaml. Other programs may have
// files of the second kind, which are looked at only in the folder of the search.
func spellings() (sure, likely []string) {
	return []string{"labs.yml", "Labs.yaml", "Labs.yml", "LABS.yaml", "LABS.YAML", "labs.yaml.txt"}, []string{"lab.yaml", "lab.yml"}
}

// Find looks for labs.yaml in dir and in the folders above it, up to the root
// of the file system, and gives the first. Only a file of root's, or of the
// user that dcalab runs as or for, is taken, as git does with its folders; one
// of somebody else's in dir itself is an error, and those above are passed over.
func Find(dir string, owner Owner) (found Found, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return found, fmt.Errorf("look for %s: %w", FileName, err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		path := filepath.Join(at, FileName)
		info, stranger, err := look(path, owner)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			names, likely := spellings()
			if at == dir {
				names = slices.Concat(names, likely)
			}
			for _, name := range names {
				name = filepath.Join(at, name)
				if info, stranger, err := look(name, owner); err == nil && stranger == "" && info.Mode().IsRegular() {
					found.Misspelt = append(found.Misspelt, name)
				}
			}
		case err != nil:
			return found, &trouble.Error{ID: "labs-unreadable", What: "look for " + FileName, Exit: trouble.ExitConfig, Err: err}
		case stranger != "" && at == dir:
			return found, notYours(path, stranger)
		case stranger != "":
			found.Passed = append(found.Passed, path)
		case !info.Mode().IsRegular():
			return found, notAFile(path, "")
		default:
			found.Path = path
			return found, nil
		}
		if at == filepath.Dir(at) {
			return found, nil
		}
	}
}

// look tells what is at a path, and why it is a stranger's: empty where it is
// not. Of a link, both it and what it leads to count.
func look(path string, owner Owner) (info fs.FileInfo, stranger string, err error) {
	if info, err = os.Lstat(path); err != nil {
		return nil, "", err
	}
	if stranger = strangers(info, owner); stranger != "" || info.Mode()&fs.ModeSymlink == 0 {
		return info, stranger, nil
	}
	if info, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("the link %s leads nowhere", path)
	} else if err != nil {
		return nil, "", err
	}
	return info, strangers(info, owner), nil
}

func notYours(path, why string) error {
	return &trouble.Error{
		ID: "labs-not-yours", Where: path, What: "this labs.yaml is not read", Why: why + ", and what it names (boxes, providers) would run as you",
		Next: []string{"whose it is: ls -l " + path, "where you trust it, copy it into a folder of your own", "or name it: dcalab --config " + path}, Exit: trouble.ExitRefused,
	}
}

func notAFile(path, why string) error {
	return &trouble.Error{ID: "labs-not-a-file", Where: path, What: "this is not a file", Why: why, Next: []string{"move it away, or name another one: dcalab --config FILE"}, Exit: trouble.ExitConfig}
}

// Load reads and parses the labs.yaml that a person named: whose it is, and
// whether it is a file or a pipe, is their choice. It is read with the rights of
// owner. Messages name it as path does.
func Load(path string, owner Owner) (*File, error) { return load(path, owner, false) }

// LoadFound is Load for a path that Find gave.
func LoadFound(path string, owner Owner) (*File, error) { return load(path, owner, true) }

// Piped is a labs.yaml whose text came through a pipe: no folder is that of its
// labs. name is what messages call it.
func Piped(name string, data []byte) (*File, error) {
	f, err := Parse(name, data)
	if err == nil {
		f.Path, f.piped = name, true
	}
	return f, err
}

func load(path string, owner Owner, found bool) (*File, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	data, info, err := ReadInput(path, MaxSize, owner)
	var unfit *InputError
	switch {
	case errors.As(err, &unfit) && unfit.Size > 0:
		return nil, invalid(path, []Problem{tooLong(unfit.Size)})
	case errors.As(err, &unfit):
		return nil, notAFile(path, unfit.Why)
	case err != nil:
		e := &trouble.Error{ID: "labs-unreadable", What: "read the labs", Exit: trouble.ExitConfig, Err: err}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			e.Next = []string{"dcalab init    # writes a labs.yaml to start from"}
		case errors.Is(err, os.ErrDeadlineExceeded):
			e.Why = "no data arrived in time, and the input was not closed"
			e.Next = []string{"use a file instead, or check the program that writes to this pipe: dcalab --config FILE"}
		default:
			e.Next = []string{"name a file that you may read: dcalab --config FILE", "who may read it: ls -l " + path}
		}
		return nil, e
	case found: // it may have been replaced since it was found
		if why := strangers(info, owner); why != "" {
			return nil, notYours(path, why)
		}
		if !info.Mode().IsRegular() {
			return nil, notAFile(path, "")
		}
	}
	f, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	f.Path, f.piped = abs, !info.Mode().IsRegular()
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
		Why:  "it has " + firstOf(names, ", "),
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
