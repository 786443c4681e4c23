package node

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/dcalab/dcalab/trouble"
)

// agentTimeout is for the whole conversation with the agent, which may have to
// ask its owner for a touch or a passphrase.
const agentTimeout = 15 * time.Second

// readIdentity reads the endpoint's private key. It gives nil where there is
// none to use and an agent may have one.
func readIdentity(ep Endpoint, o Options) (ssh.Signer, error) {
	if ep.IdentityFile == "" && o.AgentSocket != "" {
		return nil, nil
	}
	pem, err := readKey(ep.IdentityFile)
	if err == nil {
		var signer ssh.Signer
		if signer, err = ssh.ParsePrivateKey(pem); err == nil {
			return signer, nil
		}
	}
	if o.AgentSocket != "" {
		return nil, nil
	}
	e := &trouble.Error{
		ID: "identity-unreadable", Where: ep.Node, What: "read the private key " + ep.IdentityFile,
		Next: []string{"put the key back, or make the lab anew with a new one: dcalab destroy, then dcalab up"}, Err: err,
	}
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		e.Why = "it is protected by a passphrase"
		e.Next = []string{"ssh-add " + Quote(ep.IdentityFile) + "    # dcalab asks the agent of SSH_AUTH_SOCK"}
	}
	return nil, e
}

// readKey reads a private key, which is a file of a few kilobytes.
func readKey(path string) ([]byte, error) {
	const limit = 64 << 10
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > limit:
		return nil, errors.New("it is not the file of a key")
	}
	return os.ReadFile(path)
}

// loginKeys gives the keys to offer, the lab's own first: sshd counts each
// that it refuses (MaxAuthTries). They are of one publickey method, because a
// client may try each method once. An agent that does not answer has no keys.
func loginKeys(ctx context.Context, identity ssh.Signer, socket string) (keys func() ([]ssh.Signer, error), closeAgent func()) {
	var conn net.Conn
	keys = func() ([]ssh.Signer, error) {
		var all []ssh.Signer
		if identity != nil {
			all = append(all, identity)
		}
		if socket == "" {
			return all, nil
		}
		var d net.Dialer
		if c, err := d.DialContext(ctx, "unix", socket); err == nil {
			conn = c
			_ = c.SetDeadline(time.Now().Add(agentTimeout))
			if more, err := agent.NewClient(c).Signers(); err == nil {
				all = append(all, more...)
			}
		}
		return all, nil
	}
	return keys, func() {
		if conn != nil {
			_ = conn.Close()
		}
	}
}
