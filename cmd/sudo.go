package cmd

import (
	"errors"
	"io"
	"os/exec"

	"github.com/dcalab/dcalab/cmd/sudo"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// asRoot runs this program through sudo, for what the user of a command may not do.
type asRoot struct{ *session }

// rerun runs this same command once more, and gives its outcome. A page's command has
// the helper for it.
func (r asRoot) rerun() error {
	if r.app.dryRun() {
		return labsession.ErrReadOnly
	}
	if r.app.embedded.Asked != nil {
		return r.borrowed()
	}
	cmd, err := r.command("this", r.app.args)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout = r.app.streams.In, r.app.streams.Out
	return r.outcomeOf(cmd.Run())
}

// command is this program with args, through sudo, once the user was told what for.
func (r asRoot) command(what string, args []string) (*exec.Cmd, error) {
	cmd, err := sudo.Command(r.app.calledAs(), args)
	if errors.Is(err, sudo.ErrMissing) {
		return nil, &trouble.Error{
			ID: "sandbox-needs-root", What: "the sandbox driver", Why: "creating namespaces, mounts and network interfaces needs root, and sudo is not installed",
			Next: []string{"run this command as root"}, Exit: trouble.ExitRequirement,
		}
	}
	if err != nil {
		return nil, err
	}
	r.note("the sandbox driver needs root for %s: %s", what, runbook.Line(append([]string{"sudo", r.app.calledAs()}, args...)...))
	cmd.Stderr = r.app.streams.Err
	return cmd, nil
}

// outcomeOf is the outcome of a command that ran through sudo.
func (r asRoot) outcomeOf(err error) error {
	status, err := sudo.Outcome(err)
	r.app.delegated = err == nil
	switch {
	case errors.Is(err, sudo.ErrRefused):
		return noSudo(r.session)
	case err != nil || status == trouble.ExitOK:
		return err
	}
	return remoteError(status)
}

// borrowed has the command of a page done by the helper, if there is one, and gives its
// outcome.
func (r asRoot) borrowed() error {
	none := &trouble.Error{
		ID: "sandbox-needs-root", What: "the sandbox driver", Why: "this needs root, and a page cannot ask for a password",
		Next: []string{"type it in a terminal", "or let dcalab serve ask for the password when it starts: dcalab serve --power", "or run dcalab serve as root: sudo dcalab serve"}, Exit: trouble.ExitRequirement,
	}
	if r.app.embedded.power == nil {
		return none
	}
	done, err := r.app.embedded.power()
	if err != nil {
		none.Why, none.Err = "this needs root, and "+err.Error(), err
		return none
	}
	r.app.delegated = true
	if done.Question != "" {
		r.app.embedded.Asked(done.Question)
	}
	if _, err := io.WriteString(r.app.streams.Err, done.Text); err != nil || done.Exit == trouble.ExitOK {
		return err
	}
	return remoteError(done.Exit)
}

// noSudo is said after sudo has said why it did not run the command.
func noSudo(s *session) error {
	e := &trouble.Error{
		ID: "sandbox-needs-root", What: "the sandbox driver", Why: "creating namespaces, mounts and network interfaces needs root, and sudo did not run it; see sudo's message above",
		Next: []string{"if it needs a password and has no terminal, run this first, on a terminal: sudo -v", "if you may not use sudo here, run this command as root"}, Exit: trouble.ExitRequirement,
	}
	if s.Session != nil && !s.Created() {
		e.Next = append(e.Next, "or use virtual machines, which need no root: dcalab --driver vagrant up")
	}
	return e
}
