package provision

import (
	"os"
	"testing"

	"github.com/dcalab/dcalab/node/nodetest"
)

// TestMain lets the test binary stand in for the engine of a box.
func TestMain(m *testing.M) {
	nodetest.StandIn()
	os.Exit(m.Run())
}
