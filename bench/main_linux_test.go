package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

var (
	wanted = flag.Bool("bench.run", false, "measure, on real engines and as root; without it the tests of this kind are skipped")
	large  = flag.Bool("bench.large", false, "also sixty nodes and a hundred")
	rounds = flag.Int("bench.rounds", envRounds(), "how often each side is measured (DCALAB_BENCH_ROUNDS)")
)

// Environment of the process that measures, set by guard.
const (
	folderKey = "DCALAB_BENCH_FOLDER" // everything that is made is below it
	bareUp    = "testdata/bare-up.sh"
)

func envRounds() int {
	if n, err := strconv.Atoi(os.Getenv("DCALAB_BENCH_ROUNDS")); err == nil && n > 0 {
		return n
	}
	return 5
}

// TestMain measures in a second process, in a network namespace of its own
// with a loopback interface and no way out. This one waits, and when the
// other has ended in whatever way it destroys what is left.
func TestMain(m *testing.M) {
	flag.Parse()
	if !*wanted {
		os.Exit(m.Run())
	}
	if os.Getenv(folderKey) == "" {
		status, err := guard()
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			status = max(status, 1)
		}
		os.Exit(status)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: loopback interface:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func guard() (status int, err error) {
	if os.Geteuid() != 0 {
		return 1, fmt.Errorf("real nodes need root: make bench")
	}
	if os.Getenv("DCALAB_E2E_BINARY") == "" {
		return 1, fmt.Errorf("DCALAB_E2E_BINARY must be the path of dcalab: make bench")
	}
	folder, err := os.MkdirTemp("", "dcalab-bench-")
	if err != nil {
		return 1, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// Pdeathsig is bound to the thread.
	runtime.LockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), folderKey+"="+folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	runErr := cmd.Run()
	if cmd.ProcessState != nil {
		status = max(cmd.ProcessState.ExitCode(), 0)
	}
	if runErr != nil {
		status = max(status, 1)
	}
	return status, clean(folder)
}

// clean destroys every lab below folder, and then the folder.
func clean(folder string) error {
	records, _ := filepath.Glob(folder + "/*/.dcalab/*/lab.json")
	for _, record := range records {
		state := filepath.Dir(record)
		cmd := exec.Command(os.Getenv("DCALAB_E2E_BINARY"), "--lab", filepath.Base(state), "destroy", "--force")
		cmd.Dir = filepath.Dir(filepath.Dir(state))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("destroy the lab in %s: %w\n%s", cmd.Dir, err, out)
		}
	}
	bare, _ := filepath.Glob(folder + "/bare-*")
	for _, dir := range bare {
		if out, err := exec.Command("bash", bareUp, "down", dir).CombinedOutput(); err != nil {
			return fmt.Errorf("%s down %s: %w\n%s", bareUp, dir, err, out)
		}
	}
	return os.RemoveAll(folder)
}
