package session

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// StarterOptions are what is wanted of a labs.yaml to start from.
type StarterOptions struct {
	Managers, Workers int
	Name              string // of the lab; empty names it after the working directory
	Subnet            string // empty is the first that is free
}

// Starter is a labs.yaml to start from, for the working directory, and not yet written.
type Starter struct {
	File   *lab.File
	Subnet netip.Prefix
	// Taken says whose the subnet that was asked for, or else the usual one, is; empty
	// where it is free.
	Taken string

	text  []byte
	asked StarterOptions
}

// Starter gives the labs.yaml that is asked for. It is refused where a lab lives in the
// working directory that the file would hide.
func (s Settings) Starter(o StarterOptions) (Starter, error) {
	st := Starter{asked: o}
	var err error
	if st.Subnet, st.Taken, err = StarterSubnet(o.Subnet, s.Taken()); err != nil {
		return st, err
	}
	if o.Name == "" {
		dir, err := os.Getwd()
		if err != nil {
			return st, err
		}
		o.Name = StarterName(dir, s.Places())
	}
	if st.text, err = lab.Starter(o.Name, o.Managers, o.Workers, st.Subnet); err != nil {
		return st, err
	}
	st.File, err = lab.Parse(lab.FileName, st.text)
	var wrong *lab.InvalidError
	if errors.As(err, &wrong) { // by what was asked for
		return st, trouble.Usage(wrong.Problems[0].What, "expected "+wrong.Problems[0].Expected)
	}
	if err != nil {
		return st, err
	}
	return st, s.hidden()
}

// hidden refuses to write a labs.yaml over the labs of the working directory: those that
// were made from another file, or the built-in one, and would be found no more.
func (s Settings) hidden() error {
	here := Made(lab.StateFolder)
	if _, err := os.Stat(lab.FileName); len(here) == 0 || s.Config != "" || !errors.Is(err, fs.ErrNotExist) {
		return nil // a file that is there is refused when it is written
	}
	e := &trouble.Error{
		ID: "labs-would-be-hidden", What: "write " + lab.FileName,
		Why:  "lab " + strings.Join(here, ", ") + ", made from the built-in file, lives in this folder, and a file here would hide it",
		Next: []string{"write it into another folder, or remove the lab first: dcalab --lab " + here[0] + " destroy"}, Exit: trouble.ExitRefused,
	}
	if !s.BuiltIn(here[0]) {
		e.Why = "lab " + strings.Join(here, ", ") + " lives in this folder, made from another file"
		e.Next = []string{"write it into another folder", "or remove the lab first, with the file that it was made from: dcalab --config FILE --lab " + here[0] + " destroy"}
	}
	return e
}

// Plan says what Write does, and what a person would type for the like.
func (st Starter) Plan() ([]string, runbook.Runbook) {
	return []string{fmt.Sprintf("write %s: %s, %s", lab.FileName, trouble.Count(st.asked.Managers, "manager"), trouble.Count(st.asked.Workers, "worker"))},
		runbook.Runbook{{Text: "vagrant init bento/ubuntu-24.04", Why: "writes a Vagrantfile to start from, as init writes labs.yaml"}}
}

// Absent refuses where Write would find a file.
func (Starter) Absent() error {
	if _, err := os.Lstat(lab.FileName); err == nil {
		return lab.FileExists(lab.FileName)
	}
	return nil
}

// Write writes the file into the working directory. One that is there stays as it is.
func (st Starter) Write() error {
	err := lab.WriteNew(lab.FileName, st.text)
	if errors.Is(err, fs.ErrPermission) {
		return &trouble.Error{
			ID: "folder-not-yours", What: "write " + lab.FileName, Why: "permission denied: you cannot write to this folder",
			Next: []string{"take a folder of your own: mkdir ~/lab && cd ~/lab && dcalab init"}, Err: err,
		}
	}
	return err
}

// StarterName makes a lab's name of its folder's, one that no other lab of this
// user's has: contexts of docker and names for ssh are made of it.
func StarterName(dir string, places []lab.Place) string {
	const longest = 28 // leaves room for a number
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, filepath.Base(dir))
	name = strings.Trim(name[:min(len(name), longest)], "-")
	if name == "" || slices.Contains([]string{"con", "prn", "aux", "nul"}, name) {
		name = "lab"
	}
	for i, candidate := 2, name; ; i++ {
		if !slices.ContainsFunc(places, func(p lab.Place) bool { return p.Lab == candidate && p.Root != dir }) {
			return candidate
		}
		candidate = fmt.Sprintf("%s-%d", name, i)
	}
}

// StarterSubnet gives the subnet for a lab of init's: the one asked for, else the
// first that neither this machine nor a lab of this user has. taken says whose
// the one asked for, or the usual one, is; empty where it is free. What cannot be
// read is taken for nothing: up looks again.
func StarterSubnet(asked string, networks []Taken) (subnet netip.Prefix, taken string, err error) {
	if asked != "" {
		subnet, err := netip.ParsePrefix(asked)
		if err != nil || !subnet.Addr().Is4() || subnet.Bits() < 8 || subnet.Bits() > 24 {
			return subnet, "", trouble.Usage(fmt.Sprintf("--subnet %s is no IPv4 network of /8 to /24", asked), "dcalab init --subnet 10.9.9.0/24")
		}
		return subnet, Whose(subnet, networks), nil
	}
	usual := lab.StarterSubnets()[0]
	for _, subnet := range lab.StarterSubnets() {
		if Whose(subnet, networks) == "" {
			return subnet, Whose(usual, networks), nil
		}
	}
	return usual, "", nil
}
