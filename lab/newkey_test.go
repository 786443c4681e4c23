package lab

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/trouble"
)

// newKey makes a private key, as a file and as what signs.
func newKey() ([]byte, ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	return pem.EncodeToMemory(block), signer, err
}

// idOfTrouble is the id of an error; empty where it has none.
func idOfTrouble(err error) string {
	var t *trouble.Error
	if errors.As(err, &t) {
		return t.ID
	}
	return ""
}
