package cmd

import (
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/cmd/hint"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/ui"
)

func snapshotCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Keep the whole lab as it is now, and bring it back later",
		Long: `A snapshot is the disks of all nodes, kept under a name while none of them ran:
the swarm with its services, secrets and images, as it was. Take one before you
break something, or one of a fresh swarm for each new exercise.`,
	}
	c.AddCommand(snapshotSaveCommand(a), snapshotRestoreCommand(a), snapshotListCommand(a), snapshotDeleteCommand(a), snapshotExportCommand(a), snapshotImportCommand(a))
	return c
}

func snapshotSaveCommand(a *app) *cobra.Command {
	return operation(a, (*app).open, &cobra.Command{
		Use:   "save NAME",
		Short: "Halt the lab, keep the disks of all nodes, and start it again",
		Long: `Keep the disks of all nodes under a name. The lab is halted for it,
gracefully, and what ran before is started again: a single disk, or one that is
written to meanwhile, would give a swarm that contradicts itself after a
restore.

It ends when the swarm is as before. Nodes that were halted stay halted.`,
		Example: "  dcalab snapshot save fresh-swarm",
		Args:    cobra.ExactArgs(1),
	}, func(s *session, args []string) (lifecycle.Operation, error) {
		if err := machine.CheckSnapshotName(args[0]); err != nil {
			return nil, hint.SuggestName(err, args[0], machine.CheckSnapshotName)
		}
		return s.operator().Snapshots().Save(args[0]), s.MustExist()
	})
}

func snapshotRestoreCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "restore NAME",
		Short: "Bring the whole lab back to a snapshot; what was done since is lost",
		Long: `Halt the lab, give all its nodes the disks of a snapshot, and start them. It
ends when every node answers as the same machine as before, with the right
time, and the swarm of the snapshot is back: all Ready, with a leader.

It is all nodes or none. If it is interrupted, the same command finishes it. It
asks first, unless --yes is given.`,
		Example:           "  dcalab snapshot restore fresh-swarm",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completer{a}.snapshots,
	}
	yesFlag(c)
	return operation(a, (*app).existing, c, func(s *session, args []string) (lifecycle.Operation, error) {
		return s.operator().Snapshots().Restore(args[0]), nil
	})
}

func snapshotDeleteCommand(a *app) *cobra.Command {
	return operation(a, (*app).existing, &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a snapshot; the nodes stay as they are",
		Long: `Delete a snapshot and free the space that its disks take. The nodes, and the
other snapshots, stay as they are. This cannot be undone.`,
		Example:           "  dcalab snapshot delete fresh-swarm",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completer{a}.snapshots,
	}, func(s *session, args []string) (lifecycle.Operation, error) {
		return s.operator().Snapshots().Delete(args[0]), nil
	})
}

// snapshotsReport is what `dcalab snapshot list -o json` prints. Its keys are
// a promise.
type snapshotsReport struct {
	Lab       string             `json:"lab" yaml:"lab"`
	Snapshots []machine.Snapshot `json:"snapshots" yaml:"snapshots"`
}

func snapshotListCommand(a *app) *cobra.Command {
	var o listing
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the lab's snapshots, the oldest first",
		Long: `Show the snapshots of the lab, when each was taken, and of which nodes it is.
One that was interrupted while it was taken is not listed.`,
		Example: "  dcalab snapshot list\n  dcalab snapshot list -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			format, err := o.format(machine.Snapshot{})
			if err != nil {
				return err
			}
			s, err := a.open()
			if err != nil {
				return err
			}
			if stop, err := s.announce(s.ExplainMachines(machine.Deed{Act: machine.ActList})); stop || err != nil {
				return err
			}
			_, list, err := s.operator().Snapshots().List(c.Context())
			if err != nil {
				return err
			}
			return a.print(format, ui.Listing{
				Document: snapshotsReport{Lab: s.Lab().Name, Snapshots: list}, Rows: list, Key: "name",
				Table: func(w io.Writer, _ bool) error { return snapshotTable(s, w, list) },
			})
		},
	}
	o.flags(c)
	return explained(c)
}

func snapshotTable(s *session, w io.Writer, list []machine.Snapshot) error {
	if len(list) == 0 {
		s.note("lab %s has no snapshots; take one: dcalab snapshot save NAME", s.Lab().Name)
		return nil
	}
	rows := ui.Cells(list, func(one machine.Snapshot) []string {
		return []string{one.Name, one.Time.Local().Format(time.DateTime), ui.Duration(time.Since(one.Time)), strings.Join(one.Nodes, ", ")}
	})
	return ui.Table(w, []string{"NAME", "TAKEN", "AGE", "NODES"}, rows, s.app.outColor())
}
