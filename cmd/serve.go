package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
	"github.com/dcalab/dcalab/web"
	"github.com/dcalab/dcalab/web/host"
)

func serveCommand(a *app) *cobra.Command {
	var v host.Options
	var open bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Show the lab on a page in the browser, while things happen and afterwards",
		Long: `Listen at an address of loopback, and print the link to a page that shows the
lab: managers with their terms, votes and logs, who leads, workers,
where each task is, faults with the time that they have left, and a time line
that can be drawn back to see everything as it was then. It listens to the lab
and records as dcalab timeline --follow does, until Ctrl-C.

On the page one can also power nodes off and on, promote, drain, break, heal and
scale: each as the command that is shown, after what it would do and cost; and
open terminals on nodes, which go on when the page is loaded again. Not with
--read-only; and what needs root only with --power, for which sudo may ask for
its password now, or where dcalab serve runs as root.

The link has a token in it: who has the link can use the page. Other users and
other pages cannot, even in the same browser. It needs no network.

With --addr, an address of this machine, others reach the page too: over TLS,
with a certificate that dcalab makes and keeps with the lab. Browsers warn that
they do not know it; it is the one whose fingerprint is printed. There the page
only shows the lab, unless --allow-remote-actions is given.`,
		Example: "  dcalab serve\n  dcalab serve --open\n  dcalab serve --addr 127.0.0.1:9000\n  dcalab serve --addr 192.168.1.5:3227",
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return v.Check() },
		RunE: func(c *cobra.Command, _ []string) error {
			a.watching = true
			s, err := a.open()
			if err != nil {
				return err
			}
			if stop, err := s.announce(timeline.Runbook(s.Session)); stop || err != nil {
				return err
			}
			return pageHost{s, v, open}.run(c.Context())
		},
	}
	c.Flags().StringVar(&v.Addr, "addr", "", "where to listen: an address of this machine, with a port; 0 is any (default: "+host.Address+", or any port where that is taken)")
	c.Flags().BoolVar(&open, "open", false, "open the page in the browser")
	c.Flags().BoolVar(&v.ReadOnly, "read-only", false, "show the lab, and change nothing")
	c.Flags().BoolVar(&v.RemoteActions, "allow-remote-actions", false, "with an --addr beyond loopback: whoever has the link may act, and open terminals")
	c.Flags().BoolVar(&v.Power, "power", false, "ask sudo for root now, so that the page can power nodes off and on")
	_ = c.RegisterFlagCompletionFunc("addr", cobra.FixedCompletions([]string{host.Address, "127.0.0.1:0"}, noFiles))
	return explained(c)
}

// pageHost serves the page of a lab.
type pageHost struct {
	*session
	host.Options
	open bool // in the browser
}

// run shows the page until ctx ends.
func (h pageHost) run(ctx context.Context) error {
	page, err := host.Listen(ctx, h.Session, h.Options, h.app.hint)
	if err != nil {
		return err
	}
	if page.Fingerprint != "" {
		h.note("Browsers warn that they do not know this page. Before going on, compare the\nSHA-256 fingerprint of the certificate that they show; it must be this one:")
		fmt.Fprintln(h.app.streams.Err, page.Fingerprint) // also with --quiet
	}
	if h.RemoteActions {
		h.warn("whoever has this link acts on the lab, and has root in its nodes")
	}
	if h.app.power, err = h.startPowerHelper(ctx); err != nil {
		return errors.Join(err, page.Close())
	}
	if h.app.power != nil {
		defer h.app.power.End()
	}
	if !h.app.read { // labs.yaml came through a pipe: it cannot be read again
		page.Explain(h.app.act)
		if h.Acts() {
			page.Act(ctx, h.app.act)
			page.Terminals(ctx, h.app.shell)
		}
	}
	fmt.Fprintln(h.app.streams.Out, page.Link())
	if h.open {
		if err := openBrowser(page.LinkOnce()); err != nil {
			h.warn("no browser could be opened: " + trouble.OneLine(err))
		}
	}
	return page.Run(ctx, h.app.openLab, h.State().RecordChanges(ctx))
}

// act runs a command of dcalab on the same lab, as if it was typed, with nobody to ask.
func (a *app) act(ctx context.Context, words []string) web.Done {
	var done web.Done
	var said heard
	embedded := a.embedded
	embedded.Asked = func(question string) { done.Question = question }
	if a.power != nil {
		embedded.power = func() (web.Done, error) { return a.power.Do(words) }
	}
	done.Exit = a.again(ctx, ui.Streams{In: strings.NewReader(""), Out: &said, Err: &said}, embedded, words)
	done.Text = said.text.String()
	return done
}

// shell runs dcalab ssh in a terminal of the page.
func (a *app) shell(ctx context.Context, node string, t *web.Terminal) int {
	return a.again(ctx, ui.Streams{In: t, Out: t, Err: rawLines{t}}, a.embedded, []string{"ssh", node})
}

// again runs another command of dcalab with the flags of this one that are for all.
func (a *app) again(ctx context.Context, streams ui.Streams, embedded Embedded, words []string) int {
	streams.Environ = []string{"NO_COLOR=1"}
	return Run(ctx, streams, embedded, slices.Concat(a.given, words))
}

// given are the flags that were given, as they are typed. Cobra parses them in a set of the
// command's own, which has them from here: Visit would find none.
func given(flags *pflag.FlagSet) (args []string) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	return args
}

// rawLines writes lines to a terminal that is in raw mode.
type rawLines struct{ io.Writer }

func (w rawLines) Write(p []byte) (int, error) {
	_, err := w.Writer.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

// heard is what a command says, which may come from several goroutines.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *heard) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// openBrowser gives the link to what starts the browser: others can see it there.
func openBrowser(link string) error {
	open := []string{"xdg-open"}
	switch runtime.GOOS {
	case "darwin":
		open = []string{"open"}
	case "windows":
		open = []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	c := exec.Command(open[0], append(open[1:], link)...) //nolint:gosec,noctx // it is ours, and outlives this
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }()
	return nil
}
