package docker

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dcalab/dcalab/image"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

var _ machine.HostImager = (*Driver)(nil)

//go:embed Dockerfile
var dockerfile []byte

const imageName = "dcalab-host"

// HostImage names the image by what it is made from, and the processor: dcalab
// itself is copied into each container, so that one image is good for many
// versions of it.
func (d *Driver) HostImage(ctx context.Context) (string, error) {
	arch, err := d.docker.arch(ctx)
	return imageFor(arch), err
}

func imageFor(arch string) string {
	sum := sha256.Sum256(dockerfile)
	return imageName + ":" + hex.EncodeToString(sum[:6]) + "-" + arch
}

// arch is the processor of Docker, in Go's terms.
func (l *labDocker) arch(ctx context.Context) (string, error) {
	return l.run(ctx, "version", "--format", "{{.Server.Arch}}")
}

// image gives the host image for a processor, and builds it where there is none.
func (l *labDocker) image(ctx context.Context, o machine.Observer, arch string) (string, error) {
	name := imageFor(arch)
	_, err := l.run(ctx, "image", "inspect", "--format", "{{.Id}}", name)
	if err == nil || !isMissing(err) {
		return name, err
	}
	names := l.cfg.Lab.NodeNames()
	if len(names) == 0 {
		names = []string{""} // for no lab
	}
	for _, n := range names {
		o.Begin(n, "building the host image")
	}
	err = l.stream(ctx, bytes.NewReader(dockerfile), l.cfg.Log, "build", "--tag", name, "-")
	var failed *cliError
	if errors.As(err, &failed) {
		lines := strings.Split(failed.said, "\n")
		e := &trouble.Error{
			ID: "docker-build", What: "build the host image", Why: lines[len(lines)-1], Exit: trouble.ExitRequirement, Err: err,
			Next: []string{
				"its Dockerfile takes debian:trixie-slim and packages of Debian: the first time needs the Internet",
				"without a network: dcalab image host save FILE where there is one, and here dcalab image host load FILE",
			},
		}
		if l.cfg.Log != io.Discard {
			e.Next = append(e.Next, "all that it said: the lab's log")
		}
		err = e
	}
	return name, err
}

// SaveHostImage writes the host image as docker save does.
func (d *Driver) SaveHostImage(ctx context.Context, o machine.Observer, w io.Writer) error {
	arch, err := d.docker.arch(ctx)
	if err != nil {
		return err
	}
	name, err := d.docker.image(ctx, o, arch)
	if err != nil {
		return err
	}
	return d.docker.stream(ctx, nil, w, "image", "save", name)
}

// LoadHostImage gives Docker the host image.
func (d *Driver) LoadHostImage(ctx context.Context, r io.Reader) error {
	return d.docker.stream(ctx, r, d.cfg.Log, "image", "load")
}

// programFor reads a dcalab that can make nodes in the container.
func programFor(binary, arch string) ([]byte, error) {
	e := &trouble.Error{
		ID: "docker-no-linux-build", What: "make the lab's container", Why: "it needs dcalab for Linux, and there is none here", Exit: trouble.ExitRequirement,
		Next: []string{
			"the archives of a release have it as dcalab-linux, to be kept in one folder with dcalab",
			"or name one of the same version: DCALAB_LINUX_BINARY=FILE",
		},
	}
	if binary == "" {
		return nil, e
	}
	p, why, err := image.LookAtProgram(binary)
	if why == "" && p.Arch != arch {
		why = "it is for " + p.Arch
	}
	if err != nil || why != "" {
		e.Why, e.Err = fmt.Sprintf("it needs dcalab for linux/%s, and %s is not that: %s", arch, binary, why), err
		return nil, e
	}
	return os.ReadFile(binary)
}
