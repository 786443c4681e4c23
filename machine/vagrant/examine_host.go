package vagrant

import (
	"context"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"github.com/dcalab/dcalab/machine"
)

// askTimeout is how long a program may take to tell its version or machines.
const askTimeout = 20 * time.Second

// realHost is the machine that this runs on.
func realHost() host {
	home, _ := os.UserHomeDir() // empty: then Vagrant itself complains
	return host{
		GOOS: runtime.GOOS, GOARCH: runtime.GOARCH, CPUs: runtime.NumCPU(),
		Home: home, Getenv: os.Getenv, LookPath: exec.LookPath,
		Run:      runProgram,
		ReadFile: os.ReadFile,
		Exists: func(path string) bool {
			_, err := os.Stat(path)
			return err == nil
		},
		List:        listFolder,
		Writable:    machine.Writable,
		Connect:     connect,
		Interfaces:  interfaces,
		Memory:      memoryOf,
		FreeDisk:    func(path string) (uint64, error) { return freeDisk(machine.Nearest(path)) },
		HyperVAdmin: hyperVAdmin,
	}
}

func runProgram(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	// Their words are read, so they must not be translated; and Vagrant must
	// not go and ask for its newest version.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "VAGRANT_CHECKPOINT_DISABLE=1")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return string(out), err
}

func listFolder(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

func connect(path string) error {
	conn, err := net.DialTimeout("unix", path, 2*time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// interfaces are those that are up, without the loopback.
func interfaces() ([]machine.Network, error) {
	all, err := machine.Interfaces()
	return slices.DeleteFunc(all, func(n machine.Network) bool { return n.Down || n.Addr.Addr().IsLoopback() }), err
}
