package session

import (
	"context"
	"io"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// Exec is a command line for the shells of nodes.
type Exec struct {
	Nodes   []lab.Node
	Command string
	// Max is how many bytes of what a node says are kept, where they are.
	Max int
}

// ExecReport is the result of the command line. Its JSON keys are a stable interface of
// dcalab exec.
type ExecReport struct {
	Lab     string       `json:"lab" yaml:"lab"`
	Command string       `json:"command" yaml:"command"`
	Nodes   []ExecResult `json:"nodes" yaml:"nodes"`
}

// ExecResult is how it went on one node.
type ExecResult struct {
	Name string `json:"name" yaml:"name"`
	// Exit is the command's status; null where it could not be run, or its
	// status was lost.
	Exit   *int   `json:"exit" yaml:"exit"`
	Stdout string `json:"stdout" yaml:"stdout"`
	Stderr string `json:"stderr" yaml:"stderr"`
	Error  string `json:"error" yaml:"error"`

	Err error `json:"-" yaml:"-"`
}

// Plan says it, a line a node, and how a person does it with ssh and the lab's
// ssh_config.
func (e Exec) Plan(sshConfig string) (lines []string, typed runbook.Runbook) {
	for _, n := range e.Nodes {
		lines = append(lines, n.Name+": run "+e.Command)
		typed = append(typed, runbook.Command{Text: runbook.Line("ssh", "-n", "-F", sshConfig, n.Name, e.Command)})
	}
	return lines, typed
}

// ExecLines gets what the nodes say, line by line, node i's where Stream says;
// *ui.LineMux is one.
type ExecLines interface {
	Stream(i int, stderr bool) io.Writer
	End(i int, err error)
}

// Exec runs a command line on nodes, all at once. What they say goes to lines,
// or, where those are nil, into the report.
func (p *Pool) Exec(ctx context.Context, e Exec, lines ExecLines) (ExecReport, error) {
	r := ExecReport{Lab: p.session.lab.Name, Command: e.Command, Nodes: make([]ExecResult, len(e.Nodes))}
	p.Reach(ctx, e.Nodes, func(i int, c *node.Conn, err error) {
		one := &r.Nodes[i]
		one.Name = e.Nodes[i].Name
		bound := func() *trouble.Bound {
			return &trouble.Bound{Node: one.Name, What: "run the command", Max: e.Max, Next: []string{
				"without -o it is shown as it comes", "or to a file there: dcalab exec " + one.Name + " -- 'COMMAND >FILE', dcalab cp " + one.Name + ":FILE .",
			}}
		}
		texts := [2]*trouble.Bound{bound(), bound()}
		var out, errw io.Writer = texts[0], texts[1]
		if lines != nil {
			out, errw = lines.Stream(i, false), lines.Stream(i, true)
		}
		if err == nil {
			var exit int
			if exit, err = c.Stream(ctx, e.Command, nil, out, errw); err == nil {
				one.Exit = &exit
			}
		}
		one.Err, one.Stdout, one.Stderr = err, texts[0].String(), texts[1].String()
		if lines != nil && ctx.Err() == nil {
			lines.End(i, err)
		}
	})
	if ctx.Err() != nil {
		return r, &trouble.Error{
			ID: "interrupted", What: "interrupted", Why: "the commands were told to end; what they did stays",
			Exit: trouble.ExitInterrupted, Err: ctx.Err(),
		}
	}
	return r, nil
}

// Status is that of the command where all nodes on which it failed agree on it,
// 0 where it failed on none, else trouble.ExitFailure.
func (r ExecReport) Status() int {
	status := trouble.ExitOK
	for _, n := range r.Nodes {
		switch {
		case n.Err != nil, status != trouble.ExitOK && *n.Exit != trouble.ExitOK && *n.Exit != status:
			return trouble.ExitFailure
		case *n.Exit != trouble.ExitOK:
			status = *n.Exit
		}
	}
	return status
}
