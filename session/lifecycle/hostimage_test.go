package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/dcalab/dcalab/image"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// hostImages is a driver whose host image is an archive of the demo.
type hostImages struct {
	machine.Driver
	name   string
	text   []byte
	fails  error
	loaded []byte
}

func (h *hostImages) HostImage(context.Context) (string, error) { return h.name, nil }

func (h *hostImages) SaveHostImage(_ context.Context, o machine.Observer, w io.Writer) error {
	o.Begin("", "building the host image")
	_, err := w.Write(h.text)
	return errors.Join(err, h.fails)
}

func (h *hostImages) LoadHostImage(_ context.Context, r io.Reader) (err error) {
	h.loaded, err = io.ReadAll(r)
	return err
}

func TestHostImageAsAFile(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := image.BuildDemo(&archive, image.Program{Path: program, Arch: "amd64"}); err != nil {
		t.Fatal(err)
	}
	d := &hostImages{name: image.DemoName + ":1", text: archive.Bytes()}
	file := filepath.Join(dir, "host.tar.gz")
	refused := func(op Operation, id string) {
		t.Helper()
		_, planned := op.Plan(t.Context(), &story{})
		_, err := op.Run(t.Context(), &story{})
		for _, err := range []error{planned, err} {
			var e *trouble.Error
			if !errors.As(err, &e) || e.ID != id {
				t.Errorf("%v, want %s", err, id)
			}
		}
	}
	refused(LoadHostImage(d, lab.Owner{}, file), "image-file-unfit")
	refused(SaveHostImage(d, lab.Owner{}, filepath.Join(dir, "nowhere", "host.tar.gz")), "file-place")

	d.fails = errors.New("no space left on device")
	if _, err := SaveHostImage(d, lab.Owner{}, file).Run(t.Context(), &story{}); !errors.Is(err, d.fails) {
		t.Errorf("%v, want %v", err, d.fails)
	}
	if list, _ := filepath.Glob(filepath.Join(dir, "*host*")); len(list) > 0 {
		t.Errorf("%q is left", list)
	}
	d.fails = nil

	plan, err := SaveHostImage(d, lab.Owner{}, file).Plan(t.Context(), &story{})
	if err != nil || len(plan.Lines) != 1 || len(plan.Runbook) != 1 {
		t.Errorf("%+v, %v", plan, err)
	}
	out, err := SaveHostImage(d, lab.Owner{}, file).Run(t.Context(), &story{})
	if err != nil || len(out.Notes) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	if text, _ := os.ReadFile(file); len(text) == 0 || bytes.Equal(text, d.text) {
		t.Errorf("a file of %d bytes is not packed", len(text))
	}
	refused(SaveHostImage(d, lab.Owner{}, file), "file-exists")

	if _, err := LoadHostImage(d, lab.Owner{}, file).Run(t.Context(), &story{}); err != nil {
		t.Fatal(err)
	}
	if got, err := image.Read(bytes.NewReader(d.loaded), int64(len(d.loaded))); err != nil || len(got.Images) != len(image.DemoVersions()) {
		t.Errorf("loaded %+v, %v", got, err)
	}
	d.name, d.loaded = "dcalab-host:0123456789ab-arm64", nil
	refused(LoadHostImage(d, lab.Owner{}, file), "other-host-image")
	if d.loaded != nil {
		t.Error("another image was loaded")
	}
}
