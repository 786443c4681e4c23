package sandbox

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
)

// rounds counts up to n, or for as long as a busy machine is to be kept; -short
// takes a few.
func rounds(t *testing.T, n int, most time.Duration) iter.Seq[int] {
	t.Helper()
	if testing.Short() {
		n /= 5
	}
	return func(yield func(int) bool) {
		began := time.Now()
		for i := range n {
			if i > 0 && time.Since(began) > most {
				t.Logf("%d of %d rounds in %v: enough", i, n, most)
				return
			}
			if !yield(i) {
				return
			}
		}
	}
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
	for i := range rounds(t, 30, 45*time.Second) {
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
	for i := range rounds(t, 15, 15*time.Second) {
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
		if late > 10*time.Second {
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

// Labs come and go side by side: the last to leave takes what they share, and
// never from under another that is coming.
func TestLabsSideBySide(t *testing.T) {
	last := newFixture(t) // looks after what is left in the end
	fakeUplink(t)
	g, ctx := errgroup.WithContext(t.Context())
	for i := range 3 {
		f := newFixtureBeside(t, "master")
		f.Lab.Subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 20, byte(30 + i), 0}), 24)
		f.Lab.Nodes[0].IP = netip.AddrFrom4([4]byte{10, 20, byte(30 + i), 100})
		g.Go(func() error {
			for range rounds(t, 10, 8*time.Second) {
				d := f.driver()
				if err := d.Up(ctx, machine.Observer{}); err != nil {
					return errors.Join(err, d.Destroy(context.WithoutCancel(ctx), machine.Observer{}))
				}
				forwarding := readText(forwardSwitch)
				if err := d.Destroy(ctx, machine.Observer{}); err != nil {
					return err
				}
				if forwarding != "1\n" {
					return errors.New("another lab's destroy switched forwarding off")
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	last.wantNothing(t)
}
