package cmd

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/session/bundle"
	"github.com/dcalab/dcalab/ui"
)

// defaultLines is how much of a log is shown where nobody says.
const defaultLines = 100

func logsCommand(a *app) *cobra.Command {
	var follow bool
	var lines, file string
	var since time.Duration
	c := &cobra.Command{
		Use:   "logs NODE | logs --bundle FILE.tar.gz",
		Short: "Show the log of a node's engine, or create a support bundle",
		Long: `Show the log of a node's engine: systemd's journal of it, or the file that
it writes where there is no systemd. It is shown as it is.

With --bundle, what somebody who helps you needs is packed into one file: the
version, labs.yaml in force, the output of status, status --view and doctor,
dcalab's own log with the outcome of its commands, and of every node the end of
the engine's log, its daemon.json, docker info, node ls, service ls, service ps,
container ls, network ls and image ls, addresses, /etc/hosts, disks, memory and
kernel. Join tokens, unlock keys, private keys and passwords in URLs are
masked. What was packed is listed; an existing file is never overwritten.`,
		Example: "  dcalab logs node01\n  dcalab logs node01 -f\n  dcalab logs node01 --since 10m\n  dcalab logs --bundle lab.tar.gz",
		Args: func(c *cobra.Command, args []string) error {
			if file != "" {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		ValidArgsFunction: completer{a}.one,
		RunE: func(c *cobra.Command, args []string) error {
			if file != "" {
				if follow || lines != "" || since != 0 {
					return usage("--bundle packs all that is needed: --follow, --lines and --since do not go with it")
				}
				return writeBundle(c.Context(), a, file)
			}
			o := provision.LogOptions{Lines: defaultLines, Since: since, Follow: follow}
			if since < 0 {
				return usage("--since "+since.String()+" is in the future", "the last ten minutes: --since 10m")
			}
			switch n, err := strconv.Atoi(lines); {
			case lines == "" && since > 0, lines == "all":
				o.Lines = -1
			case lines == "":
			case err != nil || n < 0:
				return usage(fmt.Sprintf("--lines %s is no number of lines", lines), "--lines 20, or --lines all")
			default:
				o.Lines = n
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			nodes, err := s.pick(args)
			if err != nil {
				return err
			}
			if stop, err := s.announce(provision.ExplainLog(nodes[0].Name, o, s.Driver().Traits().Systemd)); stop || err != nil {
				return err
			}
			conn, err := s.Conn(c.Context(), nodes[0].Name)
			if err != nil {
				return err
			}
			defer conn.Close()
			return provision.EngineLog(c.Context(), conn, o, a.streams.Out)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "follow the log, until Ctrl-C")
	c.Flags().StringVarP(&lines, "lines", "n", "", "how many lines at the end, or all (default: 100; with --since, all)")
	c.Flags().DurationVar(&since, "since", 0, "leave out what is older than this: 10m, 2h")
	c.Flags().StringVar(&file, "bundle", "", "write a support bundle to this file (.tar.gz)")
	return explained(c)
}

// bundle writes a support bundle to a new file.
func writeBundle(ctx context.Context, a *app, file string) error {
	if !strings.HasSuffix(file, ".tar.gz") && !strings.HasSuffix(file, ".tgz") {
		return usage("--bundle "+file+": it makes a .tar.gz", "dcalab logs --bundle "+file+".tar.gz")
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	plan, typed := bundle.Plan(s.Session)
	if a.dryRun() {
		if err := bundle.Absent(file); err != nil {
			return err
		}
		return s.rehearse(append(plan, "pack it into "+file), typed)
	}
	packed, err := bundle.Make(ctx, s.Session, file, bundleParts(a))
	if err != nil {
		return err
	}
	s.warn(packed.Notes...)
	var rows [][]string
	for _, f := range packed.Files {
		rows = append(rows, []string{f.Name, node.Size(f.Size)})
	}
	if err := ui.Table(a.streams.Out, []string{"PACKED", "SIZE"}, rows, false); err != nil {
		return err
	}
	s.note("packed into %s; secrets are masked, but look into it before you send it: tar xzf %s", file, file)
	return s.recount(typed)
}

// bundleParts are what other commands say of this lab.
func bundleParts(a *app) []bundle.Part {
	part := func(name string, write func(context.Context, *app) error) bundle.Part {
		return bundle.Part{Name: name, Write: func(ctx context.Context, text, story io.Writer) {
			own := *a
			own.told, own.streams = nil, ui.Streams{In: strings.NewReader(""), Out: text, Err: story, Environ: a.streams.Environ}
			if err := write(ctx, &own); err != nil {
				ui.PrintError(story, err, false, a.settings.GetBool("verbose"), a.hint)
			}
		}}
	}
	ofLab := func(name string, write func(s *session, ctx context.Context, w io.Writer) error) bundle.Part {
		return part(name, func(ctx context.Context, a *app) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			return write(s, ctx, a.streams.Out)
		})
	}
	return []bundle.Part{
		part("version.txt", func(_ context.Context, a *app) error { return writeVersion(a, "") }),
		part("labs.yaml", func(_ context.Context, a *app) error {
			wanted, err := a.choice()
			if err != nil {
				return err
			}
			return writeWanted(a.streams.Out, wanted)
		}),
		ofLab("status.json", func(s *session, ctx context.Context, w io.Writer) error {
			_, err := s.app.showStatus(ctx, s.Session, w, ui.Named(ui.FormatJSON), nil)
			return err
		}),
		ofLab("status-view.txt", func(s *session, ctx context.Context, w io.Writer) error {
			return s.app.showBeliefs(ctx, s.Session, w, ui.Named(ui.FormatTable))
		}),
		part("doctor.json", func(ctx context.Context, a *app) error {
			d, err := examined(ctx, a)
			if err != nil {
				return err
			}
			return writeDiagnosis(a, d, ui.Named(ui.FormatJSON))
		}),
	}
}
