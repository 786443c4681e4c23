package session

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine/drivers"
	"github.com/dcalab/dcalab/trouble"
)

// Settings say which lab is meant, and who asks. The zero value of each means
// its default.
type Settings struct {
	// Dir is the folder that labs.yaml is looked for in, and above; empty is the
	// one that the program runs in.
	Dir string
	// Config is the labs.yaml that was named; empty means the nearest, else the
	// built-in one.
	Config string
	// Input is where a labs.yaml is read that was named "-"; nil reads none.
	Input func() ([]byte, error)
	// Lab is its name in labs.yaml; empty means the default one.
	Lab string
	// Driver and Provider, where something other than labs.yaml sets them.
	Driver, Provider Choice
	// Builtin is the text of the labs.yaml that is in force where there is none.
	Builtin []byte
	// Template of the Vagrantfile.
	Template string
	// Getenv reads the environment; nil is the program's own.
	Getenv func(string) string
	// User is who the state folder belongs to: under sudo, the user behind it.
	User lab.Owner
	// Command is what was typed, for the lab's log and for whoever waits for the
	// lock.
	Command string
	// ReadOnly: nothing is changed, and Lock refuses.
	ReadOnly bool
	// Watching: the lab is opened again and again, and its log would only grow.
	Watching bool
	// Warn is told what does not keep the lab from being opened; may be nil.
	// The same line may come again.
	Warn func(line string)
}

// Choice is a setting that overrides labs.yaml, and where it comes from, in a
// few words ("flag --driver").
type Choice struct{ Value, Origin string }

// ChoiceError is a value that a setting cannot have.
type ChoiceError struct {
	Setting, Value string
	Known          []string
}

func (e *ChoiceError) Error() string {
	return fmt.Sprintf("%q is no %s", e.Value, e.Setting)
}

func (set Settings) warn(line string) {
	if set.Warn != nil {
		set.Warn(line)
	}
}

func (set Settings) getenv(key string) string {
	if set.Getenv != nil {
		return set.Getenv(key)
	}
	return os.Getenv(key)
}

func (set Settings) dir() (string, error) {
	if set.Dir != "" {
		return filepath.Abs(set.Dir)
	}
	return os.Getwd()
}

// Load reads labs.yaml: the one named, the nearest, or the built-in one.
func (set Settings) Load() (*lab.File, error) {
	if set.Config == "-" && set.Input != nil {
		text, err := set.Input()
		if err != nil {
			return nil, err
		}
		return lab.Piped("standard input", text)
	}
	if set.Config != "" {
		return lab.Load(set.Config, set.User)
	}
	dir, err := set.dir()
	if err != nil {
		return nil, err
	}
	found, err := lab.Find(dir, set.User)
	if err != nil {
		return nil, err
	}
	for _, path := range found.Passed {
		set.warn(path + " is not read: it belongs to another user; where you trust it, name it: dcalab --config " + path)
	}
	for _, path := range found.Misspelt {
		if filepath.Dir(path) == dir && len(Made(filepath.Join(dir, lab.StateFolder))) == 0 {
			return nil, misspelt(path)
		}
		set.warn(path + " is not read: the file must be called labs.yaml; rename it, or use it with: dcalab --config " + path)
	}
	if found.Path != "" {
		return lab.LoadFound(found.Path, set.User)
	}
	return set.builtin()
}

func (set Settings) builtin() (*lab.File, error) {
	return lab.Parse("labs.yaml (built in)", set.Builtin)
}

// misspelt refuses to take another lab than the one that lies here.
func misspelt(path string) error {
	name := filepath.Base(path)
	return &trouble.Error{
		ID: "labs-misspelt", Where: path, What: "this file is not read", Why: "dcalab reads labs.yaml, and there is none in this folder",
		Next: []string{"mv " + name + " " + lab.FileName, "or name it each time: dcalab --config " + name, "or, for the built-in lab, take another folder"}, Exit: trouble.ExitConfig,
	}
}

// Wanted is the lab that settings mean, before anything is known of its state.
type Wanted struct {
	File *lab.File
	Lab  *lab.Lab
	// Overrides are the names of the settings that override labs.yaml ("driver",
	// "provider"), and where each comes from.
	Overrides map[string]string
}

// Wanted loads labs.yaml and picks the lab, with what the settings override in
// it.
func (set Settings) Wanted() (Wanted, error) {
	file, err := set.Load()
	if err != nil {
		return Wanted{}, err
	}
	w := Wanted{File: file, Overrides: map[string]string{}}
	if w.Lab, err = file.Lab(set.Lab); err != nil {
		kept, ok := set.kept(file, set.Lab)
		if !ok {
			return Wanted{}, err
		}
		set.warn(fmt.Sprintf("%s no longer has lab %s: using its settings from the last dcalab up", FileName(file), set.Lab))
		w.Lab = kept
	}
	if c := set.Driver; c.Value != "" {
		if known := drivers.Names(); !slices.Contains(known, c.Value) {
			return Wanted{}, &ChoiceError{"driver", c.Value, known}
		}
		w.Lab.Driver, w.Overrides["driver"] = c.Value, c.Origin
	}
	if c := set.Provider; c.Value != "" {
		if known := drivers.Providers(); !slices.Contains(known, c.Value) {
			return Wanted{}, &ChoiceError{"provider", c.Value, known}
		}
		w.Lab.Provider, w.Overrides["provider"] = c.Value, c.Origin
	}
	return w, nil
}

// Root is the folder that holds the states of the labs of a labs.yaml.
func (set Settings) Root(file *lab.File) (string, error) {
	dir, err := set.dir()
	if err != nil {
		return "", err
	}
	return lab.StateRoot(file, dir, set.User)
}

// BuiltIn tells whether the labs.yaml that dcalab carries has a lab.
func (set Settings) BuiltIn(name string) bool {
	file, err := set.builtin()
	if err != nil {
		return false
	}
	_, err = file.Lab(name)
	return err == nil
}

// FileName is how a labs.yaml is called in a sentence.
func FileName(f *lab.File) string {
	if f.Path == "" {
		return "the built-in labs.yaml"
	}
	return f.Path
}
