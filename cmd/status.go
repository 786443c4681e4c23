package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// report is what `dcalab status -o json` prints. Its keys are a promise.
type report struct {
	Lab      string       `json:"lab" yaml:"lab"`
	Driver   string       `json:"driver" yaml:"driver"`
	Nodes    []nodeReport `json:"nodes" yaml:"nodes"`
	Quorum   swarm.Quorum `json:"quorum" yaml:"quorum"`
	Warnings []string     `json:"warnings" yaml:"warnings"`
}

type nodeReport struct {
	Name     string `json:"name" yaml:"name"`
	Hostname string `json:"hostname" yaml:"hostname"`
	IP       string `json:"ip" yaml:"ip"`
	// Machine is running, halted, absent or unknown.
	Machine machine.Status `json:"machine" yaml:"machine"`
	// Engine is the engine's version, empty when it does not answer.
	Engine string      `json:"engine" yaml:"engine"`
	Swarm  swarmReport `json:"swarm" yaml:"swarm"`
	Error  string      `json:"error" yaml:"error"`
}

type swarmReport struct {
	State        swarm.State `json:"state" yaml:"state"`
	ID           string      `json:"id" yaml:"id"`
	Cluster      string      `json:"cluster" yaml:"cluster"`
	Role         lab.Role    `json:"role" yaml:"role"`
	Leader       bool        `json:"leader" yaml:"leader"`
	Reachability string      `json:"reachability" yaml:"reachability"`
	Availability string      `json:"availability" yaml:"availability"`
	Status       string      `json:"status" yaml:"status"`
}

func (a *app) status() *cobra.Command {
	var output string
	var watch bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show every node: machine, engine, role, state; and the quorum",
		Long: `Ask every machine and every engine, and show what each says. It works when
there is no swarm, when nodes are down, and when the swarm has lost its
quorum and docker node ls no longer answers.`,
		Example: "  dcalab status\n  dcalab status --watch\n  dcalab status -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "" && output != "json" && output != "yaml" {
				return usage(fmt.Sprintf("there is no output format %q", output), "the formats are json and yaml")
			}
			ctx := c.Context()
			s, err := a.open()
			if err != nil {
				return err
			}
			if watch {
				return ui.Watch(ctx, a.streams, 2*time.Second, func(ctx context.Context, _ int) (string, error) {
					// Anew each time: the lab may be made and destroyed meanwhile.
					s, err := a.open()
					if err != nil {
						return "", err
					}
					text, err := s.statusText(ctx, output)
					return string(text), err
				})
			}
			text, err := s.statusText(ctx, output)
			if err != nil {
				return err
			}
			_, err = a.streams.Out.Write(text)
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "json or yaml (default: a table)")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "look again every two seconds, until Ctrl-C")
	return c
}

// statusText observes the lab once and shows it in a format.
func (s *session) statusText(ctx context.Context, format string) ([]byte, error) {
	r, v, err := s.examine(ctx)
	if err != nil {
		return nil, err
	}
	switch format {
	case "json":
		text, err := json.MarshalIndent(r, "", "  ")
		return append(text, '\n'), err
	case "yaml":
		return yaml.Marshal(r)
	}
	var b bytes.Buffer
	color := s.app.streams.OutColor(s.app.settings.GetBool("no-color"))
	rows := make([][]string, len(r.Nodes))
	for i, n := range r.Nodes {
		rows[i] = row(n)
	}
	if err := ui.Table(&b, []string{"NODE", "MACHINE", "ENGINE", "ROLE", "AVAILABILITY", "STATE", "ADDRESS"}, rows, color); err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "\n%s\n", quorumLine(v))
	for _, n := range r.Nodes {
		if n.Error != "" && n.Machine == machine.StatusRunning {
			ui.PrintWarning(&b, n.Name+": "+strings.TrimPrefix(n.Error, n.Name+": "), color)
		}
	}
	for _, w := range r.Warnings {
		ui.PrintWarning(&b, w, color)
	}
	return b.Bytes(), nil
}

// row is a node's line in the table.
func row(n nodeReport) []string {
	dash := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	role := string(n.Swarm.Role)
	switch {
	case n.Swarm.Leader:
		role += " (Leader)"
	case n.Swarm.Reachability != "":
		role += " (" + title(n.Swarm.Reachability) + ")"
	}
	state := string(n.Swarm.State)
	if n.Swarm.State == swarm.StateMember && n.Swarm.Status != "" {
		state = title(n.Swarm.Status)
	}
	switch {
	case n.Swarm.Status == "down" && !n.Swarm.State.Answered():
		state = "Down" // a node that answers knows better: locked, pending, error
	case n.Machine != machine.StatusRunning:
		state = ""
	}
	return []string{n.Name, string(n.Machine), dash(n.Engine), dash(role), dash(title(n.Swarm.Availability)), dash(state), n.IP}
}

func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// quorumLine says what the managers can bear, and what would let them bear more.
func quorumLine(v swarm.View) string {
	q := v.Quorum
	switch {
	case !slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return !errors.Is(n.Err, swarm.ErrAbsent) }):
		return "no swarm yet: dcalab up --swarm"
	case !slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return n.State.Answered() }):
		return "no engine answers: bring the machines up with dcalab up"
	}
	if len(v.Swarms) == 0 && q.Managers == 0 {
		return "no swarm yet: dcalab swarm bootstrap"
	}
	line := "quorum: " + q.String()
	switch {
	case q.Managers == 0:
	case !q.HasQuorum && slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return n.State == swarm.StateLocked }):
		line += "; unlock the managers: dcalab swarm unlock"
	case !q.HasQuorum:
		line += "; bring managers back: dcalab start"
	case q.Managers == 1:
		line += "\n  three managers would bear the loss of one: dcalab promote NODE1 NODE2"
	case q.Managers == 2:
		line += "\n  a third manager would let the swarm bear the loss of one: dcalab promote NODE"
	}
	return line
}

// examine asks everything once.
func (s *session) examine(ctx context.Context) (report, swarm.View, error) {
	r := report{Lab: s.lab.Name, Driver: s.driver.Name(), Nodes: []nodeReport{}, Warnings: []string{}}
	v, c, err := s.observe(ctx)
	if err != nil {
		return r, v, err
	}
	defer c.Close()
	if err := ctx.Err(); err != nil {
		return r, v, err
	}
	for _, n := range v.Nodes {
		nr := nodeReport{
			Name: n.Name, Hostname: n.Hostname, IP: n.Addr.String(),
			Machine: c.machines[n.Name], Engine: n.Engine,
			Swarm: swarmReport{
				State: n.State, ID: n.NodeID, Cluster: n.Cluster, Role: n.Role, Leader: n.Leader,
				Reachability: string(n.Reachability), Availability: string(n.Availability), Status: string(n.Status),
			},
		}
		if !n.State.Answered() {
			nr.Engine = "" // the version that the swarm remembers is no sign of life
		}
		if n.Err != nil {
			nr.Error = oneLine(n.Err)
		}
		r.Nodes = append(r.Nodes, nr)
	}
	r.Quorum = v.Quorum
	if err := s.unchanged(); err != nil {
		r.Warnings = append(r.Warnings, oneLine(err))
	}
	r.Warnings = append(r.Warnings, v.Warnings...)
	return r, v, nil
}

// oneLine is an error with the first thing to do about it.
func oneLine(err error) string {
	text := err.Error()
	var t *trouble.Error
	if errors.As(err, &t) && len(t.Next) > 0 {
		text += " (" + t.Next[0] + ")"
	}
	return text
}
