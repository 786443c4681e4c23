package cmd

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/web"
)

// exitConnection is what ssh itself exits with when there is no connection.
const exitConnection = 255

func sshCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "ssh NODE [COMMAND...]",
		Short: "A shell on a node, or one command",
		Long: `Open a shell on a node, or run one command there and exit with its status.
The command gets its arguments as typed; a single argument is a command line for
the node's shell: dcalab ssh master -- 'uptime; df -h'. Flags before the first
word of the command are dcalab's; everything after it is the command's. A --
before the command is optional.`,
		Example:           "  dcalab ssh master\n  dcalab ssh master docker node ls -q\n  dcalab ssh master -- docker node ls",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completer{a}.one,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			words, err := commandOf(c, args)
			if err != nil {
				return err
			}
			if help, err := c.Flags().GetBool("help"); err == nil && help {
				return c.Help()
			}
			s, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := s.pick(args[:1])
			if err != nil {
				return err
			}
			return sshTo(ctx, s, nodes[0], shellLine(words), false)
		},
	}
	c.Flags().SetInterspersed(false)
	return explained(c)
}

// sshTo opens a shell on a node, or runs a command there: in a terminal, or with
// the streams of this one.
func sshTo(ctx context.Context, s *session, on lab.Node, command string, terminal bool) error {
	a := s.app
	typed, what := runbook.Local(s.login(on.Name)), "open a shell"
	if command != "" {
		typed, what = runbook.Local(runbook.Line("ssh", "-F", s.State().SSHConfig(), on.Name, command)), "run "+command
	} else {
		terminal = true
	}
	unreached := func(err error) error {
		return &trouble.Error{Err: err, Next: trouble.Advice(err), Exit: exitConnection}
	}
	if a.dryRun() {
		if err := s.MustExist(); err != nil {
			return err
		}
		if err := s.warnNotRunning(ctx, []lab.Node{on}); err != nil {
			return unreached(err)
		}
		return s.rehearse([]string{on.Name + ": " + what}, typed)
	}
	conn, err := s.Conn(ctx, on.Name)
	if err == nil {
		_, err = s.announce(typed)
	}
	if err != nil {
		return unreached(err)
	}
	defer conn.Close()
	var exit int
	in, file := a.streams.In.(*os.File)
	out, _ := a.streams.Out.(*os.File)
	if page, ok := a.streams.In.(*web.Terminal); ok {
		exit, err = conn.InPty(ctx, node.Pty{In: page, Out: page, Command: command, Columns: 80, Rows: 24, Sizes: page.Sizes})
	} else if terminal && (file || command == "") {
		exit, err = conn.Interactive(ctx, node.Terminal{In: in, Out: out, Err: a.streams.Err, Type: os.Getenv("TERM"), Command: command})
	} else {
		exit, err = conn.Stream(ctx, command, a.streams.In, a.streams.Out, a.streams.Err)
	}
	if err != nil {
		return unreached(err)
	}
	if exit != 0 {
		return remoteError(exit)
	}
	return nil
}

// commandOf gives the command for the node that args begins with. What comes
// between the two is dcalab's, as ssh reads its own command line: no command
// begins with a dash.
func commandOf(c *cobra.Command, args []string) ([]string, error) {
	if err := c.Flags().Parse(args[1:]); err != nil {
		return nil, c.FlagErrorFunc()(c, err)
	}
	return c.Flags().Args(), nil
}

func sshConfigCommand(a *app) *cobra.Command {
	return explained(&cobra.Command{
		Use:   "ssh-config",
		Short: "Print an ssh_config with which ssh, scp, Ansible and docker reach the nodes",
		Long: `Print the ssh_config of the lab. The same text is kept in the lab's state
folder, so that this works too:

  ssh -F .dcalab/dca/ssh_config master
  scp -F .dcalab/dca/ssh_config stack.yml master:`,
		Example: "  dcalab ssh-config >> ~/.ssh/config",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.existing()
			if err != nil {
				return err
			}
			typed := runbook.Local(runbook.Line("cat", s.State().SSHConfig()))
			if d, ok := s.Driver().(ownProgram); ok {
				typed = d.ExplainCommand("ssh-config")
			}
			if stop, err := s.announce(typed); stop || err != nil {
				return err
			}
			text, err := s.SSHConfig(c.Context(), nil)
			if err != nil {
				return err
			}
			_, err = a.streams.Out.Write(text)
			return err
		},
	})
}

func sshProxyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "ssh-proxy SOCKET", Hidden: true, Args: cobra.ExactArgs(1),
		Short: "Connect standard input and output to a node's sshd (ssh's ProxyCommand)",
		RunE: func(c *cobra.Command, args []string) error {
			err := node.Proxy(c.Context(), args[0], a.streams.In, a.streams.Out)
			if c.Context().Err() != nil {
				return nil //nolint:nilerr // ssh hangs up when it is done
			}
			return err
		},
	}
}
