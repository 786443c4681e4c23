package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox"
	"github.com/dcalab/dcalab/node"
)

// Agent is dcalab in the host container: it reads one request, has the sandbox
// driver do it, and writes events. program is the path of dcalab there.
func Agent(ctx context.Context, program string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var req request
	dec := json.NewDecoder(io.LimitReader(in, 4<<20))
	if err := dec.Decode(&req); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	a := &agent{out: json.NewEncoder(out)}
	if req.Format != wireFormat || req.Lab == nil {
		return a.say(event{Result: &result{Failure: pack(fmt.Errorf("the dcalab in the host image speaks format %d, and was asked in format %d: run docker stop, then dcalab start", wireFormat, req.Format))}})
	}
	// The end of the input is a caller that has gone: what runs ends in order, as
	// after Ctrl-C.
	go func() {
		_, _ = io.Copy(io.Discard, io.MultiReader(dec.Buffered(), in))
		cancel()
	}()
	res, err := a.call(ctx, a.driver(req, program), req)
	res.Failure = pack(err)
	return a.say(event{Result: res})
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
	if limited == nil || examiner == nil || orphans == nil || snapshots == nil || room == nil {
		return res, errors.ErrUnsupported
	}
	switch req.Method {
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
	default:
		err = fmt.Errorf("the dcalab in the host image does not know %q: run docker stop, then dcalab start", req.Method)
	}
	return res, err
}
