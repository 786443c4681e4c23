package lab

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/dcalab/dcalab/trouble"
)

// EnsureIdentity gives the public half of the lab's SSH key, as a line of
// authorized_keys without its end. The key (ed25519, OpenSSH's format, no
// passphrase) is made when there is none and then stays.
func (s *State) EnsureIdentity() (authorized string, err error) {
	data, err := s.ReadFile(identityFile)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = createIdentity(s)
	}
	if err != nil {
		return "", fmt.Errorf("key of lab %s: %w", s.lab, err)
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return "", &trouble.Error{
			ID:    "identity-corrupt",
			Where: s.Identity(),
			What:  "the key of lab " + s.lab + " cannot be read",
			Why:   "this is not a private key without a passphrase",
			Next:  []string{"restore the file; without it the nodes are out of reach, and only dcalab destroy is left"},
		}
	}
	authorized = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " dcalab-" + s.lab
	public := s.Identity() + ".pub"
	if old, err := s.ReadFile(identityFile + ".pub"); err == nil && string(old) == authorized+"\n" {
		return authorized, nil
	}
	if err := s.WriteFile(identityFile+".pub", []byte(authorized+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("write %s: %w", public, err)
	}
	return authorized, nil
}

// createIdentity makes the key and gives what is in the file: if another call
// was faster, its key.
func createIdentity(s *State) ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "dcalab-"+s.lab)
	if err != nil {
		return nil, err
	}
	data := pem.EncodeToMemory(block)
	dir, err := s.open(true)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	temporary, err := s.temporary(dir, identityFile, data, 0o600)
	if err != nil {
		return nil, err
	}
	// A link, unlike a rename, does not replace a key that nodes know already.
	switch err := dir.Link(temporary, identityFile); {
	case err == nil:
		return data, errors.Join(dir.Remove(temporary), s.syncFolder(dir, identityFile))
	case errors.Is(err, fs.ErrExist):
		if err := dir.Remove(temporary); err != nil {
			return nil, err
		}
		return readPlain(dir, identityFile)
	default: // a file system without links; Lock keeps others out
		return data, s.rename(dir, temporary, identityFile)
	}
}

// PinHost makes key the one host key of alias in the lab's known_hosts.
func (s *State) PinHost(alias string, key ssh.PublicKey) error {
	return s.editKnownHosts(alias, knownhosts.Line([]string{alias}, key)+"\n")
}

// ForgetHost removes the host key of alias from the lab's known_hosts.
func (s *State) ForgetHost(alias string) error {
	return s.editKnownHosts(alias, "")
}

// editKnownHosts drops the lines of alias, adds a new one, and leaves all the
// others as they are.
func (s *State) editKnownHosts(alias, add string) error {
	return s.Edit(knownHostsFile, func(old []byte) ([]byte, error) {
		var edited bytes.Buffer
		for text := range strings.Lines(string(old)) {
			if hosts, _, _ := strings.Cut(strings.TrimSpace(text), " "); hosts == knownhosts.Normalize(alias) {
				continue
			}
			edited.WriteString(strings.TrimRight(text, "\n") + "\n")
		}
		edited.WriteString(add)
		return edited.Bytes(), nil
	})
}

// HostKeys gives the keys that the lab's known_hosts has for alias, none where
// it does not name it.
func (s *State) HostKeys(alias string) ([]ssh.PublicKey, error) {
	rest, err := s.ReadFile(knownHostsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var keys []ssh.PublicKey
	for {
		var hosts []string
		var key ssh.PublicKey
		_, hosts, key, _, rest, err = ssh.ParseKnownHosts(rest)
		if errors.Is(err, io.EOF) {
			return keys, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s.KnownHosts(), err)
		}
		if slices.Contains(hosts, knownhosts.Normalize(alias)) {
			keys = append(keys, key)
		}
	}
}
