package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// execReport is what `dcalab exec -o json` prints. Its keys are a promise.
type execReport struct {
	Lab     string       `json:"lab" yaml:"lab"`
	Command string       `json:"command" yaml:"command"`
	Nodes   []execResult `json:"nodes" yaml:"nodes"`
}

type execResult struct {
	Name string `json:"name" yaml:"name"`
	// Exit is the command's status; null where it could not be run, or its
	// status was lost.
	Exit   *int   `json:"exit" yaml:"exit"`
	Stdout string `json:"stdout" yaml:"stdout"`
	Stderr string `json:"stderr" yaml:"stderr"`
	Error  string `json:"error" yaml:"error"`

	err error
}

func (r execResult) ok() bool { return r.err == nil && *r.Exit == 0 }

func (a *app) exec() *cobra.Command {
	var which selection
	var ordered bool
	var output string
	c := &cobra.Command{
		Use:   "exec [--all|--managers|--workers] [NODE...] -- COMMAND...",
		Short: "Run a command on several nodes at once",
		Long: `Run a command on several nodes at once: those named, all, or those that the
swarm calls managers or workers now, as the node's ordinary user. The command
gets its words as they were typed; a single word is a line for the shell of the
node: dcalab exec --all -- 'uptime; df -h'.

What the nodes say is shown as it comes, each line with the node's name in
front; what they write to standard error goes to standard error. With
--ordered it is shown node by node, in the lab's order. The command's standard
input is empty.

The exit status is 0 when all succeeded, that of the command where all that
failed agree on it, else 1. A node that cannot be reached has failed.`,
		Example: "  dcalab exec --all -- uptime\n  dcalab exec --managers -- docker node ls\n" +
			"  dcalab exec node01 node02 -- 'sudo service docker restart'\n  dcalab exec --all --ordered -- docker ps\n  dcalab exec --workers -o json -- docker info -f '{{.ServerVersion}}'",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkFormat(output); err != nil {
				return err
			}
			dash := c.ArgsLenAtDash()
			if dash < 0 || dash == len(args) {
				return a.missingCommand()
			}
			if dash == 0 && which.none() {
				return usage("on which nodes?", "name them before the --, or say --all, --managers or --workers")
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			return s.exec(c.Context(), which, args[:dash], shellLine(args[dash:]), ordered, output)
		},
	}
	which.flags(c)
	c.Flags().BoolVar(&ordered, "ordered", false, "show what the nodes say node by node, in the lab's order")
	c.Flags().StringVarP(&output, "output", "o", "", "json or yaml (default: lines)")
	return explained(c)
}

// shellLine gives what a node's shell reads: several words are a command with
// these arguments, a single one is a line of shell.
func shellLine(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return node.Quote(words...)
}

// exec runs a command line on nodes and gives the error that dcalab exits with.
func (s *session) exec(ctx context.Context, which selection, args []string, command string, ordered bool, format string) error {
	nodes, have, err := s.chosen(ctx, which, args)
	if err != nil {
		return err
	}
	defer have.Close()
	a := s.app
	typed := s.execRunbook(nodes, command)
	if a.dryRun() {
		if err := s.warnNotRunning(ctx, nodes); err != nil {
			return err
		}
		var plan []string
		for _, n := range nodes {
			plan = append(plan, n.Name+": run "+command)
		}
		return s.rehearse(plan, typed)
	}
	results := make([]execResult, len(nodes))
	for i, n := range nodes {
		results[i].Name = n.Name
	}
	speech := newChorus(a.streams.Out, a.streams.Err, ordered)
	noColor := a.settings.GetBool("no-color")
	speech.join(names(nodes), a.streams.OutColor(noColor), a.streams.ErrColor(noColor))

	var texts []struct{ out, err trouble.Bound }
	if format != "" {
		texts = make([]struct{ out, err trouble.Bound }, len(nodes))
		for i, n := range nodes {
			for _, b := range []*trouble.Bound{&texts[i].out, &texts[i].err} {
				b.Node, b.What, b.Max = n.Name, "run the command", maxHeld
				b.Next = []string{"without -o it is shown as it comes", "or to a file there: dcalab exec " + n.Name + " -- 'COMMAND >FILE', dcalab cp " + n.Name + ":FILE ."}
			}
		}
	}
	have.Reach(ctx, nodes, func(i int, n *node.Conn, err error) {
		r := &results[i]
		if err == nil {
			var out, errw io.Writer = speech.voice(i, false), speech.voice(i, true)
			if format != "" {
				out, errw = &texts[i].out, &texts[i].err
			}
			var exit int
			if exit, err = n.Stream(ctx, command, nil, out, errw); err == nil {
				r.Exit = &exit
			}
		}
		if r.err = err; err != nil {
			r.Error = a.hint(oneLine(err))
		}
		if format != "" {
			r.Stdout, r.Stderr = texts[i].out.String(), texts[i].err.String()
		} else if ctx.Err() == nil {
			speech.end(i, err)
		}
	})
	if ctx.Err() != nil {
		return &trouble.Error{
			ID: "interrupted", What: "interrupted", Why: "the commands were told to end; what they did stays",
			Exit: trouble.ExitInterrupted, Err: ctx.Err(),
		}
	}
	if err := errors.Join(s.writeExec(results, command, format), speech.lost); err != nil {
		return err
	}
	if err := s.recount(typed); err != nil {
		return err
	}
	return execStatus(results)
}

// writeExec prints the results in a format, or, where the lines were shown
// already, how each node failed.
func (s *session) writeExec(results []execResult, command, format string) error {
	var text []byte
	var err error
	switch r := (execReport{Lab: s.Lab().Name, Command: command, Nodes: results}); format {
	case "json", "yaml":
		text, err = encode(format, r)
	default:
		for _, r := range results {
			switch {
			case r.err != nil:
				fmt.Fprintf(s.app.streams.Err, "%s: %s\n", r.Name, strings.TrimPrefix(r.Error, r.Name+": "))
			case *r.Exit != 0:
				fmt.Fprintf(s.app.streams.Err, "%s: exit %d\n", r.Name, *r.Exit)
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.app.streams.Out.Write(text)
	return err
}

// execStatus makes dcalab's exit status of the nodes': all has been said.
func execStatus(results []execResult) error {
	status := -1
	for _, r := range results {
		switch {
		case r.ok():
		case r.err != nil || status >= 0 && status != *r.Exit:
			return remoteError(trouble.ExitFailure)
		default:
			status = *r.Exit
		}
	}
	if status < 0 {
		return nil
	}
	return remoteError(status)
}

// selection is which nodes a command is for, beside those that are named.
type selection struct{ all, managers, workers bool }

func (o *selection) flags(c *cobra.Command) {
	c.Flags().BoolVar(&o.all, "all", false, "all nodes")
	c.Flags().BoolVar(&o.managers, "managers", false, "the nodes that the swarm calls managers now")
	c.Flags().BoolVar(&o.workers, "workers", false, "the nodes that the swarm calls workers now")
}

func (o selection) none() bool { return o == selection{} }

// chosen gives the nodes that are named or selected, in the lab's order, and
// the connections that were made to find out, for the caller to close.
func (s *session) chosen(ctx context.Context, o selection, args []string) ([]lab.Node, *labsession.Pool, error) {
	have := s.NewPool()
	chosen, err := have.Select(ctx, labsession.Selector{All: o.all, Managers: o.managers, Workers: o.workers, Names: args})
	if len(chosen.Guessed) > 0 {
		s.warn("the swarm does not say what " + strings.Join(chosen.Guessed, ", ") + " is: taken for what labs.yaml says")
	}
	if err != nil {
		_ = have.Close()
		return nil, nil, s.notAll(args, err)
	}
	return chosen.Nodes, have, nil
}

// maxLine is how much of a line that does not end is kept, in bytes: a longer
// one is broken.
const maxLine = 64 << 10

// maxHeld is how much of what a node says is kept until it is heard, in bytes:
// then its command has to wait, or, where all of it is wanted at once, to end.
const maxHeld = 32 << 20

// chorus writes what several nodes say to two streams, whole lines only, the
// name of the node in front of each. In order, a node is heard when all before
// it have ended; what it said meanwhile is kept in memory, up to max bytes.
type chorus struct {
	out, err io.Writer
	ordered  bool
	max      int

	mu    sync.Mutex
	moved sync.Cond // turn is another's
	nodes []*speaker
	turn  int   // the node that is heard, in order
	lost  error // why part of what is for out could not be written
}

type speaker struct {
	voices [2]*voice // to out, to err
	held   []line
	kept   int // bytes in held
	ended  bool
}

// line is whole lines, on their way to a stream.
type line struct {
	to   io.Writer
	text []byte
}

// voice is one of a node's two streams.
type voice struct {
	chorus  *chorus
	speaker int
	to      io.Writer
	prefix  string
	part    []byte // of a line that has not ended
}

func newChorus(out, err io.Writer, ordered bool) *chorus {
	c := &chorus{out: out, err: err, ordered: ordered, max: maxHeld}
	c.moved.L = &c.mu
	return c
}

// join brings the nodes in, their names aligned.
func (c *chorus) join(nodes []string, outColor, errColor bool) {
	width := 0
	for _, n := range nodes {
		width = max(width, len(n))
	}
	// Of the sixteen that follow the user's theme, those that mean nothing else.
	colors := []lipgloss.Style{
		lipgloss.NewStyle().Foreground(lipgloss.Cyan), lipgloss.NewStyle().Foreground(lipgloss.Magenta),
		lipgloss.NewStyle().Foreground(lipgloss.Blue), lipgloss.NewStyle().Foreground(lipgloss.BrightCyan),
		lipgloss.NewStyle().Foreground(lipgloss.BrightMagenta), lipgloss.NewStyle().Foreground(lipgloss.BrightBlue),
	}
	for i, n := range nodes {
		label := fmt.Sprintf("%-*s |", width, n)
		prefix := func(color bool) string {
			if color {
				return colors[i%len(colors)].Render(label) + " "
			}
			return label + " "
		}
		c.nodes = append(c.nodes, &speaker{voices: [2]*voice{
			{chorus: c, speaker: i, to: c.out, prefix: prefix(outColor)},
			{chorus: c, speaker: i, to: c.err, prefix: prefix(errColor)},
		}})
	}
}

// voice is what node i writes to: its stdout or its stderr.
func (c *chorus) voice(i int, stderr bool) *voice {
	if stderr {
		return c.nodes[i].voices[1]
	}
	return c.nodes[i].voices[0]
}

// Write takes any piece of text. It never fails: a stream that is closed is
// not the node's fault, and its command is to end by itself.
func (v *voice) Write(p []byte) (int, error) {
	v.chorus.mu.Lock()
	defer v.chorus.mu.Unlock()
	var b []byte
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			room := maxLine - len(v.part)
			if len(rest) < room {
				v.part = append(v.part, rest...)
				break
			}
			v.part = append(v.part, rest[:room]...)
			b, rest = v.cut(b), rest[room:]
			continue
		}
		v.part = append(v.part, rest[:i]...)
		b, rest = v.cut(b), rest[i+1:]
	}
	v.chorus.say(v.speaker, line{v.to, b})
	return len(p), nil
}

// cut appends the line that has ended to b.
func (v *voice) cut(b []byte) []byte {
	b = append(b, v.prefix...)
	b = append(b, bytes.TrimSuffix(v.part, []byte("\r"))...)
	v.part = v.part[:0]
	return append(b, '\n')
}

// say writes lines, or keeps them until the node's turn, for which a node that
// says much has to wait. c.mu is held.
func (c *chorus) say(i int, l line) {
	n := c.nodes[i]
	for c.ordered && i != c.turn && n.kept > 0 && n.kept+len(l.text) > c.max {
		c.moved.Wait()
	}
	switch {
	case len(l.text) == 0:
	case c.ordered && i != c.turn:
		n.held, n.kept = append(n.held, l), n.kept+len(l.text)
	default:
		c.write(l)
	}
}

// write shows lines. That the result is not whole is told at the end; c.mu is
// held.
func (c *chorus) write(l line) {
	if _, err := l.to.Write(l.text); err != nil && l.to == c.out && c.lost == nil {
		c.lost = err
	}
}

// end finishes a node's last lines, and says why it was not heard out.
func (c *chorus) end(i int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[i]
	for _, v := range n.voices {
		if len(v.part) > 0 {
			c.say(i, line{v.to, v.cut(nil)})
		}
	}
	if err != nil {
		var t *trouble.Error
		why := err.Error()
		if errors.As(err, &t) && t.Why != "" {
			why = t.Why
		}
		v := n.voices[1]
		v.part = append(v.part, strings.ReplaceAll(why, "\n", " ")...)
		c.say(i, line{v.to, v.cut(nil)})
	}
	n.ended = true
	for c.turn < len(c.nodes) && c.nodes[c.turn].ended {
		c.turn++
		if c.turn < len(c.nodes) {
			for _, l := range c.nodes[c.turn].held {
				c.write(l)
			}
			c.nodes[c.turn].held = nil
		}
	}
	c.moved.Broadcast()
}
