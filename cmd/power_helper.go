package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/web"
)

// powerHelperCommand is what dcalab serve --power runs through sudo, for as long as it runs
// itself. It trusts nobody who writes to it: it does what pages may have done as root, on
// the lab that it was started for.
func powerHelperCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: powerHelper, Hidden: true, Args: cobra.NoArgs,
		Short: "What dcalab serve --power does as root",
		RunE:  func(c *cobra.Command, _ []string) error { return a.lendPower(c.Context()) },
	}
}

// powerRequestMax is more than any request takes, in bytes.
const powerRequestMax = 16 << 10

// lendPower does what it is asked for until its input ends, or ctx; what is under way then
// ends in order.
func (a *app) lendPower(ctx context.Context) error {
	s, err := a.identify()
	if err != nil {
		return err
	}
	place := s.Place()
	a.embedded.ThroughSudo = false // the exit status of its commands is not sudo's
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var answers sync.Mutex
	to := json.NewEncoder(a.streams.Out)
	answer := func(id int, done web.Done) {
		answers.Lock()
		defer answers.Unlock()
		if to.Encode(powerAnswer{ID: id, Done: done}) != nil {
			cancel() // nobody listens any more
		}
	}
	signal.Ignore(syscall.SIGPIPE) // an answer that nobody reads ends in order what is under way
	answer(0, web.Done{})
	requests := make(chan powerRequest)
	go func() {
		defer cancel()
		in := bufio.NewScanner(a.streams.In)
		in.Buffer(nil, powerRequestMax)
		for in.Scan() {
			var r powerRequest
			if json.Unmarshal(in.Bytes(), &r) != nil {
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	var underWay sync.WaitGroup
	defer underWay.Wait()
	for {
		select {
		case r := <-requests:
			underWay.Go(func() { answer(r.ID, a.lend(ctx, place, r.Words)) })
		case <-ctx.Done():
			return nil
		}
	}
}

// lend does one command, if it may be done. labs.yaml is found anew each time, and whose it
// is looked at; another file or another lab in it may be what is meant by then.
func (a *app) lend(ctx context.Context, place lab.Place, words []string) web.Done {
	refused := func(exit int, why string) web.Done { return web.Done{Exit: exit, Text: "error: " + why + "\n"} }
	if err := web.AsRoot(words); err != nil {
		return refused(trouble.ExitUsage, err.Error())
	}
	which := a.lab()
	which.Warn = nil // the command itself warns
	now, err := labsession.Describe(which)
	switch {
	case err != nil:
		return refused(trouble.ExitStatus(err), trouble.OneLine(err))
	case !sameLab(now.Place(), place):
		return refused(trouble.ExitRefused, "dcalab serve --power was started for another lab")
	}
	return a.act(ctx, words)
}

// sameLab tells whether it is the lab of the same labs.yaml; it may have been made anew.
func sameLab(a, b lab.Place) bool {
	return a.Root == b.Root && a.Lab == b.Lab && a.Config == b.Config
}
