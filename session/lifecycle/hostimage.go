package lifecycle

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/image"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// hostImage is the docker driver's own image, and a file of it. It needs no lab.
type hostImage struct {
	driver machine.HostImager
	owner  lab.Owner
	file   string
}

func (hostImage) NeedsRoot() bool { return false }

type saveHostImage struct{ hostImage }

// SaveHostImage writes a driver's own image to a new file of owner's.
func SaveHostImage(driver machine.HostImager, owner lab.Owner, file string) Operation {
	return saveHostImage{hostImage{driver, owner, file}}
}

func (h saveHostImage) look(ctx context.Context) (name string, err error) {
	if err := h.target().free(); err != nil {
		return "", err
	}
	return h.driver.HostImage(ctx)
}

func (h saveHostImage) target() newFile { return newFile{h.owner, h.file} }

func (h saveHostImage) typed(name string) runbook.Runbook {
	return runbook.Local("docker image save " + runbook.Line(name) + " | gzip --fast > " + runbook.Line(h.file))
}

func (h saveHostImage) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	name, err := h.look(ctx)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Runbook: h.typed(name)}
	p.add("write image %s to %s; build it first where Docker does not have it", name, h.file)
	return p, nil
}

func (h saveHostImage) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	began := time.Now()
	name, err := h.look(ctx)
	if err != nil {
		return Outcome{}, err
	}
	building := false
	o := machine.Observer{Step: func(_, step string) {
		if !building {
			building = true
			tell.Note(step)
		}
	}}
	size, err := h.target().write(func(f *os.File) error {
		zip, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
		if err == nil {
			err = errors.Join(h.driver.SaveHostImage(ctx, o, zip), zip.Close())
		}
		return err
	})
	if err != nil {
		return Outcome{}, cut(ctx, err, "nothing was saved", "the same command begins anew: dcalab image host save FILE")
	}
	note := fmt.Sprintf("saved image %s to %s: %s, in %s", name, h.file, node.Size(size), trouble.Duration(time.Since(began)))
	return Outcome{Notes: []string{note}, Runbook: h.typed(name)}, nil
}

type loadHostImage struct{ hostImage }

// LoadHostImage gives a driver its own image, from a file of SaveHostImage.
func LoadHostImage(driver machine.HostImager, owner lab.Owner, file string) Operation {
	return loadHostImage{hostImage{driver, owner, file}}
}

// look opens the file, and refuses one without the image that is needed here.
func (h loadHostImage) look(ctx context.Context) (name string, f *image.File, err error) {
	f, err = image.OpenFile(ctx, h.file)
	if err != nil {
		var unfit *trouble.Error
		if errors.As(err, &unfit) {
			unfit.Next = []string{"write one where there is a network: dcalab image host save FILE"}
		}
		return "", nil, err
	}
	name, err = h.driver.HostImage(ctx)
	if err != nil {
		return "", nil, errors.Join(err, f.Close())
	}
	var has []string
	for _, i := range f.Images {
		has = append(has, i.Tags...)
	}
	if slices.Contains(has, name) {
		return name, f, nil
	}
	why := "it has " + strings.Join(has, ", ")
	if len(has) == 0 {
		why = "it has no image with a name"
	}
	return "", nil, errors.Join(&trouble.Error{
		ID: "other-host-image", What: "load " + h.file, Why: why + ", and here " + name + " is needed", Exit: trouble.ExitRefused,
		Next: []string{"make the file with this version of dcalab, on the same kind of processor: dcalab image host save FILE"},
	}, f.Close())
}

func (h loadHostImage) typed() runbook.Runbook {
	return runbook.Local("docker image load --input " + runbook.Line(h.file))
}

func (h loadHostImage) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	name, f, err := h.look(ctx)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Runbook: h.typed()}
	p.add("load image %s into Docker", name)
	return p, f.Close()
}

func (h loadHostImage) Run(ctx context.Context, _ session.Reporter) (Outcome, error) {
	name, f, err := h.look(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer f.Close()
	if err := h.driver.LoadHostImage(ctx, f.Reader()); err != nil {
		return Outcome{}, cut(ctx, err, "nothing was loaded", "the same command begins anew: dcalab image host load FILE")
	}
	return Outcome{Notes: []string{"loaded image " + name}, Runbook: h.typed()}, nil
}
