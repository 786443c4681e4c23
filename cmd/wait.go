package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

func waitCommand(a *app) *cobra.Command {
	var limit *timeout
	c := &cobra.Command{
		Use:   "wait CONDITION... [NODE...]",
		Short: "Wait until there is a leader, nodes are Ready, or other conditions hold",
		Long: `Check the lab again and again until all conditions hold, for scripts. Without
names a condition is about every node that it applies to.

  leader, quorum  a manager answers, and the swarm has a leader
  answers         the nodes' engines answer
  ready           the nodes are Ready in the swarm's node list
  reachable       the nodes are managers that the leader reaches (default: the
                  managers of labs.yaml)
  healthy         the nodes that are in the swarm are Ready, managers among
                  them Reachable, and there is a leader
  left            the nodes' engines are in no swarm

The exit status is 0 when they hold, and 6 when the time is over or waiting
longer cannot help. The error says what is missing, node by node.`,
		Example:           "  dcalab wait leader\n  dcalab wait ready node01 node02 --timeout 30s\n  dcalab halt node02 && dcalab wait leader && dcalab status",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completer{a}.conditions,
		RunE: func(c *cobra.Command, args []string) error {
			if *limit == 0 {
				return usage("--timeout is how long it waits at most", "dcalab wait leader --timeout 2m")
			}
			var wanted, on []string
			for _, word := range args {
				if slices.Contains(swarm.ConditionNames(), word) {
					wanted = append(wanted, word)
				} else {
					on = append(on, word)
				}
			}
			if len(wanted) == 0 {
				return oneOf("condition", args[0], swarm.ConditionNames(), "")
			}
			s, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := s.pick(on)
			if err == nil {
				err = s.MustExist()
			}
			if err != nil {
				return err
			}
			if len(on) > 0 {
				on = names(nodes)
			}
			var conditions []swarm.Condition
			for _, name := range wanted {
				condition, _ := swarm.Named(name, s.Lab(), on...)
				conditions = append(conditions, condition)
			}
			if stop, err := s.announce(report.Runbook(s.Session)); stop || err != nil {
				return err
			}
			p := s.progress(names(nodes))
			defer p.Close()
			engines := s.Unconnected()
			defer engines.Close()
			if _, err = engines.Await(c.Context(), time.Duration(*limit), labsession.Waiting(p), conditions...); err != nil {
				return notMet(wanted, err)
			}
			p.Close()
			s.note("conditions met: %s", strings.Join(wanted, ", "))
			return nil
		},
	}
	limit = timeoutFlag(c, 2*time.Minute)
	return explained(c)
}

// notMet words why conditions do not hold.
func notMet(wanted []string, err error) error {
	var unmet *swarm.UnmetError
	if !errors.As(err, &unmet) {
		return err
	}
	e := &trouble.Error{
		ID: "condition-unmet", What: "wait for " + strings.Join(wanted, ", "), Why: strings.Join(unmet.Missing, "; "),
		Next: []string{"look at the lab: dcalab status"}, Exit: trouble.ExitUnfinished, Err: err,
	}
	if unmet.Hopeless {
		e.Next = append(e.Next, "waiting longer does not help")
	} else {
		e.What += fmt.Sprintf(" (%s)", unmet.Timeout)
		e.Next = append(e.Next, "wait longer: --timeout 5m")
	}
	return e
}
