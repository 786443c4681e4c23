package cmd

import (
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session/lifecycle"
)

func snapshotExportCommand(a *app) *cobra.Command {
	return operation(a, (*app).existing, &cobra.Command{
		Use:   "export NAME FILE",
		Short: "Write a snapshot to one file, to start the same lab elsewhere",
		Long: `Write a snapshot to a file, for dcalab snapshot import on another machine: a
class then begins where you left off. The other lab needs the same nodes,
addresses and domain in labs.yaml, the sandbox or the docker driver, and the
same kind of processor; its engines should be of the same version.

The file holds all that is on the nodes' disks, and so the secrets of the swarm:
its CA key, node certificates, join tokens, secrets and configs of services, and
host keys. Whoever has the file has that swarm. It is made with mode 0600; give
it only to those who may have all that. It holds no key of this lab's for SSH.

It is a tar archive: manifest.json tells what it is. An existing file is never
overwritten, and one that is cut short gets no name.`,
		Example:           "  dcalab snapshot export fresh-swarm fresh-swarm.tar\n  sha256sum fresh-swarm.tar   # publish this with it",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: fileAt(1, completer{a}.snapshots),
	}, func(s *session, args []string) (lifecycle.Operation, error) {
		return s.operator().Snapshots().Export(args[0], args[1]), nil
	})
}

func snapshotImportCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "import FILE [NAME]",
		Short: "Make a snapshot of this lab from an exported one",
		Long: `Read a file that dcalab snapshot export wrote, and keep it as a snapshot of this
lab, under the name that it had or another one. The nodes stay as they are;
dcalab snapshot restore starts from it.

Restoring runs what the author of the file put on the nodes, and root in a
sandbox node is root on this machine: import a file only from somebody whose
programs you would run as root here. So it asks first, unless --yes is given.
The sums in the file tell of a damaged copy, not of its author; compare the file
with what the author published (sha256sum FILE).

Everything is checked before anything is kept: the sums, that the lab's nodes,
addresses, subnet and domain are the same, the room, and each entry, of which
none may be outside its node's disk or a device. Nodes let in the key of this
lab, not that of the other.`,
		Example:           "  dcalab snapshot import fresh-swarm.tar\n  dcalab snapshot import fresh-swarm.tar lesson-3 --yes",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: fileAt(0, cobra.NoFileCompletions),
	}
	yesFlag(c)
	return operation(a, (*app).open, c, func(s *session, args []string) (lifecycle.Operation, error) {
		name := ""
		if len(args) == 2 {
			name = args[1]
			if err := machine.CheckSnapshotName(name); err != nil {
				return nil, err
			}
		}
		return s.operator().Snapshots().Import(args[0], name), s.MustExist()
	})
}
