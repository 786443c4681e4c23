package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// report is what `dcalab status -o json` prints. Its keys are a promise.
type report struct {
	Lab    string       `json:"lab" yaml:"lab"`
	Driver string       `json:"driver" yaml:"driver"`
	Nodes  []nodeReport `json:"nodes" yaml:"nodes"`
	Quorum swarm.Quorum `json:"quorum" yaml:"quorum"`
	// Ports that services publish; none where the swarm cannot be asked.
	Ports []portReport `json:"ports" yaml:"ports"`
	// Ailments are what keeps the swarm from standing, or soon will.
	Ailments []ailment `json:"ailments" yaml:"ailments"`
	Warnings []string  `json:"warnings" yaml:"warnings"`
}

type nodeReport struct {
	Name     string `json:"name" yaml:"name"`
	Hostname string `json:"hostname" yaml:"hostname"`
	// IP is the address that the node has in the swarm, else that of labs.yaml.
	IP string `json:"ip" yaml:"ip"`
	// Machine is running, halted, absent or unknown.
	Machine machine.Status `json:"machine" yaml:"machine"`
	// Engine is the engine's version, empty when it does not answer.
	Engine string      `json:"engine" yaml:"engine"`
	Swarm  swarmReport `json:"swarm" yaml:"swarm"`
	Error  string      `json:"error" yaml:"error"`
	// CertificateExpires is when the node's swarm certificate runs out (RFC
	// 3339, UTC), empty where it could not be read.
	CertificateExpires string `json:"certificate_expires" yaml:"certificate_expires"`
	// CertificateDaysLeft is the days until then, to the nearest day; null where
	// it is not known, 0 also when it is over.
	CertificateDaysLeft *int `json:"certificate_days_left" yaml:"certificate_days_left"`
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
	var watch, view bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show every node: machine, engine, role, state; and the quorum",
		Long: `Ask every machine and every engine, and show what each says. It works when
there is no swarm, when nodes are down, and when the swarm has lost its
quorum and docker node ls no longer answers.

--watch is a view of the whole screen that follows what happens: ? there tells
its keys. Where the output is no terminal it prints the table again and again.

--view shows side by side what each manager believes: who leads, in which raft
term, and every member's role and state. After a partition the sides differ,
and what differs is marked with ≠.`,
		Example: "  dcalab status\n  dcalab status --watch\n  dcalab status --view\n  dcalab status -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkFormat(output); err != nil {
				return err
			}
			ctx := c.Context()
			a.watching = watch
			s, err := a.open()
			if err != nil {
				return err
			}
			if stop, err := s.announce(s.statusRunbook(view)); stop || err != nil {
				return err
			}
			text := s.statusText
			if view {
				text = s.viewText
			}
			if watch && output == "" && !view && a.streams.CanLive() {
				return s.live(ctx)
			}
			if watch {
				return ui.Watch(ctx, a.streams, 2*time.Second, func(ctx context.Context, _ int) (string, error) {
					// Anew each time: the lab may be made and destroyed meanwhile.
					s, err := a.open()
					if err != nil {
						return "", err
					}
					text := s.statusText
					if view {
						text = s.viewText
					}
					shown, err := text(ctx, output)
					return string(shown), err
				})
			}
			shown, err := text(ctx, output)
			if err != nil {
				return err
			}
			_, err = a.streams.Out.Write(shown)
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "json or yaml (default: a table)")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "a live view, until q or Ctrl-C")
	c.Flags().BoolVar(&view, "view", false, "what each manager believes, side by side")
	return explained(c)
}

// statusText observes the lab once and shows it in a format.
func (s *session) statusText(ctx context.Context, format string) ([]byte, error) {
	r, v, err := s.examine(ctx)
	if err != nil {
		return nil, err
	}
	if format != "" {
		return encode(format, r)
	}
	var b bytes.Buffer
	color := s.app.streams.OutColor(s.app.settings.GetBool("no-color"))
	rows := make([][]string, len(r.Nodes))
	for i, n := range r.Nodes {
		rows[i] = row(n)
	}
	if err := statusTable(&b, rows, s.app.streams.OutFit(), color); err != nil {
		return nil, err
	}
	line := quorumLine(v)
	if !slices.ContainsFunc(r.Ailments, func(a ailment) bool { return strings.HasPrefix(a.Why, line) }) { // it says it below
		fmt.Fprintf(&b, "\n%s\n", s.app.hint(line))
	} else {
		b.WriteByte('\n')
	}
	if err := writePorts(&b, r.Ports, color); err != nil {
		return nil, err
	}
	for _, w := range r.notices() {
		ui.PrintWarning(&b, w, color)
	}
	writeAilments(&b, r.Ailments, color)
	return []byte(ui.Wrap(b.String(), s.app.streams.OutFit())), nil
}

// statusTable leaves out, on a narrow terminal, what the live view does; before
// that, the distribution's part of the engine's version.
func statusTable(w io.Writer, rows [][]string, width int, color bool) error {
	columns := []ui.Column{
		{Title: "NODE"},
		{Title: "MACHINE", Keep: 5},
		{Title: "ENGINE", Keep: 2},
		{Title: "ROLE", Keep: 8},
		{Title: "AVAILABILITY", Keep: 3},
		{Title: "STATE", Keep: 9},
		{Title: "ADDRESS", Keep: 1},
	}
	var whole bytes.Buffer
	if err := ui.FitTable(&whole, columns, rows, 0, false); err != nil {
		return err
	}
	if width > 0 && widest(whole.String()) > width {
		for _, r := range rows {
			r[2], _, _ = strings.Cut(r[2], "+")
		}
	}
	return ui.FitTable(w, columns, rows, width, color)
}

// widest is the width of a text's longest line.
func widest(text string) int {
	w := 0
	for line := range strings.Lines(text) {
		w = max(w, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")))
	}
	return w
}

// notices are what is wrong with nodes, and the warnings. That there is no
// leader, the quorum's line says for all of them.
func (r report) notices() []string {
	var out []string
	for _, n := range r.Nodes {
		why := strings.TrimPrefix(n.Error, n.Name+": ")
		switch {
		case n.Error == "" || n.Machine != machine.StatusRunning || strings.Contains(n.Error, "does not have a leader"):
			continue
		case n.Swarm.State == swarm.StateLocked: // Docker's words know nothing of other nodes
			why = "it waits for the swarm's unlock key: dcalab swarm unlock"
		case n.Swarm.State == stateElecting:
			why = "its engine runs, and waits for the swarm to elect a leader"
		case n.Swarm.State == stateWaiting:
			why = "its engine runs, and did not answer in time; an engine does that while its leader or its role changes"
		case n.Swarm.State == stateAsking:
			continue
		}
		out = append(out, n.Name+": "+why)
	}
	return append(out, r.Warnings...)
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
	case n.Swarm.Reachability == string(engine.ReachabilityReachable) && n.Machine == machine.StatusHalted:
		// The swarm has not missed it yet.
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

// What a node is called whose engine is not down, and did not answer.
const (
	stateElecting swarm.State = "electing" // a manager: it answers a ping, and waits for a leader
	stateWaiting  swarm.State = "waiting"  // it answers a ping, and what was asked hangs
	stateAsking   swarm.State = "asking"   // in a view that goes on: no answer yet
)

// called is a node's state as it is told.
func called(n swarm.NodeView, v swarm.View) swarm.State {
	switch {
	case n.Electing() && !v.Quorum.HasQuorum:
		return stateElecting
	case errors.Is(n.Err, swarm.ErrNotYet):
		return stateAsking
	case n.State == swarm.StateEngineDown && errors.Is(n.Err, engine.ErrHangs):
		return stateWaiting
	}
	return n.State
}

// quorumLine says how many failures the managers tolerate, and what would let
// them tolerate more. What to do where there is no leader, the ailments say.
func quorumLine(v swarm.View) string {
	q := v.Quorum
	switch {
	case !slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return !errors.Is(n.Err, swarm.ErrAbsent) }):
		return "no swarm yet: dcalab up --swarm"
	case v.Election():
		return v.Leaderless()
	case !slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return n.State.Answered() || errors.Is(n.Err, engine.ErrHangs) }):
		if slices.ContainsFunc(v.Nodes, func(n swarm.NodeView) bool { return errors.Is(n.Err, swarm.ErrNotYet) }) {
			return "no engine has answered yet"
		}
		return "no engine answers: bring the machines up with dcalab up"
	}
	if len(v.Swarms) == 0 && q.Managers == 0 {
		return "no swarm yet: dcalab swarm bootstrap"
	}
	if q.Managers > 0 && !q.HasQuorum {
		if len(v.Locked()) > 0 {
			return v.Leaderless() + "; unlock the managers: dcalab swarm unlock"
		}
		return v.Leaderless()
	}
	line := "quorum: " + q.String()
	switch q.Managers {
	case 1:
		line += "\n  with three managers the swarm survives the loss of one: dcalab promote NODE1 NODE2"
	case 2:
		line += "\n  with a third manager the swarm survives the loss of one: dcalab promote NODE"
	}
	return line
}

// settle corrects what the swarm's list says by what this machine knows: who
// leads does not run.
func settle(v swarm.View, machines map[string]machine.Status) swarm.View {
	for _, n := range v.Nodes {
		if m := machines[n.Name]; n.Leader && (m == machine.StatusHalted || m == machine.StatusAbsent) {
			return v.WithoutLeader()
		}
	}
	return v
}

// examine asks everything once.
func (s *session) examine(ctx context.Context) (report, swarm.View, error) {
	v, c, err := s.Observe(ctx)
	if err != nil {
		return report{}, v, err
	}
	defer c.Close()
	if err := ctx.Err(); err != nil {
		return report{}, v, err
	}
	v = settle(v, c.Machines)
	r, err := s.reportOn(ctx, v, c.Machines)
	if err == nil {
		r.age(ctx, v, c.Targets, time.Now())
		r.Ailments = append(r.Ailments, s.cutOff(ctx, v, c)...)
		for _, a := range r.Ailments {
			for i, line := range a.Mend {
				a.Mend[i] = s.app.hint(line)
			}
		}
		r.Ports = append(r.Ports, s.ports(ctx, v, c.Targets)...)
	}
	return r, v, err
}

// reportOn puts what the engines said beside what runs.
func (s *session) reportOn(ctx context.Context, v swarm.View, machines map[string]machine.Status) (report, error) {
	r := report{Lab: s.Lab().Name, Driver: s.Driver().Name(), Nodes: []nodeReport{}, Ports: []portReport{}, Ailments: []ailment{}, Warnings: []string{}}
	for _, n := range v.Nodes {
		nr := nodeReport{
			Name: n.Name, Hostname: n.Hostname, IP: n.Addr.String(),
			Machine: machines[n.Name], Engine: n.Engine,
			Swarm: swarmReport{
				State: called(n, v), ID: n.NodeID, Cluster: n.Cluster, Role: n.Role, Leader: n.Leader,
				Reachability: string(n.Reachability), Availability: string(n.Availability), Status: string(n.Status),
			},
		}
		if !n.State.Answered() {
			nr.Engine = "" // the version that the swarm remembers is no sign of life
		}
		if n.Err != nil {
			nr.Error = s.app.hint(oneLine(n.Err))
		}
		if has := v.Engaged(n.Name); has != "" && has != nr.IP {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s: the swarm has it at %s, and labs.yaml says %s; put labs.yaml back, or make the node anew: dcalab destroy %s, then dcalab up --swarm",
				n.Name, has, nr.IP, n.Name))
			nr.IP = has
		}
		r.Nodes = append(r.Nodes, nr)
	}
	r.Quorum = v.Quorum
	if err := s.SameSubnet(); err != nil {
		r.Warnings = append(r.Warnings, oneLine(err))
	}
	orphans, err := s.OrphanWarnings(ctx)
	if err != nil {
		return r, err
	}
	r.Warnings = append(append(r.Warnings, orphans...), v.Warnings...)
	for i, w := range r.Warnings {
		r.Warnings[i] = s.app.hint(w)
	}
	return r, nil
}

// oneLine is an error with the first thing to do about it.
func oneLine(err error) string { return trouble.OneLine(err) }
