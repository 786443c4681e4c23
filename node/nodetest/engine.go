package nodetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// StandIn is for a TestMain: it makes the test binary the engine of a box,
// which knows only its version, where the box has started it as that.
func StandIn() {
	if len(os.Args) != 4 || os.Args[1] != "fake-engine" {
		return
	}
	if err := fakeEngine(os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// fakeEngine listens on a socket that belongs to a group, as dockerd does,
// until it is told to end.
func fakeEngine(socket, gid string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	group, err := strconv.Atoi(gid)
	if err != nil {
		return err
	}
	if err := os.Chown(socket, 0, group); err != nil {
		return err
	}
	if err := os.Chmod(socket, 0o660); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: engineAPI()}
	go func() { <-ctx.Done(); _ = server.Close() }()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// engineAPI answers as much of the Engine API as package provision asks for.
func engineAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"Version":"28.2.2"}`)
	})
	return mux
}
