package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/fault"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/ui"
)

func breakCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "break",
		Short: "Break something in the lab, for a time",
		Long: `Apply a fault to nodes of the lab. It heals by itself after five minutes, or
--for, whatever becomes of dcalab meanwhile: its end is kept on the nodes.
Faults add up; one that is there already gets the new end. Before the quorum is
lost, dcalab asks, unless --yes is given. dcalab heal undoes faults before their
time.

Nodes are named, or are leader, follower, managers, workers, minority or
majority (of the managers), or random. What such a word means is found out once,
and shown; --seed draws the same lot again.

Packets are dropped, or slowed down, where they arrive, in a chain of iptables
that is the fault's own, or by netem. The way in of dcalab is never touched.`,
		Example: "  dcalab break isolate leader\n  dcalab break partition node01,node02 --for 2m\n  dcalab break loss 20% node01\n  dcalab break kill leader --dry-run\n  dcalab break list",
	}
	for _, f := range faultCommands() {
		c.AddCommand(f.command(a))
	}
	c.AddCommand(breakListCommand(a))
	return c
}

// faultCommand is the command of one kind of fault.
type faultCommand struct {
	kind                       fault.Kind
	args, short, long, example string
	// least is how many arguments it takes at least.
	least int
}

func faultCommands() []faultCommand {
	return []faultCommand{
		{fault.Partition, "SIDE [SIDE...]", "Cut the lab's network into sides that do not hear each other",
			`Cut the lab's network into sides. Nodes of different sides do not hear each
other, neither managers nor what runs on them. A side is nodes joined by commas;
nodes that are not named are one more side.`,
			"  dcalab break partition node01,node02\n  dcalab break partition leader --for 2m\n  dcalab break partition minority majority --seed 7", 1},
		{fault.Isolate, "NODE...", "Cut nodes off from all others",
			`Cut nodes off from all others, or from those of --to, and from each other. With
--one-way in a node hears nobody, but is heard; with --one-way out nobody hears
it, and it hears the others.`,
			"  dcalab break isolate leader\n  dcalab break isolate node01 --one-way in --for 1m\n  dcalab break isolate node01 --to master", 1},
		{fault.Bridge, "NODE [SIDE1 SIDE2]", "Cut the lab's network in two, with one node that hears both sides",
			`Cut the lab's network into two sides that do not hear each other, and leave one
node that hears both, and is heard by both. Where no sides are given, the other
managers, and the other nodes, are halved. Nodes that are on neither side hear
both, too.`,
			"  dcalab break bridge node01\n  dcalab break bridge node01 master node02", 1},
		{fault.Block, "NODE[,NODE...] PORTS", "Block ports between nodes and all others",
			`Block ports between nodes and all others, or those of --to: port numbers joined
by commas, or any. Those of a swarm are 2377 (managers, TCP), 7946 (gossip of
overlay networks, TCP and UDP) and 4789 (what containers send each other over
them, UDP).`,
			"  dcalab break block node01 2377\n  dcalab break block workers 7946,4789", 2},
		{fault.Loss, "PERCENT NODE...", "Lose a share of the packets from and to nodes",
			`Lose packets between nodes and all others, or those of --to: this share of those
that arrive there, and of those that come from there.`,
			"  dcalab break loss 20% node01\n  dcalab break loss 5% node01 --to master --one-way in", 2},
		{fault.Delay, "TIME[±JITTER] NODE...", "Delay the packets from and to nodes",
			`Delay packets between nodes and all others, or those of --to: those that arrive
there, and those that come from there, so that a round trip takes twice as much
longer. With jitter (200ms±50ms, or 200ms+-50ms), each by another time between
150 and 250 ms, so that some overtake others.

It is done by netem where the node's kernel has it, else by a relay in user
space, and which of them is shown. --seed repeats what a relay draws. On a node
with netem there can be one delay or rate.`,
			"  dcalab break delay 200ms node01\n  dcalab break delay 80ms+-20ms workers --to managers", 2},
		{fault.Rate, "RATE NODE...", "Slow down the links from and to nodes",
			`Let packets between nodes and all others, or those of --to, arrive at a rate:
8kbit to 1gbit in a second. It holds for what arrives at each node from all of
these together. What has to wait longer than a second is lost.

It is done by netem where the node's kernel has it, else by a relay in user
space, and which of them is shown. On a node with netem there can be one delay
or rate.`,
			"  dcalab break rate 1mbit node01\n  dcalab break rate 256kbit node02 --to master --one-way out", 2},
		{fault.Kill, "NODE...", "Cut the power of machines",
			`Cut the power of machines: all that runs there ends at once, not gracefully;
disks are kept. After --for a dcalab in the background starts them again; before
that, dcalab heal does, or dcalab start.`,
			"  dcalab break kill leader\n  dcalab break kill node02 --for 30s", 1},
		{fault.Freeze, "NODE...", "Freeze engines, whose containers run on",
			`Stop the engine's process where it is (SIGSTOP): it neither answers nor ends.
Its containers run on, and connections to it stay open. It goes on when it is
healed.`,
			"  dcalab break freeze leader --for 1m\n  dcalab break freeze node01", 1},
		{fault.StopEngine, "NODE...", "Stop engines gracefully, so that they stay stopped",
			`Stop the engine gracefully, with its containers, and keep it stopped: the
machine runs on. It is started when the fault is healed.`,
			"  dcalab break stop-engine node01\n  dcalab break stop-engine follower --for 1m", 1},
		{fault.Disk, "NODE[,NODE...] PERCENT", "Fill the disk of nodes",
			`Fill the file system of the engine's data, /var/lib/docker, until this share of
it is used. It is one file, which goes when the fault is healed, and with the
next boot. For nodes with a disk of their own: virtual machines, and nodes of
the sandbox driver to which labs.yaml gives one (disk: 2048, in MiB).`,
			"  dcalab break disk node01 95%", 2},
		{fault.Clock, "NODE[,NODE...] OFFSET", "Set the clock of nodes wrong (virtual machines)",
			`Set the clock of nodes forward (+2h) or back (-- -30m). When the fault is healed
it shows what it would show without it. For nodes with a kernel of their own:
virtual machines.`,
			"  dcalab break clock node01 +2h\n  dcalab break clock node01 -- -30m", 2},
	}
}

func (f faultCommand) command(a *app) *cobra.Command {
	var r fault.Request
	var direction string
	c := &cobra.Command{
		Use: string(f.kind) + " " + f.args, Short: f.short, Long: f.long, Example: f.example,
		Args: cobra.MinimumNArgs(f.least), ValidArgsFunction: completer{a}.words,
	}
	c.Flags().DurationVar(&r.For, "for", fault.DefaultFor, "how long it lasts: 30s, 10m; 0 is until dcalab heal")
	c.Flags().Uint64Var(&r.Seed, "seed", 0, "draw follower, minority, majority and random as before")
	if f.kind.Between() {
		c.Flags().StringSliceVar(&r.To, "to", nil, "only between the nodes and these")
		_ = c.RegisterFlagCompletionFunc("to", completer{a}.words)
		c.Flags().StringVar(&direction, "one-way", "", "in: only what the nodes hear; out: only what is heard of them")
	}
	var watch observation
	var observes bool
	c.Flags().BoolVar(&observes, "observe", false, "follow what becomes of the swarm until it is whole again")
	watch.flags(c)
	yesFlag(c)
	asked := func(args []string) (fault.Request, error) {
		parsed, err := fault.Parse(append([]string{string(f.kind)}, args...))
		if err == nil {
			parsed.For, parsed.To, parsed.Seed, parsed.OneWay = r.For, r.To, r.Seed, fault.Direction(direction)
			err = parsed.Check()
		}
		var wrong *fault.SyntaxError
		if errors.As(err, &wrong) {
			return parsed, usage(wrong.Why, "dcalab break "+c.Use)
		}
		return parsed, err
	}
	c.PreRunE = func(_ *cobra.Command, args []string) error { // before a lab is looked for
		if _, err := asked(args); err != nil {
			return err
		}
		if given := watch != (observation{}); given && !observes {
			return usage("--load, --report and --output are of --observe", "dcalab break "+c.Use+" --observe")
		}
		return watch.check()
	}
	return operation(a, (*app).existing, c, func(s *session, args []string) (lifecycle.Operation, error) {
		r, err := asked(args)
		op := s.operator().Faults().Break(r, s.flag("yes") == "true")
		if err == nil && observes && !a.dryRun() {
			return nil, observing{s, watch}.breaking(c.Context(), op)
		}
		return op, err
	})
}

// breaking asks what there is to ask, and then applies a fault and follows what becomes
// of the swarm.
func (o observing) breaking(ctx context.Context, op lifecycle.Operation) error {
	if lacksRoot(op) {
		return asRoot{o.session}.rerun()
	}
	var told []string
	if o.flag("yes") == "false" {
		var err error
		if told, err = o.ask(ctx, op); err != nil {
			return err
		}
	}
	return o.run(ctx, 0, op, told)
}

// words completes nodes, and the words that stand for some.
func (c completer) words(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return slices.Concat(c.unnamed(args), fault.NodeWords()), noFiles
}

// faultsReport is what `dcalab break list -o json` prints. Its keys are a promise.
type faultsReport struct {
	Lab    string         `json:"lab" yaml:"lab"`
	Faults []report.Fault `json:"faults" yaml:"faults"`
}

func breakListCommand(a *app) *cobra.Command {
	var o listing
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the faults that there are, and how long each lasts",
		Long: `Show the faults of the lab, and ask the nodes whether each is still there: a
node that was booted anew has lost it. A fault whose time is over is shown only
as long as some node still has it.`,
		Example: "  dcalab break list\n  dcalab break list -q -o name",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			format, err := o.format(report.Fault{})
			if err != nil {
				return err
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			if stop, err := s.announce(report.FaultsRunbook(s.Session)); stop || err != nil {
				return err
			}
			list, unasked, err := report.Faults(c.Context(), s.Session)
			if err != nil {
				return err
			}
			s.warn(unasked...)
			return a.print(format, ui.Listing{
				Document: faultsReport{Lab: s.Lab().Name, Faults: list}, Rows: list, Key: "id",
				Table: func(w io.Writer, _ bool) error {
					if len(list) == 0 {
						s.note("nothing is broken in lab %s", s.Lab().Name)
						return nil
					}
					return ui.Table(w, []string{"ID", "FAULT", "HEALS IN", "STATE"}, ui.Cells(list, report.Fault.Cells), a.outColor())
				},
			})
		},
	}
	o.flags(c)
	return explained(c)
}

func healCommand(a *app) *cobra.Command {
	var all, due bool
	c := &cobra.Command{
		Use:   "heal [ID...]",
		Short: "Undo faults, and wait until the swarm is whole again",
		Long: `Undo faults of dcalab break before their time: those of these ids, or with
--all, every one, also what only the nodes know of. Machines whose power was cut
are started. A fault that is not there any more is healed.

Once nothing is broken, it waits until there is a leader and every node that
runs is Ready, and managers Reachable; what is not in two minutes, it says.`,
		Example:           "  dcalab heal f1\n  dcalab heal --all",
		ValidArgsFunction: completer{a}.broken,
	}
	c.Flags().BoolVar(&all, "all", false, "all faults that there are")
	c.Flags().BoolVar(&due, "when-due", false, "")
	_ = c.Flags().MarkHidden("when-due") // of the process that healLater starts
	c.PreRunE = func(_ *cobra.Command, args []string) error {
		switch {
		case all && len(args) > 0:
			return usage("--all heals every fault, and takes no ids", "dcalab heal --all")
		case due && len(args) != 1:
			return usage("--when-due is of one fault", "dcalab heal --all")
		case !all && len(args) == 0:
			return usage("heal what?", "one fault: dcalab heal f1", "all of them: dcalab heal --all", "those that there are: dcalab break list")
		}
		return nil
	}
	return operation(a, (*app).existing, c, func(s *session, args []string) (lifecycle.Operation, error) {
		if due {
			return nil, s.operator().Faults().HealWhenDue(c.Context(), args[0], s.perform)
		}
		return s.operator().Faults().Heal(args...), nil
	})
}

// healLater starts a dcalab that heals a fault once its time is over.
func (s *session) healLater(id string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	place := s.Place()
	args := []string{"--lab", place.Lab, "heal", id, "--when-due"}
	if place.Config != "" {
		args = append([]string{"--config", place.Config}, args...)
	}
	c := exec.Command(self, args...) //nolint:gosec,noctx // this program, which outlives this process
	c.Dir = place.Root
	node.Detach(c)
	if err := c.Start(); err != nil {
		return err
	}
	return c.Process.Release()
}

// broken completes the ids of faults.
func (c completer) broken(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	s, err := c.app.existing()
	if err != nil {
		return nil, noFiles
	}
	j, err := fault.ReadJournal(s.State())
	if err != nil {
		return nil, noFiles
	}
	var out []cobra.Completion
	for _, one := range j.Now(time.Now()) {
		out = append(out, cobra.CompletionWithDesc(one.ID, one.Words()))
	}
	return out, noFiles
}
