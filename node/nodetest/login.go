package nodetest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Login is what a client needs to reach the other end. The node is called
// node01.
type Login struct {
	Network, Address string
	User             string
	IdentityFile     string // of the private key
	HostKeyAlias     string
	// KnownHosts is the path of a file that does not exist yet.
	KnownHosts string
}

// WriteKey makes a key, and gives its public half.
func WriteKey(t *testing.T, path string) ssh.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// LearnTo gives a function that appends a host key to the known_hosts file at
// path, made with mode 0600 where it does not exist. It is safe for several
// nodes at once.
func LearnTo(path string) func(alias string, key ssh.PublicKey) error {
	return func(alias string, key ssh.PublicKey) error {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		// One write of one line: appends do not mix on a local file system.
		_, err = f.WriteString(knownhosts.Line([]string{alias}, key) + "\n")
		return errors.Join(err, f.Close())
	}
}
