package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/image"
	"github.com/dcalab/dcalab/image/demo"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/show"
	"github.com/dcalab/dcalab/ui"
)

func imageCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "image",
		Short: "Bring images to the nodes without a registry",
		Long: `A service runs an image on whatever node the swarm picks, so every node has to
have it, or be able to pull it. Where there is no registry, or no network, these
commands bring an image into all engines of the lab, and show which have it.`,
	}
	c.AddCommand(imageLoadCommand(a), imageListCommand(a), imageHostCommand(a))
	return c
}

func imageLoadCommand(a *app) *cobra.Command {
	var binary string
	c := &cobra.Command{
		Use:   "load FILE.tar|IMAGE|demo|- [NODE...]",
		Short: "Load images into all nodes at once",
		Long: `Load images into the engines of all nodes, or of those named, at once and
over SSH: no registry is needed, and no network but the lab's. Nodes that have
them already are skipped.

  FILE.tar  what docker save wrote, or an OCI archive; also packed with gzip or
            bzip2; - is the standard input
  IMAGE     an image of the Docker on this machine
  demo      dcalab's own small web server, built here with neither Docker nor a
            registry: localhost/demo:1, localhost/demo:2, and
            localhost/demo:broken, which never becomes healthy

Practise with the demo on a manager (dcalab ssh master):

  docker service create --name web --replicas 3 --no-resolve-image \
      --env 'NODE={{.Node.Hostname}}' --env 'TASK={{.Task.Name}}' \
      --publish published=8080,target=8080 localhost/demo:1
  curl localhost:8080
  docker service update --no-resolve-image --image localhost/demo:2 web
  docker service update --no-resolve-image --image localhost/demo:broken \
      --update-failure-action rollback web

The nodes need a kernel with ip_vs for this way of publishing (the routing
mesh); without it, add mode=host to --publish and ask a node that has a task.`,
		Example:           "  dcalab image load demo\n  dcalab image load nginx:1.27 node01 node02\n  docker save nginx:1.27 | dcalab image load -",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completer{a}.images,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			s, err := a.existing()
			if err != nil {
				return err
			}
			nodes, err := s.pick(args[1:])
			if err != nil {
				return err
			}
			source := labsession.ImageSource(args[0])
			plan, typed := source.Plan(nodes, s.State().SSHConfig())
			if a.dryRun() {
				err := source.Check(ctx)
				if err == nil {
					err = s.warnNotRunning(ctx, nodes)
				}
				if err != nil {
					return err
				}
				return s.rehearse(plan, typed)
			}
			if source != labsession.DemoImage && binary != "" {
				return usage("--binary is for the demo image alone", "see dcalab image load --help")
			}
			f, err := source.Open(ctx, a.streams.In, cmp.Or(binary, a.settings.GetString("demo-binary")), func() { s.note("taking %s from the local Docker", source) })
			if err != nil {
				return err
			}
			defer f.Close()
			release, err := s.change(ctx)
			if err != nil {
				return err
			}
			defer release()
			if err := loadImages(ctx, s, labsession.ImageLoad{Archive: f.Archive, Source: source}, nodes); err != nil {
				return err
			}
			return s.recount(typed)
		},
	}
	c.Flags().StringVar(&binary, "binary", "", "demo only: the dcalab to put into the image, a static program for the nodes' Linux (default: this one; also DCALAB_DEMO_BINARY)")
	return explained(c)
}

// loadImages loads images into nodes, all at once.
func loadImages(ctx context.Context, s *session, load labsession.ImageLoad, nodes []lab.Node) error {
	p := s.progress(names(nodes))
	defer p.Close()
	crew, err := s.Engines(ctx, nil)
	if err != nil {
		return err
	}
	defer crew.Close()
	live := s.app.streams.ErrTerminal()
	load.Sending = func(name string, sent, total int64) {
		switch size := node.Size(total); {
		case sent == 0:
			p.Step(name, "loading "+size)
		case live:
			p.Step(name, fmt.Sprintf("loading %s, %d %%", size, 10*(sent*10/max(total, 1))))
		}
	}
	err = crew.LoadImages(ctx, load, nodes, p)
	p.Close()
	if err == nil && load.Source == labsession.DemoImage {
		s.note("to practise with it: dcalab image load --help")
	}
	return err
}

func imageListCommand(a *app) *cobra.Command {
	var o listing
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the nodes' images that have a name, and which nodes have them",
		Long: `Ask every engine for its images, and show each name once, with the nodes that
have it. A name that means another image on another node has a line for each.`,
		Example: "  dcalab image list\n  dcalab image list -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			format, err := o.format(labsession.NodeImage{})
			if err != nil {
				return err
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			if stop, err := s.announce(runbook.On(s.Lab().NodeNames(), "docker image ls")); stop || err != nil {
				return err
			}
			crew, err := s.Engines(c.Context(), nil)
			if err != nil {
				return err
			}
			defer crew.Close()
			r, err := crew.Images(c.Context())
			if err != nil {
				return err
			}
			r.Lab = s.Lab().Name
			if format.ForPeople() {
				for _, u := range r.Unasked {
					s.warn(u.Error)
				}
			}
			return a.print(format, ui.Listing{
				Document: r, Rows: r.Images, Key: "name",
				Table: func(w io.Writer, wide bool) error {
					if len(r.Images) == 0 {
						s.note("no node has an image; load one: dcalab image load demo")
						return nil
					}
					return show.Images(w, r, len(s.Lab().Nodes), a.style(wide))
				},
			})
		},
	}
	o.flags(c)
	return explained(c)
}

// demoServer is what runs in containers of the demo image.
func demoServerCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use: image.DemoCommand, Hidden: true, Args: cobra.NoArgs,
		Short: "The web server of the demo image",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if check {
				return demo.Check(ctx, net.JoinHostPort("127.0.0.1", image.DemoPort))
			}
			hostname, err := os.Hostname()
			if err != nil {
				return err
			}
			addresses, err := net.InterfaceAddrs()
			if err != nil {
				return err
			}
			l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+image.DemoPort)
			if err != nil {
				return err
			}
			id := demo.Identify(os.Getenv, hostname, addresses, image.DemoBroken)
			if err := demo.Serve(ctx, l, id); err != nil || !id.Broken {
				return err
			}
			// Told to stop for being unhealthy, it must not end with 0: the engine
			// would report the task as complete, not as failed.
			return remoteError(1)
		},
	}
	c.Flags().BoolVar(&check, "check", false, "ask the server of this container whether it is healthy")
	return c
}
