package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// StateFolder is the folder, beside labs.yaml, in which every lab has a folder
// of its own.
const StateFolder = ".dcalab"

// Owner is the user that the state folder is given to when dcalab runs for
// them as root (SUDO_UID and SUDO_GID). The zero value leaves files to the
// user that dcalab runs as.
type Owner struct{ UID, GID int }

// State is the folder of one lab, .dcalab/<lab>/: what dcalab keeps between
// runs. Everything in it is for its owner's eyes only. Its methods may be
// called from several goroutines; other processes are kept out by Lock.
//
// Root may well write here for a user, in a folder where that user can plant
// links. So folders are opened one below the other (os.Root), neither .dcalab
// nor the lab's folder may be a link or somebody else's, and files are
// replaced by renaming, never written through.
type State struct {
	writer
	root string
	lab  string
}

// StateRoot is the folder whose .dcalab holds the state of the labs of f: that
// of labs.yaml or, for the embedded default, the nearest one at or above dir
// that has a .dcalab of this user's, else dir.
func StateRoot(f *File, dir string, owner Owner) (string, error) {
	if f.piped {
		return "", notAFile(f.Path, "what dcalab keeps of a lab is kept in the folder of its labs.yaml, and a pipe has none")
	}
	if f.Path != "" {
		return filepath.Dir(f.Path), nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("look for %s: %w", StateFolder, err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		// One of somebody else's (/tmp is above many folders) is not meant.
		info, err := os.Lstat(filepath.Join(at, StateFolder))
		if err == nil && info.IsDir() && distrust(info, owner) == "" {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return dir, nil
		}
	}
}

// OpenState gives the state of a lab below root, the folder of its labs.yaml.
// It creates nothing: see Create. A folder that is there and not to be trusted
// is an error.
func OpenState(root, lab string, owner Owner) (*State, error) {
	if lab == "" || lab == "." || !filepath.IsLocal(lab) || strings.ContainsAny(lab, `/\`) {
		return nil, fmt.Errorf("open the state of lab %q: not a name of a lab", lab)
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open the state of lab %s: %w", lab, err)
	}
	s := &State{writer: writer{owner: owner}, root: root, lab: lab}
	dir, err := s.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, &trouble.Error{
			ID: "state-not-yours", What: "open the state of lab " + lab, Why: "permission denied: " + filepath.Join(root, StateFolder),
			Next: []string{"whose it is: ls -ld " + filepath.Join(root, StateFolder), "a lab that root created belongs to root: use sudo", "or a lab of your own, in a folder of your own"},
			Exit: trouble.ExitRequirement, Err: err,
		}
	}
	if err != nil {
		return nil, err
	}
	return s, dir.Close()
}

// Dir is the lab's folder. Like all the paths of a State it is absolute and
// may not exist yet.
func (s *State) Dir() string { return filepath.Join(s.root, StateFolder, s.lab) }

// The files and folders of a lab.
const (
	recordFile     = "lab.json"
	lockFile       = "lock"
	editFile       = "edit.lock"
	holderFile     = "lock.json"
	logFile        = "dcalab.log"
	knownHostsFile = "known_hosts"
	identityFile   = "identity"
	sshConfigFile  = "ssh_config"
	vagrantfile    = "Vagrantfile"
	// oldNodesFolder held the disks of sandbox nodes in the first release.
	oldNodesFolder = "nodes"
)

func (s *State) path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir()}, elem...)...)
}

// SSHConfig is the configuration for plain ssh.
func (s *State) SSHConfig() string { return s.path(sshConfigFile) }

// KnownHosts holds the host keys of the lab's nodes.
func (s *State) KnownHosts() string { return s.path(knownHostsFile) }

// Identity is the lab's private key; Identity + ".pub" the public one.
func (s *State) Identity() string { return s.path(identityFile) }

// Log is the lab's log.
func (s *State) Log() string { return s.path(logFile) }

// Vagrantfile is the rendered one; its folder is where vagrant runs.
func (s *State) Vagrantfile() string { return s.path(vagrantfile) }

// Create makes the lab's folder where it is missing.
func (s *State) Create() error {
	dir, err := s.open(true)
	if err != nil {
		return err
	}
	return dir.Close()
}

// Forget removes everything of the lab but its log, its recordings and its locks. Nothing may
// be mounted below the folder any more; if something is, nothing is removed.
func (s *State) Forget() error {
	dir, err := s.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	mounts, err := MountsBelow(s.Dir())
	if err != nil {
		return fmt.Errorf("look for mounts below %s: %w", s.Dir(), err)
	}
	if len(mounts) > 0 {
		return &trouble.Error{
			ID:   "state-mounted",
			What: "remove " + s.Dir(),
			Why:  "something is still mounted at " + strings.Join(mounts, ", "),
			Next: []string{"dcalab destroy    # once more"},
		}
	}
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return fmt.Errorf("remove %s: %w", s.Dir(), err)
	}
	var errs []error
	for _, e := range entries {
		switch e.Name() {
		case logFile, recordingFile, oldRecordingFile, lockFile, editFile, holderFile, forwardLock, recordingLock, string(Proving), string(Observing):
		default:
			if err := dir.RemoveAll(e.Name()); err != nil {
				errs = append(errs, fmt.Errorf("remove %s: %w", s.path(e.Name()), err))
			}
		}
	}
	return errors.Join(errs...)
}

// WriteFile puts a file into the lab's folder, all of it or nothing, and gives
// it to the owner. name is relative to the folder, with slashes; folders on
// the way are made.
func (s *State) WriteFile(name string, data []byte, perm fs.FileMode) error {
	dir, err := s.open(true)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := s.write(dir, name, data, perm); err != nil {
		return fmt.Errorf("write %s: %w", s.path(name), err)
	}
	return nil
}

// ReadFile reads a file of the lab's folder; one that is absent is
// fs.ErrNotExist.
func (s *State) ReadFile(name string) ([]byte, error) {
	dir, err := s.open(false)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	data, err := readPlain(dir, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.path(name), err)
	}
	return data, nil
}

// OpenLog opens the lab's log to append to.
func (s *State) OpenLog() (*os.File, error) {
	dir, err := s.open(true)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return s.openToAppend(dir, logFile)
}

// openToAppend opens a file of the lab's folder, which is made where it is absent.
func (s *State) openToAppend(dir *os.Root, name string) (*os.File, error) {
	f, err := openPlain(dir, name, os.O_WRONLY|os.O_APPEND)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
		if errors.Is(err, fs.ErrExist) { // another process has just made it
			f, err = openPlain(dir, name, os.O_WRONLY|os.O_APPEND)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.path(name), err)
	}
	if err := s.give(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open opens the lab's folder and, if asked, makes it. Absence is
// fs.ErrNotExist.
func (s *State) open(create bool) (*os.Root, error) {
	base, err := os.OpenRoot(s.root)
	if err != nil {
		return nil, fmt.Errorf("open the state of lab %s: %w", s.lab, err)
	}
	defer base.Close()
	all, err := s.step(base, StateFolder, create)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if create {
		// Keys and tokens of labs are not for anybody's repository.
		if _, err := all.Lstat(".gitignore"); errors.Is(err, fs.ErrNotExist) {
			if err := s.write(all, ".gitignore", []byte("*\n"), 0o600); err != nil {
				return nil, fmt.Errorf("write %s: %w", filepath.Join(s.root, StateFolder, ".gitignore"), err)
			}
		}
	}
	return s.step(all, s.lab, create)
}

// step opens a folder in a folder, after a look at what it is, and looks
// again at what was opened: between the two it can have been swapped.
func (s *State) step(in *os.Root, name string, create bool) (*os.Root, error) {
	full := filepath.Join(in.Name(), name)
	info, err := in.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) && create {
		switch err := in.Mkdir(name, 0o700); {
		case err == nil:
			if err := s.giveNew(in, name); err != nil {
				return nil, fmt.Errorf("give %s to its user: %w", full, err)
			}
			if err := s.syncFolder(in, name); err != nil {
				return nil, fmt.Errorf("make the state folder: %w", err)
			}
		case !errors.Is(err, fs.ErrExist):
			return nil, fmt.Errorf("make the state folder: %w", err)
		}
		info, err = in.Lstat(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open the state of lab %s: %w", s.lab, err)
	}
	refuse := func(why string) error { return notTrusted(full, why) }
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil, refuse("it is a symbolic link")
	}
	if !info.IsDir() {
		return nil, refuse("it is not a folder")
	}
	if why := distrust(info, s.owner); why != "" {
		return nil, refuse(why)
	}
	dir, err := in.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open the state of lab %s: %w", s.lab, err)
	}
	opened, err := dir.Stat(".")
	if err == nil && !os.SameFile(info, opened) {
		err = refuse("it changed while it was opened")
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}
