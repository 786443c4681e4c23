// Package cmd is the command line of dcalab: a file a command, flags in, a
// call or two, a result printed. What a command does is done elsewhere.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/cmd/sudo"
	"github.com/dcalab/dcalab/machine/vagrant"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
	"github.com/dcalab/dcalab/web"
)

// Embedded is what main.go carries in the program.
type Embedded struct {
	Labs        []byte // the default labs.yaml
	Vagrantfile string // the template of Vagrantfiles
	// Program is how the program was called (os.Args[0]), for what it advises to
	// type; empty stands for dcalab.
	Program string
	// ThroughSudo: another dcalab runs this one through sudo; Program is how
	// that one was called.
	ThroughSudo bool
	// Asked is told what there is to ask, where no person runs the command: nothing is
	// done then, and no password is asked for. May be nil.
	Asked func(question string)
	// power has the command done as root, where Asked is set; nil where nobody can.
	power func() (web.Done, error)
}

// app is one run of the program.
type app struct {
	streams  ui.Streams
	embedded Embedded
	args     []string
	settings *viper.Viper
	// told are warnings that were given: what a command reads twice, it tells once.
	told map[string]bool
	// called is the command that runs, for advice.
	called *cobra.Command
	// opened is the lab that the command opened, for its log; nil before.
	opened *session
	// delegated: the command ran again through sudo, and told its outcome there.
	delegated bool
	// flags are the global ones, given those that were given, as they are typed, and
	// commands the names of the commands.
	flags    *pflag.FlagSet
	given    []string
	commands []string
	// piped is the labs.yaml that came through standard input, once it was read.
	piped []byte
	read  bool
	// watching: it looks at the lab again and again, and the log would only grow.
	watching bool
	// power is dcalab serve's way to root; nil where there is none.
	power *sudo.Helper
}

// Run runs dcalab with the arguments after the program's name and gives its
// exit status, one of trouble's, or the remote one for `dcalab ssh`.
func Run(ctx context.Context, streams ui.Streams, embedded Embedded, args []string) int {
	a := &app{streams: streams, embedded: embedded, args: args, settings: viper.New()}
	began := time.Now()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	err := switches(root.PersistentFlags())
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	var remote remoteError
	if errors.As(err, &remote) {
		a.logOutcome(began, nil, int(remote))
		return int(remote)
	}
	if err == nil {
		a.logOutcome(began, nil, trouble.ExitOK)
		return trouble.ExitOK
	}
	// Whatever the command makes of it (a session that was closed, a child that
	// was stopped): it is the user who ended it.
	if ctx.Err() != nil && trouble.ExitStatus(err) != trouble.ExitInterrupted {
		err = &trouble.Error{
			ID: "interrupted", What: "interrupted", Why: "what was done stays",
			Next: []string{"see the state of the lab: dcalab status", "the same command, run again, continues from there"}, Exit: trouble.ExitInterrupted,
		}
	}
	var text strings.Builder
	ui.PrintError(&text, err, streams.ErrColor(a.settings.GetBool("no-color")), a.settings.GetBool("verbose"), a.hint)
	// Whoever typed a token where it does not belong gets it masked.
	_, _ = io.WriteString(streams.Err, ui.Wrap(trouble.Redact(text.String()), streams.ErrFit()))
	status := trouble.ExitStatus(err)
	a.logOutcome(began, err, status)
	if embedded.ThroughSudo {
		status = sudo.ExitStatus(status)
	}
	return status
}

// switches reads the DCALAB_ variables of the flags that are switches, before
// any command could mistake one: viper takes every word that it does not know
// for false, and yes is one. What a variable says is what holds where the flag
// is not given.
func switches(flags *pflag.FlagSet) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "DCALAB_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := os.Getenv(name)
		if f.Value.Type() != "bool" || value == "" || failed != nil {
			return
		}
		switch strings.ToLower(strings.TrimSpace(value)) {
		case "1", "t", "true", "y", "yes", "on":
			failed = f.Value.Set("true")
		case "0", "f", "false", "n", "no", "off":
			failed = f.Value.Set("false")
		default:
			failed = usage(fmt.Sprintf("the variable %s is %q, and a switch is on or off", name, value),
				"on: "+name+"=1, off: "+name+"=0, or leave it out: unset "+name)
		}
	})
	return failed
}

// remoteError is the exit status of a command that ran on a node: it becomes
// dcalab's own, and nothing is said about it.
type remoteError int

func (e remoteError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "dcalab",
		Short: "A real Docker Swarm lab on your own machine",
		Long: `dcalab gives you a real Docker Swarm of several nodes on your own machine,
to build, break and repair.

  dcalab up --swarm        bring the lab up and form the swarm
  dcalab status            roles, states, and how many failures are tolerated
  dcalab promote node02    make node02 a manager
  dcalab ssh master        a shell on master
  dcalab destroy           remove it all

Without a labs.yaml in this folder or above, the built-in one is used
(dcalab config view shows it, dcalab init writes one of your own).`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	f := root.PersistentFlags()
	f.String("config", "", "labs.yaml to use, - for standard input (default: the one in this folder or above, else the built-in one)")
	f.String("lab", "", "lab of labs.yaml (default: its default lab)")
	f.String("driver", "", "where nodes run: docker, sandbox, vagrant or auto (default: labs.yaml)")
	f.String("provider", "", "Vagrant's provider: "+strings.Join(vagrant.Providers(), ", ")+" (default: what labs.yaml says, VAGRANT_DEFAULT_PROVIDER, or what is installed)")
	f.BoolP("quiet", "q", false, "print results and errors only")
	f.BoolP("verbose", "v", false, "print more")
	f.Bool("no-color", false, "no colours (also: NO_COLOR)")
	f.Bool("dry-run", false, "print what would be done and do nothing")
	f.Bool("explain", false, "print the plain commands for the same, with the node each is typed on (with --dry-run: only print them)")
	a.settings.SetEnvPrefix("DCALAB")
	a.settings.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	if err := a.settings.BindPFlags(f); err != nil {
		panic(err) // a programmer's error: a flag set that is nil
	}
	fromEnvironment := []string{"demo-binary"}
	f.VisitAll(func(f *pflag.Flag) {
		if f.Value.Type() != "bool" { // those: see switches
			fromEnvironment = append(fromEnvironment, f.Name)
		}
	})
	for _, name := range fromEnvironment {
		if err := a.settings.BindEnv(name); err != nil {
			panic(err) // the same: a name that is missing
		}
	}
	a.flags = f
	root.AddGroup(
		&cobra.Group{ID: "lab", Title: "The lab's machines:"},
		&cobra.Group{ID: "swarm", Title: "The swarm:"},
		&cobra.Group{ID: "node", Title: "Inside a node:"},
		&cobra.Group{ID: "config", Title: "Settings:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("lab", upCommand(a), haltCommand(a), startCommand(a), destroyCommand(a), vagrantCommand(a), doctorCommand(a), snapshotCommand(a), resetCommand(a), breakCommand(a), healCommand(a), observeCommand(a), proveCommand(a), listCommand(a), pruneCommand(a))
	add("swarm", statusCommand(a), waitCommand(a), whyCommand(a), swarmCommand(a), promoteCommand(a), demoteCommand(a))
	add("swarm", joinCommand(a), removeCommand(a), drainCommand(a), pauseCommand(a), activateCommand(a), labelCommand(a))
	add("node", sshCommand(a), execCommand(a), cpCommand(a), logsCommand(a), timelineCommand(a), serveCommand(a), imageCommand(a), sshConfigCommand(a), forwardCommand(a), contextCommand(a), envCommand(a))
	add("config", initCommand(a), configCommand(a), renderCommand(a))
	root.AddCommand(append(insideCommands(), versionCommand(a), sshProxyCommand(a), demoServerCommand(), powerHelperCommand(a))...)
	root.InitDefaultCompletionCmd()
	teach(root)
	refuseUnexplained(a, root)
	completer{a}.flags(root)
	advisor(a).Install(root)
	root.PersistentPreRun = func(c *cobra.Command, _ []string) { a.called, a.given = c, given(a.flags) }
	for _, c := range root.Commands() {
		if !c.Hidden {
			a.commands = append(a.commands, c.Name())
		}
	}
	return root
}
