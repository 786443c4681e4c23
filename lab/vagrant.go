package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
)

// vagrantFolder is where, beside the index, Vagrant's own folders are.
const vagrantFolder = "vagrant"

// VagrantDir is Vagrant's own folder (VAGRANT_DOTFILE_PATH) for the lab with
// this id. It is in the user's folder for state and not beside labs.yaml:
// Vagrant runs as code what lies in it (plugins.json), and removes the machines
// that it names, so that it must not come with somebody's repository. It may
// not exist yet.
func (x *Index) VagrantDir(id string) string {
	return filepath.Join(filepath.Dir(x.Dir()), vagrantFolder, id)
}

var labID = regexp.MustCompile(`^[a-z0-9]{1,32}$`)

// OpenVagrantDir opens it and, if asked, makes it. It is looked at each time: a
// link, or a folder that others can write to, is an error ("state-not-trusted").
// Absence is fs.ErrNotExist. The caller closes it.
func (x *Index) OpenVagrantDir(id string, create bool) (*os.Root, error) {
	if !labID.MatchString(id) {
		return nil, fmt.Errorf("open Vagrant's folder of a lab: %q is not the id of one", id)
	}
	above := &Index{base: x.base, below: path.Dir(x.below), owner: x.owner}
	all, err := above.open(create)
	if err != nil {
		return nil, fmt.Errorf("open Vagrant's folder of a lab: %w", err)
	}
	defer all.Close()
	f := folder{writer: writer{owner: x.owner}, root: above.Dir(), lab: id} // for its steps alone
	dir, err := f.step(all, vagrantFolder, create)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return f.step(dir, id, create)
}

// RemoveVagrantDir removes it; one that is not there is no error.
func (x *Index) RemoveVagrantDir(id string) error {
	dir, err := x.OpenVagrantDir(id, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := dir.Close(); err != nil {
		return err
	}
	above, err := os.OpenRoot(filepath.Dir(x.VagrantDir(id)))
	if err != nil {
		return fmt.Errorf("remove Vagrant's folder of a lab: %w", err)
	}
	defer above.Close()
	if err := above.RemoveAll(id); err != nil {
		return fmt.Errorf("remove %s: %w", x.VagrantDir(id), err)
	}
	return nil
}
