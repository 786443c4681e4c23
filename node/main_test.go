package node

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/dcalab/dcalab/node/nodetest"
)

// TestMain lets the test binary stand in for two programs that tests start:
// dcalab as a ProxyCommand, and the engine of a box.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "ssh-proxy" {
		if err := Proxy(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	nodetest.StandIn()
	os.Exit(m.Run())
}
