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
// called from several goroutines; other processes are kept out by Lock. It knows
// what the files mean; how they are read and written is the folder's.
type State struct{ folder }

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
	s := &State{folder{writer: writer{owner: owner}, root: root, lab: lab}}
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

// OpenLog opens the lab's log to append to.
func (s *State) OpenLog() (*os.File, error) {
	dir, err := s.open(true)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return s.openToAppend(dir, logFile)
}
