package provision

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// learnTo gives an Options.LearnHostKey that appends the key to the
// known_hosts file at path, made with mode 0600 where it does not exist. It is
// safe for several nodes at once.
func learnTo(path string) func(alias string, key ssh.PublicKey) error {
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
