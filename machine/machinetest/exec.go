package machinetest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/node"
)

// Exec logs in to a node whose host key is key, runs one shell command and
// gives what it printed. An exit status other than 0 is an *ssh.ExitError
// (wrapped, with what the command wrote to stderr).
//
// It is small on purpose, and not package node's: the contract is to be
// tested with nothing in between.
func Exec(ctx context.Context, ep node.Endpoint, key ssh.PublicKey, command string) (string, error) {
	pem, err := os.ReadFile(ep.IdentityFile)
	if err != nil {
		return "", err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return "", fmt.Errorf("%s: %w", ep.IdentityFile, err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, ep.Network, ep.Address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	c, chans, reqs, err := ssh.NewClientConn(conn, ep.HostKeyAlias, &ssh.ClientConfig{
		User: ep.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   ssh.FixedHostKey(key),
		HostKeyAlgorithms: []string{key.Type()},
	})
	if err != nil {
		return "", err
	}
	client := ssh.NewClient(c, chans, reqs)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	session.Stdout, session.Stderr = &stdout, &stderr
	if err := session.Run(command); err != nil {
		return stdout.String(), fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
