package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/cmd/hint"
	"github.com/dcalab/dcalab/lab"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// session is a command's hold on one lab: the opened lab, and what the command
// tells its user of it. Commands that open none have one without a lab.
type session struct {
	*labsession.Session
	app *app
	// changed: the command came to where it changes the lab.
	changed bool
	// worked is how much of --timeout has been used.
	worked time.Duration
}

var _ labsession.Reporter = (*ui.Progress)(nil)

// lab are the settings by which the lab is found that flags, environment and
// folder mean.
func (a *app) lab() labsession.Settings {
	choice := func(key string) labsession.Choice {
		return labsession.Choice{Value: a.settings.GetString(key), Origin: a.origin(key)}
	}
	return labsession.Settings{
		Config: a.settings.GetString("config"), Input: a.input, Lab: a.settings.GetString("lab"),
		Driver: choice("driver"), Provider: choice("provider"),
		Builtin: a.embedded.Labs, Template: a.embedded.Vagrantfile, User: owner(),
		Command: strings.Join(a.args, " "), ReadOnly: a.dryRun(), Watching: a.watching, Warn: a.warnOnce,
	}
}

// input is standard input, for --config -. A command may read its labs.yaml
// several times.
func (a *app) input() ([]byte, error) {
	if !a.read {
		text, err := io.ReadAll(io.LimitReader(a.streams.In, lab.MaxSize+1))
		if err != nil {
			return nil, err
		}
		a.piped, a.read = text, true
	}
	return a.piped, nil
}

// load reads labs.yaml: the one named, the nearest, or the embedded one.
func (a *app) load() (*lab.File, error) { return a.lab().Load() }

// warnOnce warns of what one command may meet several times.
func (a *app) warnOnce(line string) {
	if a.told[line] {
		return
	}
	if a.told == nil {
		a.told = map[string]bool{}
	}
	a.told[line] = true
	(&session{app: a}).warn(line)
}

// choice loads labs.yaml and picks the lab, with what flags and environment
// override in it.
func (a *app) choice() (labsession.Wanted, error) {
	w, err := a.lab().Wanted()
	return w, advised(err)
}

// advised words a setting that has none of the values that there are.
func advised(err error) error {
	var c *labsession.ChoiceError
	if errors.As(err, &c) {
		return oneOf(c.Setting, c.Value, c.Known, "")
	}
	return err
}

// origin tells whether a setting came from its flag or from the environment.
func (a *app) origin(key string) string {
	if a.flags != nil && a.flags.Changed(key) {
		return "flag --" + key
	}
	return "environment DCALAB_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

// owner is who the state folder belongs to: under sudo, the user behind it.
func owner() lab.Owner {
	if os.Geteuid() != 0 {
		return lab.Owner{}
	}
	uid, errU := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, errG := strconv.Atoi(os.Getenv("SUDO_GID"))
	if errU != nil || errG != nil {
		return lab.Owner{}
	}
	return lab.Owner{UID: uid, GID: gid}
}

// open gives the session of the lab that flags, environment and folder mean.
func (a *app) open() (*session, error) { return a.opening(labsession.Open) }

// openLab is open for packages that know no commands.
func (a *app) openLab() (*labsession.Session, error) {
	s, err := a.open()
	if err != nil {
		return nil, err
	}
	return s.Session, nil
}

// identify is open without a driver, for commands that touch no machine.
func (a *app) identify() (*session, error) { return a.opening(labsession.Describe) }

func (a *app) opening(open func(labsession.Settings) (*labsession.Session, error)) (*session, error) {
	opened, err := open(a.lab())
	if opened == nil {
		return nil, advised(err)
	}
	s := &session{app: a, Session: opened}
	a.opened = s // what is refused from here on, the lab's log tells
	if err != nil {
		return nil, advised(err)
	}
	return s, nil
}

// existing is open for commands that make no sense before the lab was made.
func (a *app) existing() (*session, error) {
	s, err := a.open()
	if err != nil {
		return nil, err
	}
	return s, s.MustExist()
}

// change locks the lab for a command that changes it, makes its state folder
// and opens its log. The caller calls the function that it gives.
func (s *session) change(ctx context.Context) (func(), error) {
	unlock, err := s.Lock(ctx, func(h lab.Holder) {
		fmt.Fprintf(s.app.streams.Err, "lab %[3]s is locked by %[1]q (pid %[2]d); waiting\n", h.Command, h.PID, s.Lab().Name)
	})
	if err != nil {
		return nil, err
	}
	s.changed = true
	return func() { _ = unlock() }, nil
}

// progress begins the story of a command on the nodes.
func (s *session) progress(nodes []string) *ui.Progress {
	a := s.app
	return ui.NewProgress(a.streams, ui.ProgressOptions{
		Quiet: a.settings.GetBool("quiet"), Verbose: a.settings.GetBool("verbose"),
		Color: a.streams.ErrColor(a.settings.GetBool("no-color")), Nodes: nodes, Log: s, Hint: a.hint,
	})
}

func (s *session) warn(lines ...string) {
	for _, w := range lines {
		fmt.Fprintf(s, "warning: %s\n", w)
		if !s.app.settings.GetBool("quiet") {
			ui.PrintWarning(s.app.streams.Err, s.app.hint(w), s.app.streams.ErrColor(s.app.settings.GetBool("no-color")))
		}
	}
}

func (s *session) note(format string, args ...any) {
	fmt.Fprintf(s, format+"\n", args...)
	if !s.app.settings.GetBool("quiet") {
		fmt.Fprintln(s.app.streams.Err, s.app.hint(fmt.Sprintf(format, args...)))
	}
}

// pick turns arguments into nodes of the lab; with none, all of them.
func (s *session) pick(args []string) ([]lab.Node, error) {
	nodes, err := s.Nodes(args...)
	return nodes, notAll(s, err)
}

// notAll advises somebody who takes all for the name of a node.
func notAll(s *session, err error) error {
	var unknown *lab.UnknownNodeError
	if c := s.app.called; c == nil || hint.Path(c) != "exec" || !errors.As(err, &unknown) || !strings.EqualFold(unknown.Name, "all") {
		return err
	}
	name := unknown.Name
	return &trouble.Error{
		ID: "unknown-node", Why: fmt.Sprintf("lab %s has no node %q", s.Lab().Name, name),
		Next: []string{"all nodes: dcalab exec --all -- COMMAND", "its nodes are " + strings.Join(s.Lab().NodeNames(), ", ")}, Exit: trouble.ExitUsage,
	}
}

// notYet advises somebody who names a node that labs.yaml does not have yet.
func notYet(err error) error {
	var unknown *lab.UnknownNodeError
	var t *trouble.Error
	if errors.As(err, &unknown) && errors.As(err, &t) {
		t.Next = append(t.Next, "a new one: first write it into labs.yaml")
		if unknown.Name == "yes" || unknown.Name == "true" {
			t.Next = []string{"a switch such as --swarm takes no value after it"}
		}
	}
	return err
}

func names(nodes []lab.Node) []string {
	out := make([]string, len(nodes))
	for i, n := range nodes {
		out[i] = n.Name
	}
	return out
}
