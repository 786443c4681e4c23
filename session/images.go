package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/image"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// each calls do for every one of the nodes at once, also for those that were not
// reached, and gives what it returned.
func (e *Engines) each(nodes []string, do func(node string, c *engine.Client, unreached error) error) []error {
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, name := range nodes {
		at := slices.IndexFunc(e.Targets, func(t swarm.Target) bool { return t.Name == name })
		all.Go(func() { errs[i] = do(name, e.clients[name], e.Targets[at].Unreachable) })
	}
	all.Wait()
	return errs
}

// ImageLoad are images on their way to nodes.
type ImageLoad struct {
	Archive *image.Archive
	Source  ImageSource
	// Sending is told how many of all bytes a node has got, 0 at first; it may be
	// called from several goroutines at once. May be nil.
	Sending func(node string, sent, total int64)
}

// loadsAtOnce is how many nodes unpack images at a time: thirty on two processors kept
// each other's sshd from answering for half a minute, and most were given up.
const loadsAtOnce = 6

// LoadImages loads images into the engines of nodes, some at once; one that has
// all of them already is passed over. The error is "image-load-unfinished" where
// some or all nodes lack them, or the context's.
func (e *Engines) LoadImages(ctx context.Context, l ImageLoad, nodes []lab.Node, p Reporter) error {
	names, turns := lab.Names(nodes), make(chan struct{}, loadsAtOnce)
	errs := e.each(names, func(node string, c *engine.Client, err error) error {
		var summary string
		if err == nil {
			turns <- struct{}{}
			summary, err = l.into(ctx, node, c, p)
			<-turns
		}
		if err != nil {
			p.Fail(node, err)
			return err
		}
		p.Done(node, summary)
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	var failed []string
	for i, name := range names {
		if errs[i] != nil {
			failed = append(failed, name)
		}
	}
	unfinished := &trouble.Error{
		ID: "image-load-unfinished", What: "load " + string(l.Source),
		Why:  fmt.Sprintf("%d of %d nodes lack it: %s", len(failed), len(nodes), strings.Join(failed, ", ")),
		Next: trouble.Advice(err), Err: err,
	}
	if l.Source != StandardInput {
		unfinished.Next = append(unfinished.Next, "then: dcalab image load "+string(l.Source)+" "+strings.Join(failed, " "))
	}
	if len(failed) < len(nodes) {
		unfinished.Exit = trouble.ExitUnfinished
	}
	return unfinished
}

// into loads the images into one node, and says how it went.
func (l ImageLoad) into(ctx context.Context, node string, c *engine.Client, p Reporter) (string, error) {
	p.Step(node, "asking what it has")
	_, arch, err := c.Platform(ctx)
	if err != nil {
		return "", err
	}
	archive, err := l.Archive.For(arch)
	if err != nil {
		return "", err
	}
	var loaded []string
	for _, i := range archive.Images {
		loaded = append(loaded, i.Name())
		if i.Arch == "" || i.Arch == arch {
			continue
		}
		if l.Source == DemoImage { // built for one processor
			return "", &trouble.Error{
				ID: "image-of-other-processor", Where: node, What: "load the demo image", Why: "it would be for " + i.Arch + ", and the node is " + arch,
				Next: []string{"give a dcalab for it: CGO_ENABLED=0 GOOS=linux GOARCH=" + arch + " go build -o dcalab-" + arch + " . && dcalab image load demo --binary dcalab-" + arch + " " + node},
			}
		}
		p.Note(node + ": " + i.Name() + " is for " + i.Arch + ", and the node is " + arch)
	}
	have, err := c.Images.List(ctx)
	if err != nil {
		return "", err
	}
	if hasAll(have, archive.Images) {
		return "has it already", nil
	}
	r := archive.Reader()
	if l.Sending != nil {
		l.Sending(node, 0, archive.Size())
		r = &counted{r: r, tell: func(sent int64) { l.Sending(node, sent, archive.Size()) }}
	}
	if err := c.Images.Load(ctx, r); err != nil {
		return "", err
	}
	return "loaded " + strings.Join(loaded, ", "), nil
}

// hasAll tells whether an engine has every image under all its names.
func hasAll(have []engine.Image, want []image.Image) bool {
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h engine.Image) bool {
			return slices.Contains(w.IDs, h.ID) && !slices.ContainsFunc(w.Tags, func(t string) bool { return !slices.Contains(h.Tags, t) })
		}) {
			return false
		}
	}
	return true
}

// counted tells how much was read.
type counted struct {
	r    io.Reader
	n    int64
	tell func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.tell(c.n)
	return n, err
}

// Images are those of a lab's nodes that have a name. Its keys are a promise of
// dcalab image list.
type Images struct {
	Lab    string      `json:"lab" yaml:"lab"`
	Images []NodeImage `json:"images" yaml:"images"` // by name
	// Unasked are the nodes that did not answer.
	Unasked []Unasked `json:"unasked" yaml:"unasked"`
}

// NodeImage is an image under one name, and the nodes that have it so.
type NodeImage struct {
	Name  string   `json:"name" yaml:"name"`
	ID    string   `json:"id" yaml:"id"`
	Size  int64    `json:"size" yaml:"size"` // bytes
	Nodes []string `json:"nodes" yaml:"nodes"`
}

// Unasked is a node that did not answer, and why.
type Unasked struct {
	Node  string `json:"node" yaml:"node"`
	Error string `json:"error" yaml:"error"`
}

// Images asks every engine for its images. Where none answers, that is an error.
func (e *Engines) Images(ctx context.Context) (Images, error) {
	out := Images{Images: []NodeImage{}, Unasked: []Unasked{}}
	names := make([]string, len(e.Targets))
	for i, t := range e.Targets {
		names[i] = t.Name
	}
	var mu sync.Mutex
	lists := map[string][]engine.Image{}
	errs := e.each(names, func(node string, c *engine.Client, err error) error {
		var list []engine.Image
		if err == nil {
			list, err = c.Images.List(ctx)
		}
		mu.Lock()
		defer mu.Unlock()
		lists[node] = list
		return err
	})
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	for i, name := range names {
		if errs[i] != nil {
			out.Unasked = append(out.Unasked, Unasked{name, errs[i].Error()})
		}
		for _, in := range lists[name] {
			for _, tag := range in.Tags {
				at := slices.IndexFunc(out.Images, func(o NodeImage) bool { return o.Name == tag && o.ID == in.ID })
				if at < 0 {
					at = len(out.Images)
					out.Images = append(out.Images, NodeImage{Name: tag, ID: in.ID, Size: in.Size})
				}
				out.Images[at].Nodes = append(out.Images[at].Nodes, name)
			}
		}
	}
	slices.SortStableFunc(out.Images, func(a, b NodeImage) int { return cmp.Compare(a.Name, b.Name) })
	if len(out.Unasked) == len(names) {
		return out, errors.Join(errs...)
	}
	return out, nil
}
