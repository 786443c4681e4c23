package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/trouble"
)

func forwardCommand(a *app) *cobra.Command {
	var on string
	c := &cobra.Command{
		Use:   "forward [[LOCAL:]PORT...]",
		Short: "Reach what services publish at 127.0.0.1, through SSH",
		Long: `Listen at 127.0.0.1 on this machine, and carry each connection to the node on
which the service answers, until Ctrl-C: like ssh -L, and for the docker driver
the way into the lab's container. PORT is a port that a service publishes, or
any port of TCP on the node that --node names; LOCAL is the one here, where that
is to be another. Without ports, it is all ports that services publish now.

What publishes the port is looked up once, when it starts. While it runs, status
shows these addresses. Every program on this machine can connect to them.`,
		Example: "  dcalab forward\n  dcalab forward 8080\n  dcalab forward 8081:8080 --node node02",
		RunE: func(c *cobra.Command, args []string) error {
			wants, err := forwardsOf(args)
			if err != nil {
				return err
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			var node []lab.Node
			if on != "" {
				if node, err = s.pick([]string{on}); err != nil {
					return err
				}
				if len(wants) == 0 {
					return usage("--node "+on+" is for ports that are named", "dcalab forward PORT --node "+on)
				}
			}
			return (&forwarding{s, wants}).run(c.Context(), node)
		},
	}
	c.Flags().StringVar(&on, "node", "", "the node to connect to, whatever publishes the port")
	_ = c.RegisterFlagCompletionFunc("node", completer{a}.one)
	c.ValidArgsFunction = cobra.NoFileCompletions
	return explained(c)
}

// wantedForward is a port here, and the one of nodes that it leads to.
type wantedForward struct {
	local, port uint16
	nodes       []lab.Node
	what        string // publishes it; empty where nobody asked
}

func (w wantedForward) address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(w.local)))
}

func forwardsOf(args []string) ([]wantedForward, error) {
	var out []wantedForward
	for _, arg := range args {
		here, there, both := strings.Cut(arg, ":")
		if !both {
			there = here
		}
		local, errL := strconv.ParseUint(here, 10, 16)
		port, errP := strconv.ParseUint(there, 10, 16)
		if errL != nil || errP != nil || local == 0 || port == 0 {
			return nil, usage(fmt.Sprintf("%q is no port", arg), "a port, 1 to 65535: dcalab forward 8080", "another one here: dcalab forward 8081:8080")
		}
		w := wantedForward{local: uint16(local), port: uint16(port)}
		if slices.ContainsFunc(out, func(o wantedForward) bool { return o.local == w.local }) {
			return nil, usage(fmt.Sprintf("127.0.0.1:%d is named twice", w.local), fmt.Sprintf("another one here: dcalab forward %d:%d", otherPort(w.local), w.port))
		}
		out = append(out, w)
	}
	return out, nil
}

// forwarding carries connections of ports of this machine to a lab's nodes.
type forwarding struct {
	*session
	wants []wantedForward
}

// run carries connections until ctx ends.
func (f *forwarding) run(ctx context.Context, node []lab.Node) error {
	if node == nil {
		if err := f.published(ctx); err != nil {
			return err
		}
	}
	var typed runbook.Runbook
	for i, w := range f.wants {
		if node != nil {
			f.wants[i].nodes = node
		}
		to := f.wants[i].nodes[0]
		typed = append(typed, runbook.Local(runbook.Line("ssh", "-F", f.State().SSHConfig(), "-N", "-L", fmt.Sprintf("%s:%s:%d", w.address(), to.IP, w.port), to.Name))...)
	}
	if stop, err := f.announce(typed); stop || err != nil {
		return err
	}
	var told []lab.Forwarded
	for _, w := range f.wants {
		told = append(told, lab.Forwarded{Local: w.address(), Port: int(w.port)})
	}
	end, err := f.State().Forward(ctx, told)
	if errors.Is(err, lab.ErrForwarding) {
		return &trouble.Error{
			ID: "forward-runs", What: "forward ports of lab " + f.Lab().Name, Err: err, Exit: trouble.ExitRefused,
			Next: []string{"stop it with Ctrl-C where it runs", "one can carry several ports: dcalab forward 8080 9090"},
		}
	}
	if err != nil {
		return err
	}
	return errors.Join(f.listen(ctx), end())
}

// published gives each port that is wanted the nodes on which it answers; where
// none is wanted, all that do.
func (f *forwarding) published(ctx context.Context) error {
	r, err := report.Observe(ctx, f.Session, report.Options{})
	if err != nil {
		return err
	}
	var ports []uint16
	for _, w := range f.wants {
		ports = append(ports, w.port)
	}
	targets, err := r.Targets(f.Lab(), ports...)
	if err != nil {
		return err
	}
	var out []wantedForward
	for i, t := range targets {
		w := wantedForward{local: t.Port, port: t.Port, nodes: t.Nodes, what: " (service " + t.Service + ")"}
		if len(f.wants) > 0 {
			w.local = f.wants[i].local
		}
		out = append(out, w)
	}
	f.wants = out
	return nil
}

func (f *forwarding) listen(ctx context.Context) error {
	var forwards []labsession.Forward
	for _, w := range f.wants {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", w.address())
		if err != nil {
			e := &trouble.Error{
				ID: "port-taken", What: "listen at " + w.address(), Err: err, Exit: trouble.ExitRefused,
				Next: []string{fmt.Sprintf("another port here: dcalab forward %d:%d", otherPort(w.local), w.port)},
			}
			if errors.Is(err, fs.ErrPermission) {
				e.Why = "you may not listen there; ports below 1024 are root's"
			}
			return e
		}
		defer l.Close()
		forwards = append(forwards, labsession.Forward{Listener: l, Port: w.port, Nodes: w.nodes})
	}
	for _, w := range f.wants {
		fmt.Fprintf(f.app.streams.Out, "%s → port %d of %s%s\n", w.address(), w.port, strings.Join(lab.Names(w.nodes), ", "), w.what)
	}
	return f.serve(ctx, forwards)
}

// otherPort is one that is easy to remember, beside port.
func otherPort(port uint16) uint16 {
	if port < 50000 {
		return port + 10000
	}
	return port - 10000
}

// serve carries connections of all, until ctx ends or one cannot any more.
func (f *forwarding) serve(ctx context.Context, forwards []labsession.Forward) error {
	pool := f.NewPool()
	defer pool.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(forwards))
	for _, one := range forwards {
		go func() {
			ended <- one.Serve(ctx, pool, func(err error) { f.warn(fmt.Sprintf("port %d: %v", one.Port, err)) })
		}()
	}
	var errs []error
	for range forwards {
		errs = append(errs, <-ended)
		cancel()
	}
	return errors.Join(errs...)
}
