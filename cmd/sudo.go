package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// asRoot runs this program through sudo, for what the user of a command may not do.
type asRoot struct{ *session }

// rerun runs this same command once more, and gives its outcome. A page's command has
// the helper for it.
func (r asRoot) rerun(ctx context.Context) error {
	if r.app.dryRun() {
		return labsession.ErrReadOnly
	}
	if r.app.embedded.Asked != nil {
		return r.borrowed()
	}
	cmd, err := r.command(ctx, r.app.args)
	if err != nil {
		return err
	}
	r.note("the sandbox driver needs root for this: %s", runbook.Line(append([]string{"sudo", r.app.calledAs()}, r.app.args...)...))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r.app.streams.In, r.app.streams.Out, r.app.streams.Err
	return r.outcomeOf(cmd.Run())
}

// command is this program again, through sudo.
func (r asRoot) command(ctx context.Context, args []string) (*exec.Cmd, error) {
	sudo, err := exec.LookPath("sudo")
	if err != nil {
		return nil, &trouble.Error{
			ID: "sandbox-needs-root", What: "the sandbox driver", Why: "creating namespaces, mounts and network interfaces needs root, and sudo is not installed",
			Next: []string{"run this command as root"}, Exit: trouble.ExitRequirement,
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	keep := []string{"NO_COLOR", "TERM", "XDG_STATE_HOME", ThroughSudo}
	for _, kv := range os.Environ() {
		if key, _, _ := strings.Cut(kv, "="); strings.HasPrefix(key, "DCALAB_") {
			keep = append(keep, key)
		}
	}
	// Ctrl-C reaches sudo and its child by itself, from the terminal.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), sudo,
		append([]string{"--preserve-env=" + strings.Join(keep, ","), "--", self}, args...)...)
	cmd.Env = append(os.Environ(), ThroughSudo+"="+r.app.calledAs())
	return cmd, nil
}

// outcomeOf is the outcome of a command that ran through sudo.
func (r asRoot) outcomeOf(err error) error {
	r.app.delegated = err == nil
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		status := exit.ExitCode()
		if status == refusedBySudo {
			return noSudo(r.session)
		}
		r.app.delegated = true
		if status == failedThroughSudo {
			return remoteError(trouble.ExitFailure)
		}
		return remoteError(status)
	}
	return err
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

const (
	// ThroughSudo is the variable that is set for a dcalab that another one runs
	// through sudo, to how its user called that one. It ends with
	// failedThroughSudo in place of 1, which is left to sudo itself.
	ThroughSudo       = "DCALAB_THROUGH_SUDO"
	refusedBySudo     = 1
	failedThroughSudo = 101
)

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
