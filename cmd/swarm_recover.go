package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/session/lifecycle"
)

func recoverCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "recover [NODE]",
		Short: "Get a swarm going again that has lost its quorum for good",
		Long: `Make one manager that is left the only one, with everything that the swarm has
(services, secrets, configs, networks), and take the other nodes in again, in
the roles that labs.yaml gives them. This is docker swarm init
--force-new-cluster, with what has to be done before and after it.

It reads the raft log of each manager that is left, and goes on from the one
that has the most committed entries, or from NODE. What only the lost managers
had is lost with them; so it tells first what there is, and asks.

Managers that are halted have to be started, or destroyed, before: with them the
quorum may come back by itself, and beside a recovered swarm they would be a
second one with the same id.

With autolock on, the log is encrypted with the swarm's unlock key, and Docker
cannot be given it. --unlock asks for the key, or reads it from standard input,
decrypts that one manager's own key on its disk, and Docker encrypts it again
when the swarm goes on: autolock stays on, with the same unlock key.`,
		Example: "  dcalab swarm recover --dry-run\n  dcalab swarm recover\n  dcalab swarm recover --unlock --yes < key",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: completer{a}.one,
	}
	yesFlag(c)
	unlock := unlockFlag(c)
	return operation(a, (*app).existing, c, func(s *session, args []string) (lifecycle.Operation, error) {
		options := lifecycle.RecoverOptions{Yes: s.flag("yes") == "true"}
		if len(args) > 0 {
			nodes, err := s.pick(args)
			if err != nil {
				return nil, err
			}
			options.From = nodes[0].Name
		}
		var err error
		if options.Unlock, err = givenKey(c.Context(), a, *unlock); err != nil {
			return nil, err
		}
		return s.operator().Swarm().Recover(options), nil
	})
}

// unlockFlag is the flag with which the unlock key is asked for.
func unlockFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("unlock", false, "ask for the unlock key of a swarm with autolock on")
}

// givenKey is the unlock key, where it was asked to be read; empty in a dry run.
func givenKey(ctx context.Context, a *app, asked bool) (*engine.Secret, error) {
	if !asked {
		return nil, nil //nolint:nilnil // none
	}
	var key engine.Secret
	var err error
	if !a.dryRun() {
		key, err = readKey(ctx, a)
	}
	return &key, err
}

func backupCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write what the swarm is to a file, from a manager",
		Long: `Write the swarm (raft's log, keys, certificates) to a file: services, secrets,
configs, networks, nodes and their labels; no images, volumes or containers. It
is what Docker calls a backup of a swarm: /var/lib/docker/swarm of one manager,
copied while its engine is stopped.

It takes a manager that does not lead, where there is one, and its engine is
stopped for some seconds, with the containers on it. Where the quorum needs
that manager, it asks first. The file holds the swarm's secrets, and is made
with mode 0600; an existing file is never overwritten. With autolock on it is
encrypted with the unlock key of now, which it cannot be restored without.

For the whole lab with its disks there is dcalab snapshot save.`,
		Example:           "  dcalab swarm backup swarm.tar.gz",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: fileAt(0, cobra.NoFileCompletions),
	}
	yesFlag(c)
	return operation(a, (*app).existing, c, func(s *session, args []string) (lifecycle.Operation, error) {
		return s.operator().Swarm().Backup(args[0]), nil
	})
}

func restoreSwarmCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make the swarm of a backup the lab's",
		Long: `Put the swarm of a file that dcalab swarm backup wrote on the manager that it
was made of, have that one go on alone (docker swarm init --force-new-cluster),
and take the other nodes in, in the roles that labs.yaml gives them, with the
labels that they had. In the end it compares the swarm's id, services, secrets,
configs and networks with what the backup tells of.

No node of the lab may be in a swarm: dcalab swarm dissolve, or a lab that was
just made. The manager has to have the address that it had, which is in the
data. The whole file is checked before anything is touched.

A backup of a swarm with autolock on needs the unlock key of then: --unlock asks
for it, or reads it from standard input. Autolock is on afterwards, too.

Restore only a backup that you trust: its services run in the lab.`,
		Example:           "  dcalab swarm restore swarm.tar.gz\n  dcalab swarm restore swarm.tar.gz --unlock < key",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: fileAt(0, cobra.NoFileCompletions),
	}
	unlock := unlockFlag(c)
	return operation(a, (*app).existing, c, func(s *session, args []string) (lifecycle.Operation, error) {
		key, err := givenKey(c.Context(), a, *unlock)
		if err != nil {
			return nil, err
		}
		return s.operator().Swarm().Restore(args[0], key), nil
	})
}
