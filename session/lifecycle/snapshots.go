package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// Snapshots lists the lab's snapshots; a lab that was never made has none.
func (o Operator) Snapshots(ctx context.Context) (machine.Snapshotter, []machine.Snapshot, error) {
	if !o.Created() {
		return nil, []machine.Snapshot{}, nil
	}
	keeper, ok := o.Driver().(machine.Snapshotter)
	if !ok {
		return nil, nil, &trouble.Error{
			ID: "no-snapshots", What: "snapshots", Why: "the " + o.Driver().Name() + " driver keeps none", Exit: trouble.ExitRequirement,
		}
	}
	list, err := keeper.Snapshots(ctx)
	if errors.Is(err, fs.ErrPermission) && o.lacksRoot() {
		err = &trouble.Error{
			ID: "sandbox-needs-root", What: "look for snapshots", Why: "the disks of the sandbox driver are root's",
			Next: []string{"the same as root: sudo dcalab snapshot list"}, Exit: trouble.ExitRequirement, Err: err,
		}
	}
	return keeper, list, err
}

// andSnapshots words what goes with the whole lab.
func (o Operator) andSnapshots(ctx context.Context) string {
	_, list, err := o.Snapshots(ctx)
	if err != nil || len(list) == 0 {
		return ""
	}
	var have []string
	for _, one := range list {
		have = append(have, one.Name)
	}
	return fmt.Sprintf(", and its %s (%s)", trouble.Count(len(have), "snapshot"), strings.Join(have, ", "))
}
