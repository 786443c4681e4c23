package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

func (a *app) cp() *cobra.Command {
	var which selection
	var recursive bool
	c := &cobra.Command{
		Use:   "cp [-r] SRC... DST",
		Short: "Copy files to nodes, or from them",
		Long: `Copy files as scp does: NODE:PATH is on a node, PATH is here. A path on a
node that does not begin with / is seen from the home of its user; NODE: is
that home. With --all, --managers or --workers, :PATH is on each of these
nodes; what comes from them is put into a folder for each, named after it.

Permissions are kept, here less your umask. A file is replaced in one step when
the whole of it has arrived, so that nobody ever sees half of one, also after
Ctrl-C. A file that only root may read or write is copied in two steps; the
error shows them.`,
		Example: "  dcalab cp stack.yml master:\n  dcalab cp master:/etc/hosts .\n  dcalab cp -r site node01:/tmp/\n" +
			"  dcalab cp --all daemon.json :/tmp/\n  dcalab cp --managers :/var/log/docker.log logs",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: a.completeSpots,
		RunE: func(c *cobra.Command, args []string) error {
			var spots []spot
			for _, arg := range args {
				spots = append(spots, parseSpot(arg, runtime.GOOS == "windows"))
			}
			if err := checkSpots(spots, args, which); err != nil {
				return err
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			return s.copy(c.Context(), which, spots, recursive)
		},
	}
	which.flags(c)
	c.Flags().BoolVarP(&recursive, "recursive", "r", false, "copy folders, and what is in them")
	return explained(c)
}

// spot is a file here or on a node.
type spot struct {
	remote bool
	node   string // empty with remote: on each of the nodes that are selected
	path   string
}

// parseSpot reads scp's grammar: what has a colon before its first slash is on
// a node. On Windows, one letter before the colon is a drive.
func parseSpot(arg string, windows bool) spot {
	stops := ":/"
	if windows {
		stops = `:/\`
	}
	i := strings.IndexAny(arg, stops)
	if i < 0 || arg[i] != ':' || windows && i == 1 {
		return spot{path: arg}
	}
	return spot{remote: true, node: arg[:i], path: arg[i+1:]}
}

// checkSpots refuses what makes no sense before anything is asked.
func checkSpots(spots []spot, args []string, which selection) error {
	remote := false
	for i, s := range spots {
		remote = remote || s.remote
		switch {
		case args[i] == "":
			return usage("a path is empty")
		case s.remote && s.node == "" && which.none():
			return usage(fmt.Sprintf("%q: on which node?", args[i]), "NODE"+args[i]+", or --all, --managers, --workers for several")
		case s.remote && s.node != "" && !which.none():
			return usage(fmt.Sprintf("%s names a node, and --all, --managers or --workers select them too", args[i]), "for each of the selected nodes: :"+s.path)
		}
	}
	if !remote {
		next := "dcalab cp " + strings.Join(args[:len(args)-1], " ") + " NODE:" + args[len(args)-1]
		if !which.none() {
			next = "dcalab cp --all " + strings.Join(args[:len(args)-1], " ") + " :" + args[len(args)-1]
		}
		return usage("none of these is on a node", next)
	}
	return nil
}

// errand is one source on its way to one target.
type errand struct {
	from, to string // nodes; empty is here
	source   string
	target   string
	into     bool // the target is a folder, and must be there
	each     bool // the target is a folder that is made for this node
}

// copy does all errands: those of different nodes at once, each node's own one
// after another.
func (s *session) copy(ctx context.Context, which selection, spots []spot, recursive bool) error {
	var selected []lab.Node
	have := s.NewPool()
	if !which.none() {
		var err error
		if selected, have, err = s.chosen(ctx, which, nil); err != nil {
			return err
		}
	}
	defer func() { have.Close() }()
	errands, err := s.errands(spots, selected)
	if err != nil {
		return err
	}
	r := s.copyRunbook(errands, recursive)
	// Who is needed, and whose errand each is.
	var needed []string
	lanes := map[string][]errand{}
	for _, e := range errands {
		owner := e.to
		if owner == "" {
			owner = e.from
		}
		lanes[owner] = append(lanes[owner], e)
		needed = append(needed, e.from, e.to)
	}
	nodes, err := s.pick(unique(needed))
	if err != nil {
		return err
	}
	if s.app.dryRun() {
		if err := s.warnNotRunning(ctx, nodes); err != nil {
			return err
		}
		return s.rehearse(r.plan, r.runbook)
	}
	var busy []string
	for _, n := range nodes {
		if len(lanes[n.Name]) > 0 {
			busy = append(busy, n.Name)
		}
	}
	p := s.progress(busy)
	defer p.Close()

	// A copy between two nodes needs both: everybody is opened first.
	places := map[string]*node.Place{"": node.Here()}
	unreached := map[string]error{}
	var mu sync.Mutex
	have.Reach(ctx, nodes, func(i int, n *node.Conn, err error) {
		var place *node.Place
		if err == nil {
			place, err = n.Files(ctx)
		}
		mu.Lock()
		defer mu.Unlock()
		places[nodes[i].Name], unreached[nodes[i].Name] = place, err
	})
	defer func() {
		for _, p := range places {
			if p != nil {
				_ = p.Close()
			}
		}
	}()
	errs := make([]error, len(busy))
	skipped := make([][]string, len(busy))
	var all sync.WaitGroup
	for i, name := range busy {
		all.Go(func() { skipped[i], errs[i] = s.runLane(ctx, name, lanes[name], places, unreached, recursive, p) })
	}
	all.Wait()
	p.Close()
	s.warn(slices.Concat(skipped...)...)
	if ctx.Err() != nil {
		return &trouble.Error{
			ID: "interrupted", What: "interrupted", Why: "files that were copied stay; none is there in part",
			Next: []string{"the same command, run again, copies all of them"}, Exit: trouble.ExitInterrupted, Err: ctx.Err(),
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.recount(r.runbook)
}

func unique(list []string) []string {
	var out []string
	seen := map[string]bool{"": true}
	for _, s := range list {
		if !seen[s] {
			out = append(out, s)
		}
		seen[s] = true
	}
	return out
}

// errands spreads the spots over nodes.
func (s *session) errands(spots []spot, selected []lab.Node) ([]errand, error) {
	nodesOf := func(p spot) ([]string, error) {
		switch {
		case !p.remote:
			return []string{""}, nil
		case p.node == "":
			return names(selected), nil
		}
		nodes, err := s.pick([]string{p.node})
		if err != nil {
			var t *trouble.Error
			if errors.As(err, &t) {
				t.Next = append(t.Next, "a file here with a colon in its name: ./"+p.node+":"+p.path)
			}
			return nil, err
		}
		return names(nodes), nil
	}
	sources, target := spots[:len(spots)-1], spots[len(spots)-1]
	targets, err := nodesOf(target)
	if err != nil {
		return nil, err
	}
	var out []errand
	for _, src := range sources {
		from, err := nodesOf(src)
		if err != nil {
			return nil, err
		}
		// :PATH on both sides: each node for itself.
		together := src.remote && src.node == "" && target.remote && target.node == ""
		for _, f := range from {
			for _, t := range targets {
				if together && f != t {
					continue
				}
				out = append(out, errand{
					from: f, to: t, source: src.path, target: target.path, into: len(sources) > 1,
					each: src.remote && src.node == "" && !together,
				})
			}
		}
	}
	for i, e := range out {
		if e.each && e.to != "" {
			return nil, usage("several nodes' files cannot go to a node in one step", "copy them here first: dcalab cp --all :"+e.source+" FOLDER")
		}
		if e.each {
			out[i].target = filepath.Join(e.target, e.from)
		}
	}
	return out, nil
}

// runLane does the errands of one node, one after another, and tells of them.
// A failed one does not keep the others from being tried. What was left out it
// gives back: on a terminal, a warning would run into the live lines.
func (s *session) runLane(ctx context.Context, name string, lane []errand, places map[string]*node.Place, unreached map[string]error, recursive bool, p *ui.Progress) (skipped []string, _ error) {
	p.Step(name, "copying")
	var sum node.Copied
	var errs []error
	live := s.app.streams.ErrTerminal()
	var shown time.Time
	for _, e := range lane {
		err := errors.Join(unreached[e.from], unreached[e.to])
		if err == nil && e.each {
			err = os.MkdirAll(e.target, 0o755)
		}
		if err == nil {
			c := node.Copy{From: places[e.from], To: places[e.to], Recursive: recursive, Into: e.into || e.each}
			c.Skipped = func(path, why string) { skipped = append(skipped, path+" is left out: "+why) }
			c.Left = func(path string, err error) {
				skipped = append(skipped, path+" is half a file and could not be removed: "+err.Error())
			}
			if live {
				c.Moved = func(file string, done, size int64) {
					if now := time.Now(); now.Sub(shown) > progressPause && size > 0 {
						shown = now
						p.Step(name, fmt.Sprintf("%s  %s of %s", filepath.Base(file), bytesText(done), bytesText(size)))
					}
				}
			}
			var done node.Copied
			done, err = c.Run(ctx, e.source, e.target)
			sum.Files += done.Files
			sum.Bytes += done.Bytes
		}
		if ctx.Err() != nil {
			p.Fail(name, errors.New("interrupted"))
			return skipped, context.Cause(ctx)
		}
		// Of a target that is no folder, every source says the same.
		if err != nil && (len(errs) == 0 || errs[len(errs)-1].Error() != err.Error()) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		p.Fail(name, err)
		return skipped, err
	}
	what := "1 file"
	if sum.Files != 1 {
		what = fmt.Sprintf("%d files", sum.Files)
	}
	p.Done(name, fmt.Sprintf("copied %s, %s", what, bytesText(sum.Bytes)))
	return skipped, nil
}

// progressPause is between two looks at how much has been copied.
const progressPause = 100 * time.Millisecond

// bytesText shows a size as people say it: 512 B, 12 kB, 3.4 MB.
func bytesText(n int64) string {
	f, unit := float64(n), ""
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if f < 1000 {
			break
		}
		f, unit = f/1000, u
	}
	switch {
	case unit == "":
		return fmt.Sprintf("%d B", n)
	case f < 10:
		return fmt.Sprintf("%.1f %s", f, unit)
	}
	return fmt.Sprintf("%.0f %s", f, unit)
}

// completeSpots offers the nodes, and files.
func (a *app) completeSpots(c *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if strings.ContainsAny(word, ":/.") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	nodes, _ := a.completeNodes(c, nil, word)
	var out []cobra.Completion
	for _, n := range nodes {
		name, about, _ := strings.Cut(n, "\t")
		if strings.HasPrefix(name, word) {
			out = append(out, cobra.CompletionWithDesc(name+":", about))
		}
	}
	if len(out) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return out, cobra.ShellCompDirectiveNoSpace
}
