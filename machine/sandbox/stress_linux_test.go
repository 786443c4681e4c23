package sandbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
)

// rounds of each kind of interruption; -short takes a few.
func rounds(n int) int {
	if testing.Short() {
		return n / 5
	}
	return n
}

// dice gives a source of randomness whose seed is told, so that a failure can
// be played again: DCALAB_SEED=… go test -run ….
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("DCALAB_SEED"); text != "" {
		seed = 0
		for _, c := range text {
			seed = seed*10 + uint64(c-'0')
		}
	}
	t.Logf("DCALAB_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // moments, not secrets
}

// Wherever dcalab is killed in the middle of up, destroy leaves nothing; and
// an up in between makes the lab whole.
func TestUpKilledAnywhere(t *testing.T) {
	f := newFixture(t, "master", "node01")
	fakeUplink(t)
	f.save(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func() *exec.Cmd {
		cmd := exec.Command(exe, upCommand, f.Root)
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	began := time.Now()
	if err := start().Wait(); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(began)
	f.destroy(t)
	random := dice(t)
	for i := range rounds(30) {
		after := time.Duration(random.Int64N(int64(whole)))
		cmd := start()
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		again := i%3 == 2
		t.Logf("round %d: killed after %v (%v), up again: %v", i, after.Round(time.Millisecond), err, again)
		if again {
			f.up(t)
			if got := f.sh(t, "master", "timeout 5 bash -c 'exec 3<>/dev/tcp/node01/22; head -c 4 <&3'"); got != "SSH-" {
				t.Errorf("master does not reach node01 after an interrupted up: %q", got)
			}
		}
		f.destroy(t)
		f.wantNothing(t)
		if t.Failed() {
			return
		}
	}
}

// The same with a context that is cancelled.
func TestUpCancelledAnywhere(t *testing.T) {
	f := newFixture(t, "master", "node01")
	fakeUplink(t)
	began := time.Now()
	f.up(t)
	whole := time.Since(began)
	f.destroy(t)
	random := dice(t)
	for i := range rounds(15) {
		after := time.Duration(random.Int64N(int64(whole)))
		ctx, cancel := context.WithTimeout(t.Context(), after)
		began := time.Now()
		err := f.driver().Up(ctx, machine.Observer{})
		late := time.Since(began) - after
		cancel()
		t.Logf("round %d: cancelled after %v: %v", i, after.Round(time.Millisecond), err)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if late > 2*time.Second {
			t.Errorf("up returned %v after the end of its context", late)
		}
		if i%3 == 2 {
			f.up(t)
		}
		f.destroy(t)
		f.wantNothing(t)
		if t.Failed() {
			return
		}
	}
}
