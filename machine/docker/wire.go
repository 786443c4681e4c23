package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// What goes between dcalab on the user's machine and the one in the host
// container, over the standard input and output of `docker exec`: one request,
// as JSON, and events, as JSON lines, the last of which is the result. Keys are
// public ones; the disks of snapshots (export.go) have the swarm's secrets.

// wireFormat is of requests and events. Both ends are the same program, but a
// container that runs may have one of another version.
const wireFormat = 1

// method names what is asked of the driver in the container.
type method string

const (
	methodUp        method = "up"
	methodStart     method = "start"
	methodHalt      method = "halt"
	methodKill      method = "kill"
	methodDestroy   method = "destroy"
	methodStatus    method = "status"
	methodOrphans   method = "orphans"
	methodLimits    method = "limits"
	methodExamine   method = "examine"
	methodSave      method = "save"
	methodRestore   method = "restore"
	methodDelete    method = "delete"
	methodSnapshots method = "snapshots"
	methodSaveRoom  method = "room to save"
	methodBackRoom  method = "room to restore"
	methodOrigin    method = "origin of snapshots"
	methodExport    method = "export"
	methodCheck     method = "check import"
	methodImport    method = "import"
)

// request is one call of a method.
type request struct {
	Format int      `json:"format"`
	Method method   `json:"method"`
	ID     string   `json:"id"`
	Lab    *lab.Lab `json:"lab"`
	// AuthorizedKey is the public key that may log in to nodes, as in
	// authorized_keys.
	AuthorizedKey string   `json:"authorized_key,omitempty"`
	Nodes         []string `json:"nodes,omitempty"`
	Snapshot      string   `json:"snapshot,omitempty"`
	// Import is what the disks of Space, which follow the request, become.
	Import *machine.Snapshot  `json:"import,omitempty"`
	Space  *machine.DiskSpace `json:"space,omitempty"`
}

// event is one line of the answer; one of its fields is set.
type event struct {
	Step    *step    `json:"step,omitempty"`
	Ready   string   `json:"ready,omitempty"` // a node whose sshd answers
	HostKey *hostKey `json:"host_key,omitempty"`
	Forget  string   `json:"forget,omitempty"` // a host whose key is no longer one
	Log     string   `json:"log,omitempty"`
	Result  *result  `json:"result,omitempty"`
}

type step struct {
	Node string `json:"node"`
	Text string `json:"text"`
}

// hostKey is a node's, as a line of authorized_keys.
type hostKey struct {
	Host string `json:"host"`
	Key  string `json:"key"`
}

// result ends an answer.
type result struct {
	Failure   *failure                  `json:"failure,omitempty"`
	Machines  map[string]machine.Status `json:"machines,omitempty"`
	Limits    []string                  `json:"limits,omitempty"`
	Checks    []machine.Check           `json:"checks,omitempty"`
	Snapshots []machine.Snapshot        `json:"snapshots,omitempty"`
	Engine    string                    `json:"engine,omitempty"` // of methodOrigin
	Space     *machine.DiskSpace        `json:"space,omitempty"`  // of what was exported
}

// failure is an error on its way: what a person reads of it, and which of the
// errors that callers tell apart it is.
type failure struct {
	Text    string              `json:"text"`
	Trouble *trouble.Error      `json:"trouble,omitempty"` // without its cause
	Kind    string              `json:"kind,omitempty"`
	Node    string              `json:"node,omitempty"` // of an AbsentError
	Entry   *machine.EntryError `json:"entry,omitempty"`
}

const kindAbsent = "absent"

// kinds are the errors that callers of a driver tell apart by value.
func kinds() map[string]error {
	return map[string]error{
		"no snapshot":     machine.ErrNoSnapshot,
		"snapshot exists": machine.ErrSnapshotExists,
	}
}

func pack(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: err.Error()}
	var t *trouble.Error
	if errors.As(err, &t) {
		said := *t
		said.Next, said.Err = trouble.Advice(err), nil
		if said.Why == "" && t.Err != nil {
			said.Why = t.Err.Error()
		}
		f.Trouble = &said
	}
	var absent *machine.AbsentError
	if errors.As(err, &absent) {
		f.Kind, f.Node = kindAbsent, absent.Node
	}
	_ = errors.As(err, &f.Entry)
	for name, kind := range kinds() {
		if errors.Is(err, kind) {
			f.Kind = name
		}
	}
	return f
}

// unpack makes an error of a failure again.
func (f *failure) unpack() error {
	if f == nil {
		return nil
	}
	cause := kinds()[f.Kind]
	switch {
	case f.Kind == kindAbsent:
		cause = &machine.AbsentError{Node: f.Node}
	case f.Entry != nil:
		cause = f.Entry
	}
	switch {
	case f.Trouble != nil:
		f.Trouble.Err = cause
		return f.Trouble
	case cause != nil:
		return fmt.Errorf("%s: %w", f.Text, cause)
	}
	return errors.New(f.Text)
}

// errEnded is an answer that ended before its result.
var errEnded = errors.New("the container's side ended before it had answered")

// answer reads events up to the result, which it gives; on is told each of the
// others, one at a time.
func answer(r io.Reader, on func(event)) (*result, error) {
	in := json.NewDecoder(io.LimitReader(r, 64<<20))
	for {
		var e event
		switch err := in.Decode(&e); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errEnded
		case err != nil:
			return nil, fmt.Errorf("the container's side answered what cannot be understood: %w", err)
		case e.Result != nil:
			return e.Result, e.Result.Failure.unpack()
		}
		on(e)
	}
}
