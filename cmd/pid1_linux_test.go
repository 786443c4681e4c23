package cmd

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A node's PID 1 does not wait for packages that only the command line needs, which
// take most of the time that dcalab takes to start.
func TestPID1StartsBeforeTheCommandLine(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, "-test.run=^$")
	c.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pid1 := strings.Index(string(out), "init github.com/dcalab/dcalab/machine/sandbox/pid1 ")
	schemas := strings.Index(string(out), "init github.com/santhosh-tekuri/jsonschema/v6 ")
	if pid1 < 0 || schemas < 0 || pid1 > schemas {
		t.Errorf("packages are initialized in this order:\n%s", out)
	}
}
