package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func swarmCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "swarm",
		Short: "Form the swarm, dissolve it, show its join tokens, unlock it",
		Long: `Commands for the swarm as a whole. Those for single nodes in it are: dcalab
promote, demote, join, remove, drain, pause, activate, label.`,
	}
	c.AddCommand(bootstrapCommand(a), leaveCommand(a), dissolveCommand(a), recoverCommand(a), backupCommand(a), restoreSwarmCommand(a), tokenCommand(a), caCommand(a), autolockCommand(a), unlockCommand(a), unlockKeyCommand(a))
	return c
}

func bootstrapCommand(a *app) *cobra.Command {
	var takeOver []string
	c := &cobra.Command{
		Use:   "bootstrap",
		Short: "Bring the lab's engines into one swarm, from whatever state they are in",
		Long: `Ask every engine for its state, work out what is missing for the swarm that
labs.yaml describes, and do it: init, join (in parallel), promote,
labels, availability and settings. It ends when every node is Ready and every
manager Reachable, or says which is not, and why.

It can be run at any time, also after an interruption. When there is nothing to
do it says so. It never demotes a manager that labs.yaml calls a worker,
and never takes a node out of another swarm unless --take-over names it.`,
		Example: "  dcalab swarm bootstrap\n  dcalab swarm bootstrap --dry-run\n  dcalab swarm bootstrap --take-over node02",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringSliceVar(&takeOver, "take-over", nil, "nodes that may be taken out of another swarm")
	return operation(a, (*app).existing, c, func(s *session, _ []string) (lifecycle.Operation, error) {
		if len(takeOver) == 0 {
			return s.operator().Swarm().Bootstrap(), nil
		}
		nodes, err := s.pick(takeOver)
		return s.operator().Swarm().Bootstrap(names(nodes)...), err
	})
}

func tokenCommand(a *app) *cobra.Command {
	var rotate bool
	c := &cobra.Command{
		Use:   "token [worker|manager]",
		Short: "Show the join token for workers or managers",
		Long: `Show the token with which another machine joins the swarm: as a worker (the
default), or as a manager. It is a secret: it is only printed, and not stored.

--rotate makes a new one first; the old one is invalid at once, and nodes that
are in the swarm already are not affected.`,
		Example:   "  dcalab swarm token\n  dcalab swarm token manager --rotate",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"worker", "manager"},
		RunE: func(c *cobra.Command, args []string) error {
			role := engine.RoleWorker
			if len(args) == 1 && args[0] == "manager" {
				role = engine.RoleManager
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			return s.showSecret(c.Context(), rotate, secret{
				what: "join token for " + string(role) + "s", plain: []string{"docker", "swarm", "join-token", "--quiet", string(role)},
				gives: map[engine.Role]string{engine.RoleWorker: runbook.WorkerToken, engine.RoleManager: runbook.ManagerToken}[role],
				get: func(ctx context.Context, cluster *swarm.Cluster) (engine.Secret, error) {
					if rotate {
						return cluster.RotateToken(ctx, role)
					}
					return cluster.Token(ctx, role)
				},
			})
		},
	}
	c.Flags().BoolVar(&rotate, "rotate", false, "make a new token first")
	return explained(c)
}

// secret is one of the swarm's that is printed for who asks, and stored nowhere.
type secret struct {
	what string
	// plain is what a person types for it, without --rotate; gives is its placeholder.
	plain []string
	gives string
	none  string // said where the swarm has none
	get   func(context.Context, *swarm.Cluster) (engine.Secret, error)
}

// showSecret prints a secret; with rotate, get makes a new one first.
func (s *session) showSecret(ctx context.Context, rotate bool, k secret) error {
	if rotate {
		k.plain = slices.Insert(k.plain, 3, "--rotate")
	}
	plain, err := onManager(ctx, s, k.gives, k.plain...)
	if err != nil {
		return err
	}
	if rotate {
		if s.app.dryRun() {
			return s.rehearse([]string{"make a new " + k.what + ", and show it"}, plain)
		}
		// A bootstrap that is at work uses the old one.
		release, err := s.change(ctx)
		if err != nil {
			return err
		}
		defer release()
	} else if stop, err := s.announce(plain); stop || err != nil {
		return err
	}
	crew, err := s.AllEngines(ctx, nil)
	if err != nil {
		return err
	}
	defer crew.Close()
	shown, err := k.get(ctx, crew.Cluster(swarm.Options{}))
	if err != nil {
		return err
	}
	if shown == "" {
		s.note("%s", k.none)
		return nil
	}
	fmt.Fprintln(s.app.streams.Out, shown.Reveal())
	if rotate {
		return s.recount(plain)
	}
	return nil
}

// onManager is the runbook of one command that is typed on a manager of the
// lab's swarm, and of what it prints. Where no runbook is asked for, and nothing
// but a plan, it looks for no manager.
func onManager(ctx context.Context, s *session, gives string, words ...string) (runbook.Runbook, error) {
	if !s.app.explains() {
		return nil, nil
	}
	v, crew, err := s.Observe(ctx)
	if err != nil {
		return nil, err
	}
	defer crew.Close()
	if err := v.NeedManager(); err != nil {
		return nil, err
	}
	return runbook.Runbook{{Node: v.Manager(), Text: runbook.Line(words...), Gives: gives}}, nil
}

func caCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "ca",
		Short: "The authority that signs the nodes' certificates",
		Long: `The swarm's root CA, which signs the certificate of each node. Each certificate
is renewed by itself while the swarm runs; status and doctor tell where one is
about to end.`,
		Example: "  dcalab swarm ca rotate",
	}
	c.AddCommand(operation(a, (*app).existing, &cobra.Command{
		Use:   "rotate",
		Short: "Make a new root CA, and wait until all nodes have certificates of it",
		Long: `Make a new root certificate authority for the swarm, and wait until every node
has a certificate of it. Nodes that do not run get theirs when they are back;
until then the swarm trusts both, and the command says who is missing.

The join tokens are other ones afterwards: a digest of the CA is in them.`,
		Example: "  dcalab swarm ca rotate",
		Args:    cobra.NoArgs,
	}, func(s *session, _ []string) (lifecycle.Operation, error) { return s.operator().Swarm().RotateCA(), nil }))
	return c
}

func autolockCommand(a *app) *cobra.Command {
	return operation(a, (*app).existing, &cobra.Command{
		Use:   "autolock on|off",
		Short: "Let managers wait for the unlock key after their engine was restarted",
		Long: `Turn autolock on or off. With it, the keys of managers are encrypted on their
disks, and a manager whose engine was restarted waits for the unlock key:
dcalab swarm unlock. The command ends when the key of every manager that runs is
encrypted on disk, or is not any more.

The key is a secret, and is not shown here: dcalab swarm unlock-key shows it.`,
		Example:   "  dcalab swarm autolock on\n  dcalab swarm autolock off",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"on", "off"},
	}, func(s *session, args []string) (lifecycle.Operation, error) {
		return s.operator().Swarm().Autolock(args[0] == "on"), nil
	})
}

func unlockCommand(a *app) *cobra.Command {
	return explained(&cobra.Command{
		Use:   "unlock",
		Short: "Unlock managers that wait for the swarm's unlock key",
		Long: `Give the unlock key to every manager that waits for it (autolock). The key
is fetched from a manager that is not locked; where all are, it is asked for,
or read from standard input.`,
		Example: "  dcalab swarm unlock\n  dcalab swarm unlock < key",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			s, err := a.existing()
			if err != nil {
				return err
			}
			v, crew, err := s.Observe(ctx)
			if err != nil {
				return err
			}
			if !v.Quorum.HasQuorum && slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return n.State == swarm.StateLocked }) {
				// While a leader is elected, nobody can tell the key that others hold.
				crew.Close()
				p := s.progress(nil)
				v, crew, err = s.operator().Settled(ctx, p)
				p.Close()
				var unsettled *lifecycle.UnsettledError
				if errors.As(err, &unsettled) {
					v, crew, err = s.Observe(ctx)
				}
				if err != nil {
					return err
				}
			}
			defer crew.Close()
			if err := crew.NoneReachable(); err != nil {
				return err
			}
			plan := swarm.PlanUnlock(v, "")
			if a.dryRun() {
				return s.rehearse(lifecycle.Lines(plan.Steps()), plan.Runbook)
			}
			cluster := crew.Cluster(swarm.Options{})
			result, err := cluster.Run(ctx, plan)
			var keyless swarm.NoKeyError
			if errors.As(err, &keyless) && ctx.Err() == nil {
				var key engine.Secret
				if key, err = readKey(ctx, a); err != nil {
					return err
				}
				result, err = cluster.Run(ctx, swarm.PlanUnlock(v, key))
			}
			if err != nil {
				return withoutKey(err)
			}
			var done []string
			for _, n := range result.Nodes {
				done = append(done, n.Name)
			}
			if len(done) == 0 {
				s.note("nothing to do: no node is locked")
			} else {
				s.note("unlocked: %s", strings.Join(done, ", "))
			}
			return s.recount(plan.Runbook)
		},
	})
}

func unlockKeyCommand(a *app) *cobra.Command {
	var rotate bool
	c := &cobra.Command{
		Use:   "unlock-key",
		Short: "Show the key that unlocks managers after their engine was restarted",
		Long: `Show the swarm's unlock key (autolock). It is a secret: it is only printed, and
stored nowhere. Keep it: when every manager is restarted at the same time, they
cannot be unlocked without it.

--rotate makes a new one first. Keep the old one, too, for as long as a manager
does not run: it waits for the old one when it is back.`,
		Example: "  dcalab swarm unlock-key\n  dcalab swarm unlock-key --rotate",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.existing()
			if err != nil {
				return err
			}
			return withoutKey(s.showSecret(c.Context(), rotate, secret{
				what: "unlock key", plain: []string{"docker", "swarm", "unlock-key", "--quiet"},
				gives: runbook.UnlockKey, none: "autolock is off: there is no unlock key",
				get: func(ctx context.Context, cluster *swarm.Cluster) (engine.Secret, error) {
					if rotate {
						return cluster.RotateUnlockKey(ctx)
					}
					return cluster.UnlockKey(ctx)
				},
			}))
		},
	}
	c.Flags().BoolVar(&rotate, "rotate", false, "make a new key first")
	return explained(c)
}

// Where the unlock key is, and what is left to do where nobody has it.
const (
	keyNoted = "it is what dcalab swarm unlock-key, or docker swarm update --autolock, showed: dcalab swarm unlock < FILE"
	keyLost  = "if nobody has kept it, and every manager waits for it, this swarm is lost: dcalab swarm dissolve, then dcalab swarm bootstrap"
)

// withoutKey adds them to what says that a key is needed, or is another one.
func withoutKey(err error) error {
	var t *trouble.Error
	wrong := errors.Is(err, engine.ErrWrongKey)
	if errors.As(err, &t) && (wrong || errors.Is(err, swarm.ErrLocked)) {
		if wrong {
			t.Next = []string{keyNoted}
		}
		t.Next = append(t.Next, keyLost)
	}
	return err
}

// readKey reads the unlock key from the terminal, unseen, or from a pipe.
func readKey(ctx context.Context, a *app) (engine.Secret, error) {
	text, err := ui.ReadSecret(ctx, a.streams, "unlock key (SWMKEY-…): ")
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("read the unlock key: %w", err)
	}
	key := strings.TrimSpace(text)
	if strings.HasPrefix(key, "SWMKEY-1-") {
		return engine.Secret(key), nil
	}
	e := &trouble.Error{
		ID: "wrong-key", What: "unlock the swarm", Why: "this is not an unlock key: one begins with SWMKEY",
		Next: []string{keyNoted, keyLost},
	}
	if key == "" {
		e.Why = "no unlock key was given"
	}
	return "", e
}
