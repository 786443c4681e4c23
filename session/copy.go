package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// Location is a file here or on nodes.
type Location struct {
	Remote bool
	Node   string // empty with Remote: each of the nodes that are selected
	Path   string
}

// Transfer is one source on its way to one target.
type Transfer struct {
	From, To       string // nodes; empty is here
	Source, Target string
	// Into: the target is a folder, and must be there. Each: it is one that is made
	// for this node.
	Into, Each bool
}

// owner is the node that a transfer is told of.
func (t Transfer) owner() string { return cmp.Or(t.To, t.From) }

// Transfers are those of one copy.
type Transfers []Transfer

// Owners are the nodes that transfers are told of.
func (t Transfers) Owners() []string {
	var out []string
	for _, one := range t {
		if !slices.Contains(out, one.owner()) {
			out = append(out, one.owner())
		}
	}
	return out
}

// Nodes are those that transfers need.
func (t Transfers) Nodes() []string {
	var out []string
	for _, one := range t {
		out = append(out, one.From, one.To)
	}
	return slices.DeleteFunc(out, func(name string) bool { return name == "" })
}

// Transfers spreads sources and their target over nodes. selected are those that
// a Location without a node means.
func (s *OnDisk) Transfers(sources []Location, target Location, selected []lab.Node) (Transfers, error) {
	nodesOf := func(l Location) ([]string, error) {
		switch {
		case !l.Remote:
			return []string{""}, nil
		case l.Node == "":
			return lab.Names(selected), nil
		}
		nodes, err := s.Nodes(l.Node)
		if err != nil {
			var t *trouble.Error
			if errors.As(err, &t) {
				t.Next = append(t.Next, "a file here with a colon in its name: ./"+l.Node+":"+l.Path)
			}
			return nil, err
		}
		return []string{nodes[0].Name}, nil
	}
	targets, err := nodesOf(target)
	if err != nil {
		return nil, err
	}
	var out Transfers
	for _, src := range sources {
		from, err := nodesOf(src)
		if err != nil {
			return nil, err
		}
		// :PATH on both sides: each node for itself.
		each := src.Remote && src.Node == ""
		together := each && target.Remote && target.Node == ""
		for _, f := range from {
			for _, to := range targets {
				if together && f != to {
					continue
				}
				t := Transfer{From: f, To: to, Source: src.Path, Target: target.Path, Into: len(sources) > 1, Each: each && !together}
				if t.Each {
					t.Target = filepath.Join(t.Target, f)
				}
				out = append(out, t)
			}
		}
	}
	return out, nil
}

// Plan says transfers, a line each, and how a person does them with scp and the
// lab's ssh_config.
func (t Transfers) Plan(sshConfig string, recursive bool) (lines []string, typed runbook.Runbook) {
	at := func(node, path string) string {
		if node != "" {
			return node + ":" + path
		}
		if i := strings.IndexAny(path, ":/"); i >= 0 && path[i] == ':' {
			return "./" + path // scp would take it for a node's
		}
		return path
	}
	for _, one := range t {
		words := []string{"scp", "-F", sshConfig, "-p"}
		if recursive {
			words = append(words, "-r")
		}
		if one.From != "" && one.To != "" {
			words = append(words, "-3")
		}
		target := one.Target
		if one.Each {
			typed = append(typed, runbook.Command{Text: runbook.Line("mkdir", "-p", target)})
		}
		if (one.Each || one.Into) && target != "" {
			target = strings.TrimSuffix(target, "/") + "/" // a folder, and no new name
		}
		source, target := at(one.From, one.Source), at(one.To, target)
		typed = append(typed, runbook.Command{Text: runbook.Line(append(words, source, target)...)})
		lines = append(lines, fmt.Sprintf("%s: copy %s to %s", one.owner(), source, target))
	}
	return lines, typed
}

// CopyOptions are those of Copy.
type CopyOptions struct {
	// Recursive lets folders be copied.
	Recursive bool
	// Live: it is told how much of each file has been copied.
	Live bool
}

// livePause is between two looks at how much has been copied.
const livePause = 100 * time.Millisecond

// copying is a copy in progress.
type copying struct {
	CopyOptions
	places    map[string]*node.Place // by node; "" is here
	unreached map[string]error
	to        Reporter
}

// Copy does all transfers: those of different nodes at once, each node's own one
// after another. What was left out it gives back, also with an error.
func (p *Pool) Copy(ctx context.Context, transfers Transfers, o CopyOptions, r Reporter) (skipped []string, _ error) {
	nodes, err := p.session.Nodes(transfers.Nodes()...)
	if err != nil {
		return nil, err
	}
	// A copy between two nodes needs both: everybody is opened first.
	c := copying{o, map[string]*node.Place{"": node.Here()}, map[string]error{}, r}
	var mu sync.Mutex
	p.Reach(ctx, nodes, func(i int, n *node.Conn, err error) {
		var place *node.Place
		if err == nil {
			place, err = n.Files(ctx)
		}
		mu.Lock()
		defer mu.Unlock()
		c.places[nodes[i].Name], c.unreached[nodes[i].Name] = place, err
	})
	defer func() {
		for _, place := range c.places {
			if place != nil {
				_ = place.Close()
			}
		}
	}()
	owners := transfers.Owners()
	errs, left := make([]error, len(owners)), make([][]string, len(owners))
	var all sync.WaitGroup
	for i, owner := range owners {
		own := slices.DeleteFunc(slices.Clone(transfers), func(t Transfer) bool { return t.owner() != owner })
		all.Go(func() { left[i], errs[i] = c.perNode(ctx, owner, own) })
	}
	all.Wait()
	skipped = slices.Concat(left...)
	if ctx.Err() != nil {
		return skipped, &trouble.Error{
			ID: "interrupted", What: "interrupted", Why: "files that were copied stay; none is incomplete",
			Next: []string{"the same command, run again, copies all of them"}, Exit: trouble.ExitInterrupted, Err: ctx.Err(),
		}
	}
	return skipped, errors.Join(errs...)
}

// perNode does the transfers of one node, one after another, and tells of them.
// A failed one does not keep the others from being tried.
func (c copying) perNode(ctx context.Context, name string, transfers []Transfer) (skipped []string, _ error) {
	c.to.Step(name, "copying")
	var sum node.Copied
	var errs []error
	var shown time.Time
	for _, t := range transfers {
		err := errors.Join(c.unreached[t.From], c.unreached[t.To])
		if err == nil && t.Each {
			err = os.MkdirAll(t.Target, 0o755)
		}
		if err == nil {
			one := node.Copy{From: c.places[t.From], To: c.places[t.To], Recursive: c.Recursive, Into: t.Into || t.Each}
			one.Skipped = func(path, why string) { skipped = append(skipped, path+" is left out: "+why) }
			one.Left = func(path string, err error) {
				skipped = append(skipped, path+" is half a file and could not be removed: "+err.Error())
			}
			if c.Live {
				one.Moved = func(file string, done, size int64) {
					if now := time.Now(); now.Sub(shown) > livePause && size > 0 {
						shown = now
						c.to.Step(name, fmt.Sprintf("%s  %s of %s", filepath.Base(file), node.Size(done), node.Size(size)))
					}
				}
			}
			var done node.Copied
			done, err = one.Run(ctx, t.Source, t.Target)
			sum.Files += done.Files
			sum.Bytes += done.Bytes
		}
		if ctx.Err() != nil {
			c.to.Fail(name, errors.New("interrupted"))
			return skipped, context.Cause(ctx)
		}
		// Of a target that is no folder, every source says the same.
		if err != nil && (len(errs) == 0 || errs[len(errs)-1].Error() != err.Error()) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		c.to.Fail(name, err)
		return skipped, err
	}
	what := "1 file"
	if sum.Files != 1 {
		what = fmt.Sprintf("%d files", sum.Files)
	}
	c.to.Done(name, fmt.Sprintf("copied %s, %s", what, node.Size(sum.Bytes)))
	return skipped, nil
}
