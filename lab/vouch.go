package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/dcalab/dcalab/trouble"
)

// Check refuses a state folder with anything in it that is neither a plain file
// nor a folder, and a private key that others may read: whoever has seen it can
// log in to the nodes. A lab without a folder passes.
func (s *State) Check() error {
	dir, err := s.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return fmt.Errorf("look into %s: %w", s.Dir(), err)
	}
	for _, e := range entries {
		info, err := dir.Lstat(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // another dcalab has just replaced it
		}
		if err != nil {
			return fmt.Errorf("look into %s: %w", s.Dir(), err)
		}
		if why := unplain(info); why != "" && !info.IsDir() {
			return notTrusted(s.path(e.Name()), why)
		}
		switch e.Name() {
		case recordFile, knownHostsFile, identityFile, identityFile + ".pub", sshConfigFile, holderFile:
			if why := unplain(info); why != "" {
				return notTrusted(s.path(e.Name()), why)
			}
			if info.Size() > stateMax {
				return notTrusted(s.path(e.Name()), fmt.Sprintf("it is larger than %d bytes, which none of dcalab's is", stateMax))
			}
		}
		if e.Name() == oldNodesFolder {
			// That of a lab of virtual machines is empty.
			if in, err := fs.ReadDir(dir.FS(), oldNodesFolder); err != nil || len(in) > 0 {
				return oldRelease(s)
			}
		}
		if e.Name() != identityFile {
			continue
		}
		if why := exposed(info, s.owner); why != "" {
			return &trouble.Error{
				ID: "identity-exposed", Where: s.Identity(), What: "the key of lab " + s.lab + " is not used", Why: why,
				Next: []string{"if only you had access to it: chmod 600 " + s.Identity(), "if others may have read it, do that, and make the lab anew: dcalab destroy, dcalab up"},
				Exit: trouble.ExitRefused,
			}
		}
	}
	return nil
}

// RootOwned tells whether the lab's folder is there and root's: then so is the
// lab, whoever runs dcalab through sudo.
func (s *State) RootOwned() bool {
	dir, err := s.open(false)
	if err != nil {
		return false
	}
	defer dir.Close()
	info, err := dir.Stat(".")
	return err == nil && belongs(info, Owner{})
}

// Vouch refuses a lab that this machine did not make: a state folder of a
// cloned repository or of another machine would have its author's programs run,
// keys trusted and machines destroyed. known are the places at which the index,
// or root, remembers labs of r's id. Where that is another place only, which
// the lab has left, the lab was moved, and moved is true; where it is there
// still, this one is a copy, and refused.
func (s *State) Vouch(r Record, known []Place) (moved bool, err error) {
	here := Place{Root: s.root, Lab: s.lab}.Real()
	refuse := func(id, why string, next ...string) error {
		return &trouble.Error{ID: id, What: "the lab in " + s.Dir() + " is not used", Why: why, Next: next, Exit: trouble.ExitRefused}
	}
	for _, p := range known {
		if p = p.Real(); p.Root == here.Root && p.Lab == here.Lab {
			return false, nil
		}
	}
	if len(known) == 0 {
		return false, refuse("state-foreign", "its id, "+r.ID+", belongs to no lab that you made on this machine: the folder came with a repository, an archive or a copy from elsewhere",
			"move it away, and make a lab of your own: mv "+s.Dir()+" "+filepath.Join(s.root, s.lab+".foreign")+"; dcalab up")
	}
	for _, p := range known {
		at, err := OpenState(p.Root, p.Lab, s.owner)
		if err == nil {
			var other Record
			var ok bool
			if other, ok, err = at.ReadRecord(); err == nil && (!ok || other.ID != r.ID) {
				continue
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return false, refuse("state-copied", "it is a copy of the lab in "+p.Root+", and the machines belong to that lab",
			"work on that one: cd "+p.Root, "a lab of its own for this folder: rm -r "+s.Dir()+"; dcalab up")
	}
	return true, nil
}

// oldRelease is said of a sandbox lab of the first release, whose nodes' disks are
// here, where others than root can put something in their place.
func oldRelease(s *State) error {
	return &trouble.Error{
		ID: "state-old", What: "the lab in " + s.Dir() + " is not used", Exit: trouble.ExitRefused,
		Why: "there are disks of nodes in " + s.path(oldNodesFolder) + ", as an earlier dcalab kept them; this one keeps them where root alone can write",
		Next: []string{
			"remove the lab with the dcalab that made it: dcalab destroy",
			"without that one: move the folder away, run dcalab prune, then remove what is in it with sudo",
			"if you made no lab here, the folder came from elsewhere: remove it",
		},
	}
}
