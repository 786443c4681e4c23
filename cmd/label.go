package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/session/lifecycle"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/ui"
)

func labelCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "label",
		Short: "Set, remove and list labels of nodes in the swarm",
		Long: `Services are placed by the labels of nodes: docker service create
--constraint node.labels.zone==east. Keys are case-sensitive.`,
	}
	c.AddCommand(labelSetCommand(a), labelRemoveCommand(a), labelListCommand(a))
	return c
}

func labelSetCommand(a *app) *cobra.Command {
	return operation(a, (*app).open, &cobra.Command{
		Use:   "set NODE[,NODE...] KEY=VALUE...",
		Short: "Set labels of nodes; other labels stay",
		Long: `Set labels of a node, or of several, joined by commas, and wait until the
swarm's node list shows them. Labels that are not named stay.`,
		Example:           "  dcalab label set node01 zone=east disk=ssd\n  dcalab label set node01,node02 zone=west",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completer{a}.one,
	}, func(s *session, args []string) (lifecycle.Operation, error) {
		set, warnings, err := parseLabels(args[1:])
		if err != nil {
			return nil, err
		}
		return changeLabels(s, args[0], set, nil, warnings)
	})
}

func labelRemoveCommand(a *app) *cobra.Command {
	return operation(a, (*app).open, &cobra.Command{
		Use:     "rm NODE[,NODE...] KEY...",
		Aliases: []string{"remove"},
		Short:   "Remove labels of nodes",
		Long: `Remove labels of a node, or of several, joined by commas, and wait until the
swarm's node list no longer shows them. One that a node does not have is no
error.`,
		Example:           "  dcalab label rm node01 zone\n  dcalab label rm node01,node02 zone disk",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completer{a}.one,
	}, func(s *session, args []string) (lifecycle.Operation, error) {
		for _, key := range args[1:] {
			if name, _, found := strings.Cut(key, "="); found {
				return nil, usage(fmt.Sprintf("%q has a value", key), "labels are removed by their key: dcalab label rm "+args[0]+" "+name)
			}
			if err := swarm.CheckLabelKey(key); err != nil {
				return nil, usage(err.Error(), "dcalab label rm NODE KEY")
			}
		}
		return changeLabels(s, args[0], nil, args[1:], nil)
	})
}

// parseLabels reads KEY=VALUE arguments, and says of which of them no
// placement constraint could make use.
func parseLabels(args []string) (set map[string]string, warnings []string, err error) {
	set = map[string]string{}
	for _, arg := range args {
		key, value, found := strings.Cut(arg, "=")
		if !found {
			return nil, nil, usage(fmt.Sprintf("%q is not KEY=VALUE", arg), "several nodes are joined by commas: dcalab label set node01,node02 zone=east")
		}
		if err := swarm.CheckLabelKey(key); err != nil {
			return nil, nil, usage(err.Error(), "a label is written KEY=VALUE: zone=east")
		}
		if have, twice := set[key]; twice && have != value {
			return nil, nil, usage(fmt.Sprintf("the label %s is given two values, %q and %q", key, have, value), "give it one: "+key+"="+value)
		}
		set[key] = value
		if w := swarm.LabelWarning(key, value); w != "" {
			warnings = append(warnings, w)
		}
	}
	return set, warnings, nil
}

func changeLabels(s *session, nodes string, set map[string]string, remove, warnings []string) (lifecycle.Operation, error) {
	var list []string
	for name := range strings.SplitSeq(nodes, ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		return nil, usage("no node is named", "dcalab label set node01 zone=east")
	}
	return s.operator().Swarm().ChangeLabels(set, remove, warnings, list...), s.MustExist()
}

func labelListCommand(a *app) *cobra.Command {
	var o listing
	c := &cobra.Command{
		Use: "list [NODE...]", Aliases: []string{"ls"},
		Short:             "List the labels of nodes in the swarm",
		Long:              "Show the labels that the swarm's node list has of each node, a line for each.",
		Example:           "  dcalab label list\n  dcalab label list node01 -o json",
		ValidArgsFunction: completer{a}.nodes,
		RunE: func(c *cobra.Command, args []string) error {
			format, err := o.format(report.Label{})
			if err != nil {
				return err
			}
			s, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := s.pick(args)
			if err == nil {
				err = s.MustExist()
			}
			if err != nil {
				return err
			}
			if stop, err := s.announce(report.LabelsRunbook(s.Session, nodes)); stop || err != nil {
				return err
			}
			r, err := report.ObserveLabels(c.Context(), s.Session, names(nodes))
			if err != nil {
				return err
			}
			if format.ForPeople() && len(r.Labels) == 0 {
				s.note("no node has a label; set one: dcalab label set NODE KEY=VALUE")
				return nil
			}
			return a.print(format, ui.Listing{
				Document: r, Rows: r.Labels, Key: "key",
				Table: func(w io.Writer, _ bool) error {
					return ui.Table(w, []string{"NODE", "KEY", "VALUE"}, ui.Cells(r.Labels, report.Label.Cells), a.outColor())
				},
			})
		},
	}
	o.flags(c)
	return explained(c)
}
