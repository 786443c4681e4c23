package machine

import (
	"context"
	"io"
)

// HostImager is a Driver whose machines run in containers of an image of its own,
// which can be carried to a machine without a network.
type HostImager interface {
	Driver
	// HostImage names the image that Up needs here, for the processor of the
	// Docker that it would be in; the Docker does not need to have it.
	HostImage(ctx context.Context) (string, error)
	// SaveHostImage writes it as docker save does, and builds it first where there
	// is none.
	SaveHostImage(ctx context.Context, o Observer, w io.Writer) error
	// LoadHostImage reads what SaveHostImage wrote.
	LoadHostImage(ctx context.Context, r io.Reader) error
}
