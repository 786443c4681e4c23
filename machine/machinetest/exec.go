package machinetest

import (
	"bytes"
	"context"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/node"
)

// Exec logs in to a node whose host key is key, runs one shell command and
// gives what it printed. An exit status other than 0 is a *node.RunError.
func Exec(ctx context.Context, ep node.Endpoint, key ssh.PublicKey, command string) (string, error) {
	c, err := node.Dial(ctx, ep, node.Options{
		Timeouts: node.Timeouts{Answer: time.Hour}, // ctx is the limit
		LearnHostKey: func(_ string, shown ssh.PublicKey) error {
			if !bytes.Equal(shown.Marshal(), key.Marshal()) {
				return errors.New("it shows another host key than the one that is pinned")
			}
			return nil
		},
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	r, err := c.Run(ctx, command, nil)
	return string(r.Stdout), err
}
