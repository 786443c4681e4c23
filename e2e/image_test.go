package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// demoBinary gives a script's command that sets DCALAB_DEMO_BINARY to a dcalab
// without cgo: what the demo image holds runs on nothing but a kernel. The
// dcalab under test is built for the race detector, which needs cgo. It is
// built once, for the first script that asks.
//
//	demo-binary
func demoBinary(t *testing.T) func(*testscript.TestScript, bool, []string) {
	t.Helper()
	dir := t.TempDir()
	build := sync.OnceValues(func() (string, error) {
		if path := os.Getenv("DCALAB_DEMO_BINARY"); path != "" {
			return path, nil
		}
		path := filepath.Join(dir, "dcalab")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("build a static dcalab: %s", out)
		}
		return path, err
	})
	return func(ts *testscript.TestScript, _ bool, _ []string) {
		path, err := build()
		ts.Check(err)
		ts.Setenv("DCALAB_DEMO_BINARY", path)
	}
}
