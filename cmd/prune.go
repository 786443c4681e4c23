package cmd

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/lesson"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// orphans are the sandbox labs of this user, or for root of all users, that no
// folder holds any more: their .dcalab was removed while machines existed.
func (a *app) orphans() []sandbox.Place {
	s := labsession.Of(a.lab(), labsession.Parts{Owner: owner()})
	index, err := lab.OpenIndex(os.Getenv, s.Owner())
	if err != nil {
		index = nil
	}
	places := sandbox.Places()
	maps.Copy(places, sandbox.Leftovers(places))
	var out []sandbox.Place
	for _, p := range places {
		if p.UID != s.UID() && s.UID() != 0 {
			continue
		}
		o := s.Owner()
		if s.UID() == 0 && p.UID != 0 {
			o = lab.Owner{UID: p.UID, GID: p.UID} // it is only read
		}
		at := lab.Place{Root: p.Root, Lab: p.Lab}
		candidates := []lab.Place{at}
		if index != nil {
			known, _ := index.Known(p.ID, at)
			for _, k := range known {
				p.Root, p.Config = k.Root, k.Config // root has not met a moved one yet
			}
			candidates = append(candidates, known...)
		}
		if !slices.ContainsFunc(candidates, func(c lab.Place) bool { return labsession.Holds(c, p.ID, o) }) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(x, y sandbox.Place) int {
		return cmp.Or(strings.Compare(x.Root, y.Root), strings.Compare(x.Lab, y.Lab), strings.Compare(x.ID, y.ID))
	})
	return out
}

// orphan is the session of a lab that no folder holds.
func (a *app) orphan(p sandbox.Place) (*session, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l := &lab.Lab{Name: p.Lab}
	if subnet, err := netip.ParsePrefix(p.Subnet); err == nil {
		l.Subnet = subnet
	}
	return &session{app: a, Session: labsession.Of(a.lab(), labsession.Parts{
		File: &lab.File{Default: p.Lab}, Lab: l, Owner: lab.Owner{UID: p.UID}, Created: true,
		Driver: sandbox.New(sandbox.Config{
			Lab: l, ID: p.ID, Dir: sandbox.Dir(p.ID), Root: p.Root, Config: p.Config, Executable: self, UID: p.UID,
			ForgetHostKey: func(string) error { return nil },
		}),
	})}, nil
}

// orphanHere is an orphan that was made in the folder of the session's lab,
// under its name.
func (s *session) orphanHere() (sandbox.Place, bool) {
	here := s.Place().Real()
	for _, p := range s.app.orphans() {
		if p.Root == here.Root && p.Lab == here.Lab && p.UID == s.UID() {
			return p, true
		}
	}
	return sandbox.Place{}, false
}

// notOrphaned refuses to make a lab beside the machines of one whose state was
// removed here.
func (s *session) notOrphaned() error {
	if s.Created() {
		return nil
	}
	p, ok := s.orphanHere()
	if !ok {
		return nil
	}
	return &trouble.Error{
		ID: "lab-orphaned", What: "lab " + s.Lab().Name, Exit: trouble.ExitRefused,
		Why:  "its machines are still there, and the folder that led to them, " + s.State().Dir() + ", was removed" + since(p),
		Next: []string{"remove them, with all that is on them: dcalab prune", "or put that folder back, from a backup, and go on"},
	}
}

func since(p sandbox.Place) string {
	if p.Created.IsZero() {
		return ""
	}
	return "; they were made on " + p.Created.Local().Format("2006-01-02")
}

func (a *app) prune() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove labs of this machine whose folder is gone",
		Long: `Find the labs of the sandbox driver that no folder holds any more, and remove
their machines with all that is on them: processes, disks, networks, snapshots.
A lab comes to that when its .dcalab is removed while it has machines, with
rm -r or git clean -fdx for instance. No other command reaches it then.

It asks first, unless --yes is given. A lab whose folder was moved, or is on a
disk that is not mounted, looks the same: run a command in the folder where it
is now (dcalab status), and it is not an orphan any more.

As root, without sudo, it finds those of all users. Machines of the Vagrant
driver are found by vagrant global-status, and removed by vagrant destroy ID.`,
		Example: "  dcalab prune\n  dcalab prune --dry-run\n  dcalab prune --yes",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			list := a.orphans()
			s := &session{app: a}
			if len(list) == 0 {
				if a.dryRun() {
					return s.rehearse(nil, nil)
				}
				s.note("every lab of this machine is in its folder: nothing to prune")
				return nil
			}
			var r rehearsal
			var sessions []*session
			for _, p := range list {
				one, err := a.orphan(p)
				if err != nil {
					return err
				}
				left, err := one.Orphans(ctx)
				if err != nil {
					return err
				}
				what := fmt.Sprintf("lab %s, made in %s", p.Lab, p.Root)
				if nodes := slices.Sorted(maps.Keys(left)); len(nodes) > 0 {
					what += ": " + strings.Join(nodes, ", ")
				}
				if !a.dryRun() {
					s.note("%s", what)
				}
				r.add("%s: destroy its machines, with all that is on them", what)
				r.types(one.deed(machine.Deed{Act: machine.ActDestroy, Nodes: slices.Sorted(maps.Keys(left))}))
				sessions = append(sessions, one)
			}
			if a.dryRun() {
				return s.rehearse(r.plan, r.lesson)
			}
			if sessions[0].asRoot() {
				return sessions[0].sudo(ctx)
			}
			if !yes {
				if err := s.confirm(ctx, "prune", "no folder holds them any more: destroy their machines, with all that is on them?"); err != nil {
					return err
				}
			}
			index, _ := lab.OpenIndex(os.Getenv, owner()) // a convenience
			var typed lesson.Lesson
			for i, one := range sessions {
				p := one.progress([]string{list[i].Lab})
				typed = append(typed, one.deed(machine.Deed{Act: machine.ActDestroy})...)
				err := one.Driver().Destroy(ctx, machine.Observer{Step: func(node, what string) { p.Step(list[i].Lab, node+": "+what) }})
				if err == nil {
					p.Done(list[i].Lab, "removed")
				}
				p.Close()
				if err != nil {
					return err
				}
				if index != nil {
					known, _ := index.Known(list[i].ID, lab.Place{Root: list[i].Root, Lab: list[i].Lab})
					for _, k := range known {
						_ = index.Remove(k)
					}
				}
			}
			return s.recount(typed)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return explained(c)
}
