package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox"
)

// The disks of snapshots go over the line as they are:
//
//	POST /export  a request; the disks, and the result in a trailer
//	POST /import  a request, and the disks; events, and at last the result

var _ machine.SnapshotExporter = (*Driver)(nil)

// resultTrailer has the result of an export, as JSON.
const resultTrailer = "Dcalab-Result"

// SnapshotOrigin is that of the sandbox driver in the container, which only one
// that runs can tell the engine's version of.
func (d *Driver) SnapshotOrigin(ctx context.Context) (machine.SnapshotOrigin, error) {
	arch, err := d.docker.arch(ctx)
	if err != nil {
		return machine.SnapshotOrigin{}, err
	}
	engine, err := asked(ctx, d.inside, methodOrigin, func(r *result) string { return r.Engine })
	return machine.SnapshotOrigin{Driver: sandbox.Name, Platform: "linux/" + arch, Engine: engine}, err
}

// ExportSnapshot writes the disks of a snapshot.
func (d *Driver) ExportSnapshot(ctx context.Context, o machine.Observer, name string, w io.Writer) (machine.DiskSpace, error) {
	if err := d.host.atHand(ctx, o, machine.NotCreated(d.cfg.Lab.Nodes[0].Name)); err != nil {
		return machine.DiskSpace{}, err
	}
	for _, n := range d.cfg.Lab.Nodes {
		o.Begin(n.Name, "exporting its disk")
	}
	resp, err := d.inside.post(ctx, "/export", request{Method: methodExport, Snapshot: name}, nil)
	if err != nil {
		return machine.DiskSpace{}, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return machine.DiskSpace{}, err
	}
	var res result
	if err := json.Unmarshal([]byte(resp.Trailer.Get(resultTrailer)), &res); err != nil {
		return machine.DiskSpace{}, errEnded
	}
	if err := res.Failure.unpack(); err != nil || res.Space == nil {
		return machine.DiskSpace{}, err
	}
	return *res.Space, nil
}

// CheckImport reads the disks, and tells what ImportSnapshot would refuse. Where the
// container does not run, that is left to ImportSnapshot.
func (d *Driver) CheckImport(ctx context.Context, o machine.Observer, space machine.DiskSpace, r io.Reader) error {
	state, err := d.host.state(ctx)
	if err != nil {
		return err
	}
	if state != stateRunning {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	return d.inside.imports(ctx, o, request{Method: methodCheck, Space: &space}, r)
}

// ImportSnapshot makes a snapshot of the disks.
func (d *Driver) ImportSnapshot(ctx context.Context, o machine.Observer, s machine.Snapshot, space machine.DiskSpace, r io.Reader) error {
	if err := d.host.atHand(ctx, o, machine.NotCreated(d.cfg.Lab.Nodes[0].Name)); err != nil {
		return err
	}
	return d.inside.imports(ctx, o, request{Method: methodImport, Import: &s, Space: &space}, r)
}

// sent reads disks until ctx ends, and remembers why they could not be read.
type sent struct {
	ctx context.Context //nolint:containedctx // an io.Reader takes none
	r   io.Reader
	mu  sync.Mutex
	err error
}

func (s *sent) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *sent) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, io.EOF
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		return n, io.EOF // the other side refuses what is cut short, and says so
	}
	return n, err
}

func serveExport(program string, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", resultTrailer)
	res := &result{}
	req, _, err := readRequest(r.Body)
	if err == nil {
		var space machine.DiskSpace
		var x machine.SnapshotExporter
		if x, err = (&agent{out: json.NewEncoder(io.Discard)}).exporter(program, req); err == nil {
			space, err = x.ExportSnapshot(r.Context(), machine.Observer{}, req.Snapshot, w)
			res.Space = &space
		}
	}
	res.Failure = pack(err)
	text, _ := json.Marshal(res)
	w.Header().Set(resultTrailer, string(text))
}

func serveImport(program string, w http.ResponseWriter, r *http.Request) {
	a := newAgent(w)
	req, disks, err := readRequest(r.Body)
	if err == nil {
		err = a.imports(r.Context(), program, req, disks)
	}
	_ = a.say(event{Result: &result{Failure: pack(err)}})
}

func (a *agent) imports(ctx context.Context, program string, req request, disks io.Reader) error {
	x, err := a.exporter(program, req)
	if err != nil {
		return err
	}
	o := machine.Observer{Step: func(node, text string) { _ = a.say(event{Step: &step{node, text}}) }}
	switch {
	case req.Space == nil:
	case req.Method == methodCheck:
		return x.CheckImport(ctx, o, *req.Space, disks)
	case req.Method == methodImport && req.Import != nil:
		return x.ImportSnapshot(ctx, o, *req.Import, *req.Space, disks)
	}
	return errors.ErrUnsupported
}

func (a *agent) exporter(program string, req request) (machine.SnapshotExporter, error) {
	var d machine.Driver = a.driver(req, program)
	if x, ok := d.(machine.SnapshotExporter); ok {
		return x, nil
	}
	return nil, errors.ErrUnsupported
}
