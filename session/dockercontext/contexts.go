// Package dockercontext lets the docker program of this machine work on a lab.
//
// A context of Docker's holds ssh://HOST and nothing more: docker runs the ssh
// program, which reads the user's own configuration. So that has to lead to the
// lab's ssh_config, by one Include that holds for the lab's names alone. The
// package makes and removes both; it neither prompts nor prints.
package dockercontext

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// Contexts are Docker's contexts of one lab.
type Contexts struct {
	Lab   string // its name
	State *lab.State
	// Owner is who the lab's files belong to: under sudo, the user behind it.
	Owner lab.Owner
	// SSHConfig is the configuration file that ssh reads; empty means the
	// user's own, ~/.ssh/config.
	SSHConfig string
	// Docker finds the docker program: FindDocker.
	Docker func() (CLI, error)
	// Note and Warn are told what Remove does, and what it could not do.
	Note, Warn func(text string)
}

// Plan is what is done, as a person reads it and as a person would type it.
type Plan struct {
	Lines   []string
	Runbook runbook.Runbook
	// Node is the node that the context reaches.
	Node string
	// Block are the lines that are put in front of the file SSHConfig, for
	// which the user is to be asked; empty where they are there already.
	Block, SSHConfig string

	docker CLI
	set    []string // the arguments of docker that make the context
}

func (p *Plan) add(line string, commands ...string) {
	p.Lines = append(p.Lines, line)
	for _, c := range commands {
		p.Runbook = append(p.Runbook, runbook.Command{Node: runbook.Here, Text: c})
	}
}

// Name is that of the context which a lab has where none is given.
func Name(labName string) string { return "dcalab-" + labName }

// root is the folder that has the lab's .dcalab.
func (c Contexts) root() string { return filepath.Dir(filepath.Dir(c.State.Dir())) }

// description marks a context as this lab's.
func (c Contexts) description() string {
	return fmt.Sprintf("dcalab: lab %s in %s", c.Lab, c.root())
}

// owns tells whether a context is this lab's by its description, also where the
// lab's folder was reached through a link.
func (c Contexts) owns(d dockerContext) bool {
	root, ok := strings.CutPrefix(d.description, fmt.Sprintf("dcalab: lab %s in ", c.Lab))
	return ok && (lab.Place{Root: root}).Real().Root == (lab.Place{Root: c.root()}).Real().Root
}

// Exists tells whether there is a context of this name that is the lab's.
func (c Contexts) Exists(ctx context.Context, name string) (bool, error) {
	docker, err := c.Docker()
	if err != nil {
		return false, err
	}
	d, exists, err := docker.inspect(ctx, name)
	return exists && c.owns(d), err
}

// PlanCreate plans a context that reaches a node, and changes nothing. node
// chooses the node; it is called last, since it may take long.
func (c Contexts) PlanCreate(ctx context.Context, name string, choose func() (string, error)) (Plan, error) {
	docker, err := c.Docker()
	if err != nil {
		return Plan{}, err
	}
	if err := c.refuseRoot(); err != nil {
		return Plan{}, err
	}
	old, exists, err := docker.inspect(ctx, name)
	if err != nil {
		return Plan{}, err
	}
	if exists && !c.owns(old) {
		return Plan{}, foreignContext(name, old)
	}
	path, err := configPath(c.SSHConfig)
	if err != nil {
		return Plan{}, err
	}
	text, err := c.read(path)
	if err != nil {
		return Plan{}, err
	}
	block, err := c.block()
	if err != nil {
		return Plan{}, err
	}
	if err := c.refuseOtherLab(path, text); err != nil {
		return Plan{}, err
	}
	p := Plan{SSHConfig: path, docker: docker}
	if p.Node, err = choose(); err != nil {
		return Plan{}, err
	}
	verb := "create"
	if exists {
		verb = "update"
	}
	if withBlock(text, block, c.Lab) != text {
		p.Block = block
		p.add(fmt.Sprintf("add %d lines at the top of %s", strings.Count(block, "\n"), path), prependCommands(path, block, text != "")...)
	}
	p.set = []string{"context", verb, name, "--description", c.description(), "--docker", "host=ssh://" + node.SSHAlias(c.Lab, p.Node)}
	p.add(fmt.Sprintf("docker context %s %s, which reaches %s", verb, name, p.Node), runbook.Line(append([]string{"docker"}, p.set...)...))
	return p, nil
}

// Create does what PlanCreate planned. Where docker fails, the lines are taken
// out of ssh's configuration again.
func (c Contexts) Create(ctx context.Context, p Plan) error {
	block, err := c.block()
	if err != nil {
		return err
	}
	before, after, err := c.edit(p.SSHConfig, func(text string) string { return withBlock(text, block, c.Lab) })
	if err != nil {
		return err
	}
	if _, err := p.docker(ctx, p.set...); err != nil {
		_, _, undone := c.edit(p.SSHConfig, func(text string) string {
			switch {
			case before == after: // they were there before
				return text
			case text == after:
				return before
			}
			return strings.Replace(text, block, "", 1)
		})
		return errors.Join(err, undone)
	}
	return nil
}

// Remove removes a context of the lab, and the lines in ssh's configuration
// where no other context needs them. It tells each thing when it is done; in a
// dry run it only plans.
func (c Contexts) Remove(ctx context.Context, name string, dryRun bool) (Plan, error) {
	if err := c.refuseRoot(); err != nil {
		return Plan{}, err
	}
	path, err := configPath(c.SSHConfig)
	if err != nil {
		return Plan{}, err
	}
	removed, needed := false, false
	var p Plan
	docker, err := c.Docker()
	if err != nil {
		c.Warn(err.Error() + "; a context stays, if there is one")
	} else {
		if removed, err = c.removeContext(ctx, docker, name, dryRun, &p); err != nil {
			return Plan{}, err
		}
		// In a dry run the context is still there.
		if needed, err = docker.reaches(ctx, "ssh://"+node.SSHAlias(c.Lab, ""), name); err != nil {
			return Plan{}, err
		}
	}
	text, err := c.read(path)
	if err != nil {
		return Plan{}, err
	}
	if block, err := c.block(); err == nil && !needed && hasBlock(text, block, c.Lab) {
		p.add(fmt.Sprintf("take %d lines out of %s", strings.Count(block, "\n"), path),
			runbook.Line("sed", "-i.bak", "/^# dcalab "+c.Lab+": begin/,/^# dcalab "+c.Lab+": end/d", path))
		if dryRun {
			return p, nil
		}
		if _, _, err := c.edit(path, func(text string) string { return withoutBlock(text, c.Lab) }); err != nil {
			return Plan{}, err
		}
		removed = true
		c.Note("its lines are taken out of " + path)
	}
	if !removed && !dryRun {
		c.Note(fmt.Sprintf("there is no context %s of lab %s: nothing to remove", name, c.Lab))
	}
	return p, nil
}

func (c Contexts) removeContext(ctx context.Context, docker CLI, name string, dryRun bool, p *Plan) (removed bool, err error) {
	old, exists, err := docker.inspect(ctx, name)
	switch {
	case err != nil:
		return false, err
	case !exists:
		return false, nil
	case !c.owns(old):
		return false, foreignContext(name, old)
	}
	p.add("docker context rm "+name, runbook.Line("docker", "context", "rm", name))
	if dryRun {
		return false, nil
	}
	if err := docker.remove(ctx, name); err != nil {
		return false, err
	}
	c.Note(fmt.Sprintf("context %s is removed", name))
	return true, nil
}

// refuseRoot refuses to write into root's home what is meant for the user's.
func (c Contexts) refuseRoot() error {
	if c.Owner.UID == 0 {
		return nil
	}
	return &trouble.Error{
		ID: "context-under-sudo", What: "context", Why: "contexts and ~/.ssh/config would be root's, not yours",
		Next: []string{"the same without sudo: nothing here needs it"}, Exit: trouble.ExitRefused,
	}
}

func foreignContext(name string, c dockerContext) error {
	e := &trouble.Error{
		ID: "context-foreign", What: "context " + name, Exit: trouble.ExitRefused,
		Why:  "a context of that name exists that does not belong to this lab; it was left alone",
		Next: []string{"what it is: docker context inspect " + name, "another name: dcalab context create NAME"},
	}
	if c.description != "" {
		e.Why += fmt.Sprintf(" (%s)", c.description)
	}
	return e
}
