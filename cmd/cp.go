package cmd

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	labsession "github.com/dcalab/dcalab/session"
)

func cpCommand(a *app) *cobra.Command {
	var which labsession.Selector
	var recursive bool
	c := &cobra.Command{
		Use:   "cp [-r] SRC... DST",
		Short: "Copy files to nodes, or from them",
		Long: `Copy files as scp does: NODE:PATH is on a node, PATH is on this machine. A
path on a node that does not begin with / is relative to its user's home; NODE:
is that home. With --all, --managers or --workers, :PATH is on each of these
nodes; what comes from them is put into a folder for each, named after it.

Permissions are kept, on this machine less your umask. A file is replaced in
one step when all of it has arrived, so that nobody ever sees half of one, also
after Ctrl-C. A file that only root may read or write is copied in two steps,
which the error shows.`,
		Example: "  dcalab cp stack.yml master:\n  dcalab cp master:/etc/hosts .\n  dcalab cp -r site node01:/tmp/\n" +
			"  dcalab cp --all daemon.json :/tmp/\n  dcalab cp --managers :/var/log/docker.log logs",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completer{a}.locations,
		RunE: func(c *cobra.Command, args []string) error {
			var locations []labsession.Location
			for _, arg := range args {
				locations = append(locations, parseLocation(arg, runtime.GOOS == "windows"))
			}
			if err := checkLocations(locations, args, which); err != nil {
				return err
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			return copyFiles(c.Context(), s, which, locations, recursive)
		},
	}
	selectorFlags(c, &which)
	c.Flags().BoolVarP(&recursive, "recursive", "r", false, "copy folders, and what is in them")
	return explained(c)
}

// parseLocation reads scp's grammar: what has a colon before its first slash is on
// a node. On Windows, one letter before the colon is a drive.
func parseLocation(arg string, windows bool) labsession.Location {
	stops := ":/"
	if windows {
		stops = `:/\`
	}
	i := strings.IndexAny(arg, stops)
	if i < 0 || arg[i] != ':' || windows && i == 1 {
		return labsession.Location{Path: arg}
	}
	return labsession.Location{Remote: true, Node: arg[:i], Path: arg[i+1:]}
}

// checkLocations refuses what makes no sense before anything is asked.
func checkLocations(locations []labsession.Location, args []string, which labsession.Selector) error {
	remote := false
	for i, l := range locations {
		remote = remote || l.Remote
		switch {
		case args[i] == "":
			return usage("a path is empty")
		case l.Remote && l.Node == "" && which.None():
			return usage(fmt.Sprintf("%q: on which node?", args[i]), "NODE"+args[i]+", or --all, --managers, --workers for several")
		case l.Remote && l.Node != "" && !which.None():
			return usage(fmt.Sprintf("%s names a node, and --all, --managers or --workers select them too", args[i]), "for each of the selected nodes: :"+l.Path)
		}
	}
	if !remote {
		next := "dcalab cp " + strings.Join(args[:len(args)-1], " ") + " NODE:" + args[len(args)-1]
		if !which.None() {
			next = "dcalab cp --all " + strings.Join(args[:len(args)-1], " ") + " :" + args[len(args)-1]
		}
		return usage("none of these is on a node", next)
	}
	return nil
}

// copyFiles does what cp is told, on the nodes that are selected.
func copyFiles(ctx context.Context, s *session, which labsession.Selector, locations []labsession.Location, recursive bool) error {
	var selected []lab.Node
	have := s.NewPool()
	if !which.None() {
		var err error
		if selected, have, err = s.chosen(ctx, which); err != nil {
			return err
		}
	}
	defer func() { have.Close() }()
	last := len(locations) - 1
	transfers, err := s.Transfers(locations[:last], locations[last], selected)
	if err != nil {
		return err
	}
	plan, typed := transfers.Plan(s.State().SSHConfig(), recursive)
	if s.app.dryRun() {
		nodes, err := s.Nodes(transfers.Nodes()...)
		if err == nil {
			err = s.warnNotRunning(ctx, nodes)
		}
		if err != nil {
			return err
		}
		return s.rehearse(plan, typed)
	}
	p := s.progress(transfers.Owners())
	defer p.Close()
	skipped, err := have.Copy(ctx, transfers, labsession.CopyOptions{Recursive: recursive, Live: s.app.streams.ErrTerminal()}, p)
	p.Close()
	s.warn(skipped...) // on a terminal it would have run into the live lines
	if err != nil {
		return err
	}
	return s.recount(typed)
}
