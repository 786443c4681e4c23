package cmd

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/ui"
)

func configCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check labs.yaml, and show what is in force",
		Long: `Commands about labs.yaml, the file that describes the labs and their nodes:
check it, show the settings in force, print its schema for editors. None of them
touches a machine.`,
	}
	c.AddCommand(
		explained(&cobra.Command{
			Use:   "validate",
			Short: "Check labs.yaml and name every problem, with line and column",
			Long: `Read labs.yaml as every other command does, and name all its problems at once,
each with its line and column, what is wrong, and what was expected: unknown
keys, addresses outside the lab's subnet, two nodes of one name, a lab without a
manager. The exit status is 3 where there are any.`,
			Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				if stop, err := announceOwn(a, "vagrant validate", "the same for a Vagrantfile"); stop || err != nil {
					return err
				}
				file, err := a.load()
				if err != nil {
					return err
				}
				for _, w := range labsession.Warnings(file) {
					fmt.Fprintf(a.streams.Err, "warning: %s\n", w)
				}
				labs := make([]string, len(file.Labs))
				for i, l := range file.Labs {
					labs[i] = fmt.Sprintf("%s (%d nodes)", l.Name, len(l.Nodes))
				}
				fmt.Fprintf(a.streams.Out, "%s is valid: %s\n", labsession.FileName(file), strings.Join(labs, ", "))
				return nil
			},
		}),
		configViewCommand(a),
		explained(&cobra.Command{
			Use:   "schema",
			Short: "Print the JSON Schema of labs.yaml, for editors",
			Long: `Print the JSON Schema of labs.yaml. An editor that knows YAML completes keys
with it, and marks what is wrong while you write; most take it from a line at
the top of the file:

  # yaml-language-server: $schema=labs.schema.json`,
			Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				if stop, err := announceOwn(a, "# no other command prints it: labs.yaml is dcalab's own format", ""); stop || err != nil {
					return err
				}
				_, err := a.streams.Out.Write(lab.Schema())
				return err
			},
		}),
	)
	return c
}

// writeWanted shows the lab with where each setting comes from.
func writeWanted(out io.Writer, w labsession.Wanted) error {
	_, err := fmt.Fprintf(out, "# lab %s of %s\n%s", w.Lab.Name, labsession.FileName(w.File), w.File.View(w.Lab, w.Overrides))
	return err
}

func configViewCommand(a *app) *cobra.Command {
	var o listing
	c := &cobra.Command{
		Use:   "view",
		Short: "Show the settings in force for the lab, and where each comes from",
		Long: `Show the whole lab as dcalab understands it: what labs.yaml says, defaults
for the rest, and what flags and DCALAB_ variables override. A comment behind
each setting says where it comes from. The output is a valid labs.yaml.

-o yaml is the same without the comments, -o json as JSON; -o name and --format
list its nodes.`,
		Example: "  dcalab config view --format '{{.name}} {{.ip}}'",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			format, err := o.format(labNode{})
			if err != nil {
				return err
			}
			wanted, err := a.choice()
			if err != nil {
				return err
			}
			read, why := "# cat labs.yaml", "there is none here: the built-in one is in force"
			file := wanted.File
			if file.Path != "" {
				read, why = runbook.Line("cat", file.Path), "without what flags and the environment put in"
			}
			if stop, err := announceOwn(a, read, why); stop || err != nil {
				return err
			}
			var document map[string]any
			var nodes struct {
				Labs map[string]struct{ Nodes []labNode }
			}
			text := wanted.Lab.YAML()
			if err := errors.Join(yaml.Unmarshal(text, &document), yaml.Unmarshal(text, &nodes)); err != nil {
				return err
			}
			return a.print(format, ui.Listing{
				Document: document, Rows: nodes.Labs[wanted.Lab.Name].Nodes, Key: "name",
				Table: func(w io.Writer, _ bool) error { return writeWanted(w, wanted) },
			})
		},
	}
	o.flags(c)
	return explained(c)
}

// labNode is a node of labs.yaml, as a template sees it.
type labNode struct {
	Name         string `json:"name"`
	IP           string `json:"ip"`
	Role         string `json:"role"`
	Availability string `json:"availability"`
	Box          string `json:"box"`
	CPUs         int    `json:"cpus"`
	Memory       int    `json:"memory"`
	Disk         int    `json:"disk"`
}

func initCommand(a *app) *cobra.Command {
	var asked labsession.StarterOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a labs.yaml of your own into this folder",
		Long: `Write a commented labs.yaml into this folder, to start from. An existing file is
never overwritten. The lab is named after the folder. It gets the first subnet
of 10.20.20.0/24, 10.20.30.0/24 and so on that neither this machine nor any of
your other labs has.`,
		Example: "  dcalab init\n  dcalab init --managers 3 --workers 2\n  dcalab init --name exam --subnet 10.9.9.0/24",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			st, err := a.lab().Starter(asked)
			if err != nil {
				return err
			}
			s := &session{app: a}
			for _, w := range st.File.Warnings {
				s.warn(w.String())
			}
			if a.dryRun() {
				if err := st.Absent(); err != nil {
					return err
				}
				return s.rehearse(st.Plan())
			}
			if err := st.Write(); err != nil {
				return err
			}
			fmt.Fprintf(a.streams.Err, "wrote %s; %s\n", lab.FileName, a.hint("check it with dcalab config validate, bring it up with dcalab up --swarm"))
			switch {
			case st.Taken != "" && asked.Subnet != "":
				s.warn(fmt.Sprintf("%s, which this lab has too: only one of the two can be up", st.Taken))
			case st.Taken != "":
				s.note("chose subnet %s: %s", st.Subnet, st.Taken)
			}
			_, typed := st.Plan()
			return s.recount(typed)
		},
	}
	c.Flags().IntVar(&asked.Managers, "managers", 1, "number of managers (1 to 7; an odd number)")
	c.Flags().IntVar(&asked.Workers, "workers", 2, "number of workers (0 to 30)")
	c.Flags().StringVar(&asked.Name, "name", "", "name of the lab (default: that of the folder)")
	c.Flags().StringVar(&asked.Subnet, "subnet", "", "the lab's network, such as 10.9.9.0/24 (default: a free one)")
	return explained(c)
}

// announceOwn announces one line of a command that reads no more than dcalab's
// own files.
func announceOwn(a *app, text, why string) (stop bool, err error) {
	return (&session{app: a}).announce(runbook.Runbook{{Text: text, Why: why}})
}
