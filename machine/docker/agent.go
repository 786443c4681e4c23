package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox"
	"github.com/dcalab/dcalab/node"
)

// Agent is dcalab in the host container, at the other end of a line: it has the
// sandbox driver do what it is asked, and joins connections to nodes. program is
// the path of dcalab there.
func Agent(program string, in io.Reader, out io.WriteCloser) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /do", func(w http.ResponseWriter, r *http.Request) { serveRequest(program, w, r) })
	mux.HandleFunc("POST /export", func(w http.ResponseWriter, r *http.Request) { serveExport(program, w, r) })
	mux.HandleFunc("POST /import", func(w http.ResponseWriter, r *http.Request) { serveImport(program, w, r) })
	mux.HandleFunc("POST /node/{name}", serveNode)
	return serveLine(in, out, mux)
}

func serveRequest(program string, w http.ResponseWriter, r *http.Request) {
	a := newAgent(w)
	req, rest, err := readRequest(r.Body)
	if err != nil {
		_ = a.say(event{Result: &result{Failure: pack(err)}})
		return
	}
	// The end of the request is a caller that wants it to end, as with Ctrl-C, and
	// waits for the answer; without a line there is none any more, and it ends too.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, rest)
		cancel()
	}()
	res, err := a.call(ctx, a.driver(req, program), req)
	res.Failure = pack(err)
	_ = a.say(event{Result: res})
}

// readRequest reads a request, and gives what follows it.
func readRequest(r io.Reader) (req request, rest io.Reader, err error) {
	dec := json.NewDecoder(r)
	if err := dec.Decode(&req); err != nil || req.Format != wireFormat || req.Lab == nil {
		return req, nil, fmt.Errorf("the dcalab in the lab's container is another one (it speaks format %d, and was asked in format %d): run docker stop, then dcalab start", wireFormat, req.Format)
	}
	return req, io.MultiReader(dec.Buffered(), r), nil
}

func newAgent(w http.ResponseWriter) *agent {
	return &agent{out: json.NewEncoder(flushed{w, http.NewResponseController(w)})}
}

type agent struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (a *agent) say(e event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.out.Encode(e)
}

func (a *agent) driver(req request, program string) *sandbox.Driver {
	return sandbox.New(sandbox.Config{
		Lab: req.Lab, ID: req.ID, Dir: sandbox.Dir(req.ID), Root: filepath.Join(sandbox.Ground, "labs", req.ID), Executable: program,
		AuthorizedKey: func() (ssh.PublicKey, error) {
			key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(req.AuthorizedKey))
			return key, err
		},
		PinHostKey: func(host string, key ssh.PublicKey) error {
			return a.say(event{HostKey: &hostKey{host, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))}})
		},
		ForgetHostKey: func(host string) error { return a.say(event{Forget: host}) },
		Hidden:        []string{sandbox.Ground},
		Log:           a,
	})
}

// Write passes on what the driver logs.
func (a *agent) Write(p []byte) (int, error) { return len(p), a.say(event{Log: string(p)}) }

func (a *agent) call(ctx context.Context, driver machine.Driver, req request) (*result, error) {
	o := machine.Observer{
		Step:  func(node, text string) { _ = a.say(event{Step: &step{node, text}}) },
		Ready: func(ep node.Endpoint) { _ = a.say(event{Ready: ep.Node}) },
	}
	res := &result{}
	var err error
	switch req.Method {
	case methodUp:
		return res, driver.Up(ctx, o, req.Nodes...)
	case methodStart:
		return res, driver.Start(ctx, o, req.Nodes...)
	case methodHalt:
		return res, driver.Halt(ctx, o, req.Nodes...)
	case methodDestroy:
		return res, driver.Destroy(ctx, o, req.Nodes...)
	case methodStatus:
		res.Machines, err = driver.Status(ctx)
		return res, err
	}
	return a.callMore(ctx, driver, o, req)
}

// callMore is of what not every driver has; the sandbox on Linux has all of it.
func (a *agent) callMore(ctx context.Context, driver machine.Driver, o machine.Observer, req request) (*result, error) {
	res := &result{}
	var err error
	limited, _ := driver.(machine.Limited)
	examiner, _ := driver.(machine.Examiner)
	orphans, _ := driver.(machine.OrphanLister)
	snapshots, _ := driver.(machine.Snapshotter)
	room, _ := driver.(machine.SnapshotRoom)
	exporter, _ := driver.(machine.SnapshotExporter)
	killer, _ := driver.(machine.Killer)
	if killer == nil || limited == nil || examiner == nil || orphans == nil || snapshots == nil || room == nil || exporter == nil {
		return res, errors.ErrUnsupported
	}
	switch req.Method {
	case methodKill:
		err = killer.Kill(ctx, o, req.Nodes...)
	case methodLimits:
		res.Limits = slices.DeleteFunc(limited.Limits(ctx), func(l string) bool { return l == sandbox.RootIsRoot }) // said of Docker's host
	case methodExamine:
		res.Checks = examiner.Examine(ctx)
	case methodOrphans:
		res.Machines, err = orphans.Orphans(ctx)
	case methodSave:
		err = snapshots.SaveSnapshot(ctx, o, req.Snapshot)
	case methodRestore:
		err = snapshots.RestoreSnapshot(ctx, o, req.Snapshot)
	case methodDelete:
		err = snapshots.DeleteSnapshot(ctx, o, req.Snapshot)
	case methodSnapshots:
		res.Snapshots, err = snapshots.Snapshots(ctx)
	case methodSaveRoom:
		err = room.RoomToSave(ctx)
	case methodBackRoom:
		err = room.RoomToRestore(ctx, req.Snapshot)
	case methodOrigin:
		var origin machine.SnapshotOrigin
		origin, err = exporter.SnapshotOrigin(ctx)
		res.Engine = origin.Engine
	default:
		err = fmt.Errorf("the dcalab in the lab's container does not know %q: run docker stop dcalab-%s, then dcalab start", req.Method, req.ID)
	}
	return res, err
}
