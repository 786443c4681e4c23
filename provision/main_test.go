package provision

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
)

// TestMain lets the test binary stand in for two programs that tests start:
// dcalab as a ProxyCommand, and an engine that knows only its version.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "ssh-proxy" {
		if err := Proxy(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 4 && os.Args[1] == "fake-engine" {
		if err := fakeEngine(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
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

// engineAPI answers as much of the Engine API as this package asks for.
func engineAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"Version":"28.2.2"}`)
	})
	return mux
}
