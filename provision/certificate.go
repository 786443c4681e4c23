package provision

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dcalab/dcalab/node"
)

// Certificate reads the node's own swarm certificate (PEM, with the chain)
// from the engine's folder, with sudo. Only CERTIFICATE blocks leave the node:
// a key that stands in the same file is left out there, not here. A node that
// is in no swarm gives an error that wraps fs.ErrNotExist.
func Certificate(ctx context.Context, c *node.Conn) ([]byte, error) {
	out, err := c.Root(ctx, script(c, "certificate.sh"), nil)
	var failed *node.RunError
	switch {
	case errors.As(err, &failed) && failed.Exit == 3:
		return nil, fmt.Errorf("%s: read the swarm certificate: %w", c.Name(), fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("read the swarm certificate: %w", err)
	}
	block, _ := pem.Decode([]byte(out))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: read the swarm certificate: the file holds none", c.Name())
	}
	return []byte(out), nil
}
