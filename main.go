// Dcalab gives a person a real multi-node Docker Swarm lab on their own
// machine, to build, break and mend.
package main

import (
	"context"
	_ "embed"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dcalab/dcalab/cmd"
	"github.com/dcalab/dcalab/cmd/sudo"
	"github.com/dcalab/dcalab/ui"
)

//go:embed labs.yaml
var labs []byte

//go:embed Vagrantfile.tmpl
var vagrantfile string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// The first Ctrl-C ends the command gracefully, a second one at once. One that
	// comes with the first is the same: timeout(1) signals its child, and then
	// the group that the child is in.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second/2, stop) })
	// net/http writes there what a node's engine says out of turn, in its words.
	log.SetOutput(io.Discard)
	embedded := cmd.Embedded{Labs: labs, Vagrantfile: vagrantfile, Program: os.Args[0]}
	if called := os.Getenv(sudo.Variable); called != "" {
		// For this process alone, not for those that it starts.
		_ = os.Unsetenv(sudo.Variable)
		embedded.Program, embedded.ThroughSudo = called, true
	}
	os.Exit(cmd.Run(ctx, ui.System(), embedded, os.Args[1:]))
}
