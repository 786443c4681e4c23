package cmd

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
	"github.com/dcalab/dcalab/web"
)

// serveAddress is where the page is unless another address is asked for, or it is taken.
const (
	serveAddress = "127.0.0.1:" + servePort
	servePort    = "3227"
)

func serveCommand(a *app) *cobra.Command {
	var v serving
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
		PreRunE: func(*cobra.Command, []string) error { return v.check() },
		RunE: func(c *cobra.Command, _ []string) error {
			a.watching = true
			s, err := a.open()
			if err != nil {
				return err
			}
			if stop, err := s.announce(timeline.Runbook(s.Session)); stop || err != nil {
				return err
			}
			return pageHost{s, v}.run(c.Context())
		},
	}
	c.Flags().StringVar(&v.addr, "addr", "", "where to listen: an address of this machine, with a port; 0 is any (default: "+serveAddress+", or any port where that is taken)")
	c.Flags().BoolVar(&v.open, "open", false, "open the page in the browser")
	c.Flags().BoolVar(&v.readOnly, "read-only", false, "show the lab, and change nothing")
	c.Flags().BoolVar(&v.remoteActions, "allow-remote-actions", false, "with an --addr beyond loopback: whoever has the link may act, and open terminals")
	c.Flags().BoolVar(&v.power, "power", false, "ask sudo for root now, so that the page can power nodes off and on")
	_ = c.RegisterFlagCompletionFunc("addr", cobra.FixedCompletions([]string{serveAddress, "127.0.0.1:0"}, noFiles))
	return explained(c)
}

// pageHost serves the page of a lab.
type pageHost struct {
	*session
	serving
}

// run shows the page until ctx ends.
func (h pageHost) run(ctx context.Context) error {
	listener, err := listenAt(ctx, h.at)
	if err != nil {
		return err
	}
	at := netip.MustParseAddrPort(listener.Addr().String())
	secret, err := h.secret()
	k := kept{serveKey: secret}
	plain := listener
	if err == nil && h.remote() {
		listener, err = h.encrypted(plain, at, k)
		if h.remoteActions {
			h.warn("whoever has this link acts on the lab, and has root in its nodes")
		}
	}
	if err == nil {
		h.app.power, err = h.lendsPower(ctx)
	}
	if err != nil {
		return errors.Join(err, plain.Close())
	}
	if h.app.power != nil {
		defer h.app.power.End()
	}
	page := web.New(at, secret, h.app.hint)
	if !h.app.read { // labs.yaml came through a pipe: it cannot be read again
		page.Explain(h.app.act)
		if h.acts() {
			page.Act(ctx, h.app.act)
			page.Terminals(ctx, h.app.shell)
		}
	}
	server := http.Server{Handler: page, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintln(h.app.streams.Out, page.Link())
	if h.open {
		if err := openBrowser(page.LinkOnce()); err != nil {
			h.warn("no browser could be opened: " + trouble.OneLine(err))
		}
	}
	h.app.feed(ctx, page, k, h.State().RecordChanges(ctx))
	page.Close()
	if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// secret is what the lab has kept, else a new one.
func (h pageHost) secret() ([]byte, error) {
	fresh := []byte(rand.Text() + rand.Text())
	old, err := h.readKept(serveKey)
	if err == nil && len(old) < len(fresh) {
		return fresh, nil
	}
	return old, err
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

// feed tells the page what happens, until ctx ends. The lab may be made, changed and
// destroyed meanwhile, of which changes gives a sign.
func (a *app) feed(ctx context.Context, page *web.Server, k kept, changes <-chan struct{}) {
	failed := func(err error) {
		if err != nil {
			page.Trouble(trouble.OneLine(err))
		}
	}
	begin := func(s *session) {
		page.Begin(pageLab(ctx, s))
		failed(k.keep(s))
	}
	events := following{recorded: true, take: page.Take, begin: begin, failed: failed}
	defer events.stop()
	for broken := false; ; {
		s, err := a.open()
		switch {
		case err != nil:
			failed(err)
		case broken: // labs.yaml, and it is in order again
			page.Trouble("")
			fallthrough
		default:
			events.from(ctx, s)
		}
		broken = err != nil
		select {
		case <-ctx.Done():
			return
		case <-changes:
		}
	}
}

func pageLab(ctx context.Context, s *session) web.Lab {
	l := web.Lab{Name: s.Lab().Name, Driver: s.Driver().Name(), Exists: s.Created(), NoMesh: report.MeshMissing(ctx, s.Session), Nodes: []web.LabNode{}}
	for _, n := range s.Lab().Nodes {
		l.Nodes = append(l.Nodes, web.LabNode{Name: n.Name, Role: string(n.Role), Address: n.IP.String()})
	}
	return l
}
