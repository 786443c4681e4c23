package vagrant

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// dotfile is Vagrant's own folder for the lab, where it keeps its notes on the
// machines.
type dotfile struct {
	id     string
	lab    *lab.Lab
	state  *lab.State
	index  *lab.Index
	memory *memory
	log    io.Writer
}

func (d dotfile) path() string { return d.index.VagrantDir(d.id) }

// legacyDotfile is where it was in earlier releases, below the lab's folder, and
// where Vagrant puts it for a person who types its commands there.
const legacyDotfile = ".vagrant"

// machineIDs gives, for each machine that Vagrant has created, the provider's id
// of it. Vagrant keeps these in files (machines/NAME/PROVIDER/id in its folder)
// and removes them with the machine.
func (d dotfile) machineIDs() (map[string]string, error) {
	ids := map[string]string{}
	dir, err := d.index.OpenVagrantDir(d.id, false)
	if errors.Is(err, fs.ErrNotExist) {
		if dir, err = d.takeOver(); dir == nil {
			return ids, err
		}
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	files, err := fs.Glob(dir.FS(), "machines/*/*/id")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		id, err := dir.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for the machines of lab %s: %w", d.lab.Name, err)
		}
		if len(id) > 0 {
			ids[path.Base(path.Dir(path.Dir(file)))] = strings.TrimSpace(string(id))
		}
	}
	return ids, nil
}

// takeOver is for a lab for which Vagrant has no folder here. An earlier release
// kept it below the lab's own: Vagrant's notes on the machines are moved, once, if
// Vagrant made them on this machine, and nothing else is. (plugins.json, which
// Vagrant would run, stays where it is.) A lab that has had machines, and whose
// folder does not exist, is refused: they would be made a second time.
func (d dotfile) takeOver() (*os.Root, error) {
	old := filepath.Join(d.state.Dir(), legacyDotfile, "machines")
	entries, err := os.ReadDir(old)
	if err != nil || len(entries) == 0 {
		known, err := d.memory.read()
		if err != nil || len(known) == 0 {
			return nil, err
		}
		return nil, &trouble.Error{
			ID: "vagrant-folder-missing", What: "look for the machines of lab " + d.lab.Name,
			Why: "machines were created for it, but Vagrant's records of them are not in " + d.path(),
			Next: []string{
				"if XDG_STATE_HOME or HOME was another one when they were made: set it as it was",
				"if you know that they are gone: remove " + filepath.Join(d.state.Dir(), memoryFile),
			},
			Exit: trouble.ExitRefused,
		}
	}
	refuse := func(err error) error {
		return &trouble.Error{
			ID: "vagrant-folder-refused", What: "take over Vagrant's notes on the machines of lab " + d.lab.Name,
			Why: "an earlier dcalab kept them in " + old + ": " + err.Error(),
			Next: []string{
				"if these machines are yours, put the folder there yourself: " + filepath.Join(d.path(), "machines"),
				"if the folder is not yours, or came with a repository: remove " + filepath.Dir(old),
			},
			Exit: trouble.ExitRefused, Err: err,
		}
	}
	if err := errors.Join(plainTree(filepath.Dir(old)), madeHere(old, realHost().vagrantHome())); err != nil {
		return nil, refuse(err)
	}
	dir, err := d.index.OpenVagrantDir(d.id, true)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(old, filepath.Join(d.path(), "machines")); err != nil {
		// An empty folder would be taken for that of a lab without machines.
		return nil, errors.Join(refuse(err), dir.Close(), d.index.RemoveVagrantDir(d.id))
	}
	fmt.Fprintf(d.log, "Vagrant's notes on the machines are now in %s\n", d.path())
	return dir, nil
}

// madeHere checks that Vagrant has made the machines in a folder of its notes on
// this machine: it keeps a list of all that it makes
// (VAGRANT_HOME/data/machine-index/index), by a random id. So nobody can ship the
// id of a machine of somebody else.
func madeHere(machines, home string) error {
	data, err := os.ReadFile(filepath.Join(home, "data", "machine-index", "index"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var index struct {
		Machines map[string]struct {
			Name     string `json:"name"`
			Provider string `json:"provider"`
		} `json:"machines"`
	}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &index); err != nil {
			return fmt.Errorf("read Vagrant's list of machines: %w", err)
		}
	}
	folder := os.DirFS(machines)
	ids, err := fs.Glob(folder, "*/*/id")
	if err != nil {
		return err
	}
	for _, id := range ids {
		at := path.Dir(id)
		uuid, err := fs.ReadFile(folder, path.Join(at, "index_uuid"))
		m, known := index.Machines[strings.TrimSpace(string(uuid))]
		if err != nil || !known || m.Name != path.Base(path.Dir(at)) || m.Provider != path.Base(at) {
			return fmt.Errorf("machine %s was not made here by Vagrant", path.Base(path.Dir(at)))
		}
	}
	return nil
}

// plainTree finds what is neither a file nor a folder.
func plainTree(root string) error {
	return filepath.WalkDir(root, func(at string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !e.Type().IsRegular() {
			err = fmt.Errorf("%s is neither a file nor a folder", at)
		}
		return err
	})
}
