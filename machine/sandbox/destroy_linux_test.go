package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
)

// observerThatFails is for an Up that must not get as far as any node.
func observerThatFails(t *testing.T) machine.Observer {
	t.Helper()
	return machine.Observer{
		Step:  func(node, step string) { t.Errorf("step of %s: %s", node, step) },
		Ready: func(ep node.Endpoint) { t.Errorf("%s is ready", ep.Node) },
	}
}

// pidOf is the PID 1 of the node master.
func pidOf(t *testing.T, f *fixture) int {
	t.Helper()
	alive, err := running(f.ID)
	if err != nil || alive["master"] == 0 {
		t.Fatalf("no process of master: %v, %v", alive, err)
	}
	return alive["master"]
}

// What somebody did to a lab behind dcalab's back. Whatever it was, status
// answers, up mends it, and destroy leaves nothing.
func TestBehindItsBack(t *testing.T) {
	removeLink := func(t *testing.T, name string) {
		t.Helper()
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkDel(link)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	remove := func(path func(*fixture) string) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) {
			t.Helper()
			if _, err := os.Stat(path(f)); err != nil {
				t.Fatal(err) // there is nothing to remove, so nothing is tested
			}
			// The engine goes on writing while its files are removed.
			eventually(t, path(f)+" is removed", func() bool { return os.RemoveAll(path(f)) == nil })
		}
	}
	for _, test := range []struct {
		name string
		harm func(*testing.T, *fixture)
		// mend says that an up after the harm gives a whole lab again without
		// a destroy in between.
		mend bool
	}{
		{"nothing", func(*testing.T, *fixture) {}, true},
		{"the runtime folder removed", remove(func(f *fixture) string { return runtimeDir(f.ID) }), false},
		{"the runtime folder of all labs removed", func(t *testing.T, f *fixture) {
			t.Helper()
			remove(func(*fixture) string { return runtimeRoot })(t, f)
			// With it goes the note that it was dcalab that switched forwarding on.
			if err := os.WriteFile(forwardSwitch, []byte("0"), 0); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"runc's state removed", remove(func(f *fixture) string { return runtimeDir(f.ID, ".runc") }), true},
		{"the node's disk removed", remove(func(f *fixture) string { return f.Nodes + "/master" }), false},
		{"all disks removed", remove(func(f *fixture) string { return f.Nodes }), false},
		{"the bridge removed", func(t *testing.T, f *fixture) { t.Helper(); removeLink(t, f.driver().net.bridge()) }, true},
		{"the node's interface removed", func(t *testing.T, f *fixture) { t.Helper(); removeLink(t, f.driver().net.veth("master")) }, false},
		{"PID 1 of the node killed", func(t *testing.T, f *fixture) {
			t.Helper()
			if err := unix.Kill(pidOf(t, f), unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the node is down", func() bool {
				status, err := f.driver().Status(t.Context())
				return err == nil && status["master"] == machine.StatusHalted
			})
		}, true},
		{"the firewall flushed", func(t *testing.T, f *fixture) {
			t.Helper()
			d := f.driver()
			if err := d.net.disallow(); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"another subnet in labs.yaml", func(_ *testing.T, f *fixture) {
			f.Lab.Subnet = netip.MustParsePrefix("10.20.30.0/24")
			f.Lab.Nodes[0].IP = netip.MustParseAddr("10.20.30.100")
		}, false},
		{"the node no longer in labs.yaml", func(_ *testing.T, f *fixture) {
			f.Lab.Nodes[0].Name = "other"
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, "master")
			fakeUplink(t)
			f.up(t)
			test.harm(t, f)
			if _, err := f.driver().Status(t.Context()); err != nil {
				t.Errorf("status: %v", err)
			}
			if test.mend {
				f.up(t)
				eventually(t, "the node answers on the lab's network", func() bool {
					out, err := f.try(t, "master", "timeout 1 bash -c 'exec 3<>/dev/tcp/10.20.20.1/1' 2>&1; ip -4 -o addr show dev enp0s8; ip route show default")
					return err == nil && strings.Contains(out, "refused") && strings.Contains(out, "10.20.20.100/24") && strings.Contains(out, "via 10.20.20.1")
				})
				var rules []string
				for _, l := range f.leftovers(t) {
					if strings.HasPrefix(l, "iptables -A") {
						rules = append(rules, l)
					}
				}
				if len(rules) != 8 { // two jumps, five of the filter's, one of nat's
					t.Errorf("the lab's rules are %q", rules)
				}
			}
			f.destroy(t)
			f.wantNothing(t)
			f.destroy(t) // and again, of nothing
		})
	}
}

// A kill in the middle of making a disk leaves half of one.
func TestHalfMadeDisk(t *testing.T) {
	for name, nodes := range map[string][]string{"destroy all": nil, "destroy the node": {"master"}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "master")
			half := disk{filepath.Join(f.Nodes, "master")}.half()
			halve := func() {
				f.claim(t)
				if err := errors.Join(os.MkdirAll(half.upper()+"/etc", 0o755), os.WriteFile(half.upper()+"/etc/hosts", nil, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			halve()
			d := f.driver()
			if status, err := d.Status(t.Context()); err != nil || status["master"] != machine.StatusAbsent {
				t.Errorf("status is %v (%v), want absent", status, err)
			}
			if err := d.Destroy(t.Context(), machine.Observer{}, nodes...); err != nil {
				t.Fatal(err)
			}
			f.wantNothing(t)
			halve()
			f.up(t)
		})
	}
}

// A kill in the middle of trying out an overlay leaves its folders.
func TestKilledProbe(t *testing.T) {
	f := newFixture(t, "master")
	for _, dir := range []string{f.Root, probeInMemory} {
		if err := os.MkdirAll(filepath.Join(dir, f.driver().disks.probePrefix()+"1", "upper"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if left := f.leftovers(t); len(left) != 2 {
		t.Fatalf("the folders are not found: %q", left)
	}
	f.destroy(t)
	f.wantNothing(t)
}

// The last lab to go takes the folder that labs share, and not from under one
// that is coming.
func TestClaim(t *testing.T) {
	f := newFixture(t)
	d := f.driver()
	if err := os.Mkdir(runtimeRoot, 0o755); err != nil {
		t.Fatal(err)
	}
	leaving, err := lockedDir(runtimeRoot, unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	claimed := make(chan error, 1)
	go func() { claimed <- d.place.claim() }()
	// The claim waits for the lock, which is the case when it can be seen to.
	eventually(t, "the claim waits or is done", func() bool {
		return len(claimed) > 0 || strings.Contains(readText("/proc/locks"), "-> FLOCK")
	})
	if err := unix.Rmdir(runtimeRoot); err != nil {
		t.Errorf("a lab came while the folder was locked: %v", err)
	}
	leaving.Close()
	if err := <-claimed; err != nil {
		t.Fatal(err)
	}
	if err := removeSharedByLabs(filepath.Dir(newFixtureBeside(t).Nodes)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(runtimeDir(f.ID)); err != nil {
		t.Errorf("the claim does not hold: %v", err)
	}
}

// A node that is on its way down is not taken for one that is up.
func TestUpDuringHalt(t *testing.T) {
	for name, slow := range map[string]func(*testing.T, *fixture) int{
		"the engine takes its time to end":   engineOf,
		"PID 1 has not taken the signal yet": pidOf,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "master")
			d := f.up(t)
			old := pidOf(t, f)
			stopped := slow(t, f)
			if err := unix.Kill(stopped, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			// Until it has stopped, a SIGTERM ends an engine that has just begun.
			eventually(t, "it has stopped", func() bool {
				return strings.Contains(readText(fmt.Sprintf("/proc/%d/stat", stopped)), ") T ")
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := d.Halt(ctx, machine.Observer{Step: func(string, string) { cancel() }}); !errors.Is(err, context.Canceled) {
				t.Errorf("halt gives %v, want %v", err, context.Canceled)
			}
			var letGo sync.Once
			o := machine.Observer{Step: func(string, string) {
				letGo.Do(func() { time.AfterFunc(300*time.Millisecond, func() { _ = unix.Kill(stopped, unix.SIGCONT) }) })
			}}
			if err := d.Up(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if now := pidOf(t, f); now == old {
				t.Error("up took the node that goes down for one that is up")
			}
			f.sh(t, "master", "true")
		})
	}
}

// engineOf waits for an engine in the lab's nodes, and gives its pid. A child of
// it has its name until it has become another program.
func engineOf(t *testing.T, f *fixture) (pid int) {
	t.Helper()
	eventually(t, "the engine runs", func() bool {
		procs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range procs {
			_, rest, _ := strings.Cut(readText(p+"/status"), "\nPPid:\t")
			parent, _, _ := strings.Cut(rest, "\n")
			if readText(p+"/comm") == "dockerd\n" && strings.Contains(readText(p+"/cgroup"), f.ID) && readText("/proc/"+parent+"/comm") != "dockerd\n" {
				pid, _ = strconv.Atoi(filepath.Base(p))
			}
		}
		return pid != 0
	})
	return pid
}

// Where disks cannot carry an overlay, they are in memory; and nodes may have
// any name, also those of things that the driver keeps beside them.
func TestDisksInMemory(t *testing.T) {
	f := newFixture(t, "storage", "runc", "init")
	on := f.path("overlay")
	for _, dir := range []string{"lower", "upper", "work", "overlay"} {
		if err := os.Mkdir(f.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("overlay", on, "overlay", 0, "lowerdir="+f.path("lower")+",upperdir="+f.path("upper")+",workdir="+f.path("work")); err != nil {
		t.Fatal(err)
	}
	f.Nodes = on + "/nodes"
	defer func() {
		f.destroy(t)
		f.Nodes = f.path("nodes")
		if err := unix.Unmount(on, 0); err != nil {
			t.Error(err)
		}
	}()
	d := f.driver()
	if err := d.Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.up(t)
	if limits := strings.Join(d.Limits(t.Context()), "\n"); !strings.Contains(limits, "in memory (3072 MiB at most)") || !strings.Contains(limits, on) {
		t.Errorf("the limits do not say that disks are in memory: %s", limits)
	}
	f.sh(t, "storage", "echo kept >kept")
	if err := d.Halt(t.Context(), machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context(), machine.Observer{}, "storage"); err != nil {
		t.Fatal(err)
	}
	if got := f.sh(t, "storage", "cat kept"); got != "kept" {
		t.Errorf("after halt and start the file reads %q", got)
	}
	for _, name := range f.Lab.NodeNames() {
		if err := d.Destroy(t.Context(), machine.Observer{}, name); err != nil {
			t.Fatal(err)
		}
		if status, err := d.Status(t.Context()); err != nil || status[name] != machine.StatusAbsent {
			t.Errorf("status is %v (%v)", status, err)
		}
	}
	if left := f.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// The same names on disk.
func TestNamesOfTheDriversOwn(t *testing.T) {
	f := newFixture(t, "storage", "runc", "init")
	d := f.up(t)
	for _, name := range f.Lab.NodeNames() {
		if got := f.sh(t, name, "hostname -s"); got != name {
			t.Errorf("%s calls itself %s", name, got)
		}
	}
	if limits := strings.Join(d.Limits(t.Context()), "\n"); strings.Contains(limits, "in memory") {
		t.Errorf("disks are said to be in memory: %s", limits)
	}
}
