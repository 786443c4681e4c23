package fault

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/fault/relay"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/node/nodetest"
)

// box is a machine of its own as far as faults can tell: its own network, /run and
// processes, which all end with it.
type box struct {
	t   *testing.T
	pid string // of its first process
}

// setUp tells the number that the box's first process has outside. PATH has folders
// for stand-ins in front: those of killed are in the first.
const setUp = `set -e
read -r pid _ </proc/self/stat
mount -t proc none /proc
mount -t tmpfs none /run
mount -t tmpfs none /root
[ -L /var/run ] || mount --bind /run /var/run
mkdir /run/bin /run/kept /run/sshd
iptables -w -t raw -S >/dev/null
echo "ready $pid"
exec sleep infinity
`

func newBox(t *testing.T) *box {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this test needs root, for namespaces of its own")
	}
	for _, program := range []string{"unshare", "nsenter", "setsid", "flock", "iptables", "iptables-restore"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s here", program)
		}
	}
	holder := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", setUp)
	var complaints bytes.Buffer
	holder.Stderr = &complaints
	out, err := holder.StdoutPipe()
	must(t, err)
	must(t, holder.Start())
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, ready := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ready {
		_ = holder.Wait()
		t.Skipf("no namespaces here, or no table raw in them: %s", complaints.String())
	}
	return &box{t, pid}
}

// enter are the words in front of a command that is to be run in the box.
func (b *box) enter() []string {
	return []string{"nsenter", "-t", b.pid, "-m", "-n", "-p", "--", "env", "PATH=/run/bin:/run/kept:" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}
}

// result is how a command ended.
type result struct {
	out, err string
	status   int
}

// run runs a command in the box until it has ended and nobody holds its output.
func (b *box) run(stdin string, argv ...string) result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	argv = slices.Concat(b.enter(), argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		b.t.Fatalf("%.200q: %v, %v", argv, err, ctx.Err())
	}
	return result{strings.TrimSpace(stdout.String()), strings.TrimSpace(stderr.String()), cmd.ProcessState.ExitCode()}
}

// sh runs a command line in the box that has to succeed.
func (b *box) sh(line string) string {
	b.t.Helper()
	r := b.run("", "sh", "-c", line)
	if r.status != 0 {
		b.t.Fatalf("%s: status %d: %s", line, r.status, r.err)
	}
	return r.out
}

// script runs the real thing, as package node does.
func (b *box) script(stdin string, args ...string) result {
	b.t.Helper()
	return b.run(stdin, append([]string{"sh", "-c", nodeText, "node.sh"}, args...)...)
}

// must runs the real thing, which has to succeed.
func (b *box) must(stdin string, args ...string) string {
	b.t.Helper()
	r := b.script(stdin, args...)
	if r.status != 0 {
		b.t.Fatalf("node.sh %q: status %d: %s", args, r.status, r.err)
	}
	return r.out
}

// apply applies a fault, which has to succeed.
func (b *box) apply(id string, seconds int, kind, rules string) {
	b.t.Helper()
	b.must(rules, "apply", id, strconv.Itoa(seconds), kind, nodeText)
}

// list is what node.sh tells of the faults that there are, as it is understood.
func (b *box) list() map[string]Found {
	b.t.Helper()
	found, err := parseFound(b.must("", "list"))
	must(b.t, err)
	out := map[string]Found{}
	for _, f := range found {
		out[f.ID] = f
	}
	return out
}

// raw is the whole table raw.
func (b *box) raw() string { b.t.Helper(); return b.sh("iptables -w -t raw -S") }

// left is what there is of faults: chains and jumps, records, devices, and what keeps
// or relays.
func (b *box) left() string {
	b.t.Helper()
	return b.sh(`iptables -w -t raw -S | grep -F DCALAB
for f in /run/dcalab-faults/*.fault; do [ ! -e "$f" ] || echo "$f"; done
ip -o link | grep -F dcalab-
grep -sxzl '[k]eep' /proc/[0-9]*/cmdline
grep -sxzl '[s]andbox-relay' /proc/[0-9]*/cmdline
:`)
}

// gone waits until nothing is left of any fault, without anybody's doing.
func (b *box) gone(what string) {
	b.t.Helper()
	left := ""
	b.eventually(what+": nothing is left", func() bool { left = b.left(); return left == "" }, &left)
}

// eventually is nodetest's, at the pace of processes, and tells what was there last.
func (b *box) eventually(what string, done func() bool, last *string) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: not within a minute: %s", what, *last)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// foreign puts rules of somebody else's into the table raw.
func (b *box) foreign() {
	b.t.Helper()
	b.sh(`iptables -w -t raw -N OTHER
iptables -w -t raw -A OTHER -s 192.0.2.1/32 -p tcp -m tcp --dport 80 -j DROP
iptables -w -t raw -A PREROUTING -s 192.0.2.0/24 -j OTHER
iptables -w -t raw -A PREROUTING -i lo -j ACCEPT
iptables -w -t raw -A OUTPUT -d 192.0.2.2/32 -j DROP`)
}

// dropping are the lines of a fault that drops what is from a node.
func dropping(id string, last ...int) string {
	var out strings.Builder
	for _, n := range last {
		fmt.Fprintf(&out, "-A DCALAB-%s -s 10.20.20.%d/32 -j DROP\n", id, n)
	}
	return out.String()
}

// asRelay makes the program of the tests the relay.
const asRelay = "DCALAB_TEST_RELAY"

func TestMain(m *testing.M) {
	if os.Getenv(asRelay) != "" && len(os.Args) == 3 {
		if err := relay.Run(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// relayed gives the box a relay, as if its kernel had no netem, and addresses of nodes,
// all of them its own.
func (b *box) relayed() {
	b.t.Helper()
	self, err := os.Executable()
	must(b.t, err)
	b.sh(`printf '#!/bin/sh\nexit 1\n' >/run/kept/unshare
printf '#!/bin/sh\n` + asRelay + `=1 exec %s "$@"\n' '` + self + `' >/run/kept/dcalab-init
chmod +x /run/kept/*
ip link set lo up
for n in 11 12; do ip addr add "10.20.20.$n/32" dev lo; done`)
}

// trip is how long it takes from an address to itself, and back: nobody listens.
func (b *box) trip(address string) time.Duration {
	b.t.Helper()
	began := time.Now()
	if r := b.run("", "bash", "-c", "exec 3<>/dev/tcp/"+address+"/9"); !strings.Contains(r.err, "refused") {
		b.t.Errorf("%s is not reached: %+v", address, r)
	}
	return time.Since(began)
}

// slowly wants that a round trip takes as long, or longer.
func (b *box) slowly(address string, want time.Duration) {
	b.t.Helper()
	if got := b.trip(address); got < want {
		b.t.Errorf("a round trip to %s takes %v, want %v", address, got, want)
	}
}

// quickly waits until one takes less than that.
func (b *box) quickly(address string, want time.Duration) {
	b.t.Helper()
	got := ""
	b.eventually("a round trip in less than "+want.String(), func() bool {
		took := b.trip(address)
		got = took.String()
		return took < want
	}, &got)
}

// The delays of a node add up, beside what it drops, and each is healed alone.
func TestNodeRelays(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.relayed()
	b.foreign()
	b.sh("iptables -w -t raw -D PREROUTING -i lo -j ACCEPT") // what others accept is not seen
	was := b.raw()
	b.quickly("10.20.20.11", 500*time.Millisecond)
	if out := b.must("10.20.20.11\n", "apply", "f1", "1000", "slow:500:0:0:1", nodeText); out != "relay" {
		t.Errorf("it is done by %q", out)
	}
	b.slowly("10.20.20.11", time.Second)
	b.quickly("10.20.20.12", 500*time.Millisecond)
	b.apply("f2", 1000, "slow:1000:200:0:1", "10.20.20.11\n10.20.20.12\n")
	b.slowly("10.20.20.11", 2600*time.Millisecond)
	b.slowly("10.20.20.12", 1600*time.Millisecond)
	// What is dropped is dropped, whatever came first.
	b.apply("f3", 1000, "net", dropping("f3", 12))
	if r := b.run("", "timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/10.20.20.12/9"); r.status != 124 {
		t.Errorf("beside a fault that drops it, it arrives: %+v", r)
	}
	b.must("", "heal", "f2")
	b.slowly("10.20.20.11", time.Second)
	b.must("", "heal", "f3")
	b.quickly("10.20.20.12", 500*time.Millisecond)
	if got := b.list(); len(got) != 1 || !got["f1"].Applied {
		t.Errorf("there are %+v", got)
	}

	// Again, with another end; and with other means, which end the first.
	b.apply("f1", 0, "slow:500:0:0:1", "10.20.20.11\n")
	if f := b.list()["f1"]; !f.Applied || f.Left >= 0 {
		t.Errorf("without an end, it is listed as %+v", f)
	}
	b.apply("f1", 1000, "slow:700:0:0:1", "10.20.20.11\n")
	b.slowly("10.20.20.11", 1400*time.Millisecond)

	// Without its relay it is missing, and packets pass.
	b.sh(`kill -KILL $(grep -sxzl '[s]andbox-relay' /proc/[0-9]*/cmdline | cut -d/ -f3)`)
	b.quickly("10.20.20.11", time.Second)
	if f, ok := b.list()["f1"]; !ok || f.Applied {
		t.Errorf("without its relay, it is listed as %+v, %v", f, ok)
	}
	b.apply("f1", 1000, "slow:700:0:0:1", "10.20.20.11\n")
	b.slowly("10.20.20.11", 1400*time.Millisecond)
	for range 2 {
		b.must("", "heal")
		if got := b.raw(); got != was {
			t.Errorf("healed, the table raw is\n%s\nand was\n%s", got, was)
		}
	}
	b.gone("healed")
	b.apply("f4", 1, "slow:0:0:8000:1", "10.20.20.11\n")
	b.gone("at its end")
}

// With neither netem nor a relay, or with one that does not start, nothing is left.
func TestNodeWithoutMeans(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.relayed()
	was := b.raw()
	for _, c := range []struct{ do, want string }{
		{"mv /run/kept/dcalab-init /run/relay", "its kernel has no netem, and the node no relay"},
		{"printf '#!/bin/sh\\necho it is broken >&2; exit 1\\n' >/run/kept/dcalab-init; chmod +x /run/kept/dcalab-init", "the relay does not start: it is broken"},
	} {
		b.sh(c.do)
		r := b.script("10.20.20.11\n", "apply", "f1", "1000", "slow:500:0:0:1", nodeText)
		if r.status != 1 || r.err != c.want {
			t.Errorf("%s: it ended with %+v", c.do, r)
		}
		if got := b.raw(); got != was || b.must("", "list") != "" {
			t.Errorf("%s: the table raw is\n%s\nand was\n%s", c.do, got, was)
		}
	}
	b.gone("refused")
	b.sh("mv /run/relay /run/kept/dcalab-init")
	b.apply("f1", 1, "slow:500:0:0:1", "10.20.20.11\n")
	b.gone("at its end")
}

func TestNodeAppliesAndHeals(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	if out := b.must("", "list"); out != "" {
		t.Errorf("on a new node it lists %q", out)
	}
	b.must("", "heal") // whatever there is
	b.must("", "heal", "f1")
	b.foreign()
	was := b.raw()

	b.apply("f1", 300, "net", dropping("f1", 11, 12))
	f := b.list()["f1"]
	if !f.Applied || f.Left <= 0 || f.Left > 300*time.Second {
		t.Errorf("it is listed as %+v", f)
	}
	rules := "-N DCALAB-f1\n" + strings.TrimSpace(dropping("f1", 11, 12))
	if got := b.sh("iptables -w -t raw -S DCALAB-f1"); got != rules {
		t.Errorf("its chain is %s", got)
	}
	chain := strings.Split(b.sh("iptables -w -t raw -S PREROUTING"), "\n")
	if len(chain) != 4 || chain[1] != "-A PREROUTING -j DCALAB-f1" {
		t.Errorf("it is not the first thing that happens to a packet: %q", chain)
	}

	// The same, with another end.
	b.apply("f1", 100000, "net", dropping("f1", 11, 12))
	if f := b.list()["f1"]; !f.Applied || f.Left < 9999*time.Second {
		t.Errorf("again, it is listed as %+v", f)
	}
	if got := b.sh("iptables -w -t raw -S DCALAB-f1"); got != rules {
		t.Errorf("again, its chain is %s", got)
	}
	if got := b.sh("iptables -w -t raw -S PREROUTING"); strings.Count(got, "DCALAB") != 1 {
		t.Errorf("again, it is jumped to from %s", got)
	}
	// The same, without an end.
	b.apply("f1", 0, "net", dropping("f1", 11, 12))
	if f := b.list()["f1"]; !f.Applied || f.Left >= 0 {
		t.Errorf("without an end, it is listed as %+v", f)
	}

	for range 2 {
		b.must("", "heal", "f1")
		if got := b.raw(); got != was {
			t.Errorf("healed, the table raw is\n%s\nand was\n%s", got, was)
		}
		if out := b.must("", "list"); out != "" {
			t.Errorf("healed, it is listed: %s", out)
		}
	}
	b.gone("healed")
	if got := b.raw(); got != was {
		t.Errorf("in the end, the table raw is\n%s\nand was\n%s", got, was)
	}
}

// A fault that does not end by itself needs no keeper, and stays.
func TestNodeKeepsWhatHasNoEnd(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.apply("f1", 0, "net", dropping("f1", 11))
	b.apply("f2", 1, "net", dropping("f2", 12)) // its keeper leaves f1 alone, and ends
	left := ""
	b.eventually("f2 is healed", func() bool {
		left = b.left()
		return !strings.Contains(left, "f2") && !strings.Contains(left, "cmdline")
	}, &left)
	if got := b.list(); len(got) != 1 || !got["f1"].Applied || got["f1"].Left >= 0 {
		t.Errorf("what is left is %+v", got)
	}
	b.must("", "heal")
	if left := b.left(); left != "" {
		t.Errorf("healed, there is %s", left)
	}
}

func TestNodeHealsByItself(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.foreign()
	was := b.raw()
	b.apply("f1", 1, "net", dropping("f1", 11))
	b.apply("f2", 2, "net", dropping("f2", 12))
	b.gone("at its end")
	if got := b.raw(); got != was {
		t.Errorf("in the end, the table raw is\n%s\nand was\n%s", got, was)
	}
	b.apply("f3", 1, "net", dropping("f3", 11)) // with a keeper of its own
	b.gone("at the end of the next one")
}

// There is one keeper, however many faults there are, and it has nothing of what
// started it open.
func TestNodeHasOneKeeper(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	for i := range 5 {
		b.apply(idOf(i+1), 1000, "net", dropping(idOf(i+1), 11))
	}
	// Those that found another at work end at once.
	count := func() string { return b.sh(`grep -sxzl '[k]eep' /proc/[0-9]*/cmdline; :`) }
	keepers := ""
	b.eventually("one keeper", func() bool { keepers = count(); return strings.Count(keepers, "\n") == 0 && keepers != "" }, &keepers)
	b.must("", "heal")
	b.gone("healed")
}

// A chain that nothing tells of is somebody else's.
func TestNodeRefusesAForeignChain(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.foreign()
	b.sh("iptables -w -t raw -N DCALAB-f1 && iptables -w -t raw -A DCALAB-f1 -s 192.0.2.3/32 -j ACCEPT && iptables -w -t raw -I PREROUTING -j DCALAB-f1")
	was := b.raw()
	r := b.script(dropping("f1", 11), "apply", "f1", "60", "net", nodeText)
	if r.status != 3 || !strings.Contains(r.err, "a chain DCALAB-f1 is in the table raw already") {
		t.Errorf("it ended with %+v", r)
	}
	b.must("", "heal", "f1") // is not there, and so is healed
	b.must("", "heal")
	if got := b.raw(); got != was {
		t.Errorf("the table raw is\n%s\nand was\n%s", got, was)
	}
	if out := b.must("", "list"); out != "" {
		t.Errorf("it lists %q", out)
	}
	b.apply("f10", 60, "net", dropping("f10", 11)) // another's name begins like it
	b.must("", "heal", "f10")
	if got := b.raw(); got != was {
		t.Errorf("after another fault, the table raw is\n%s\nand was\n%s", got, was)
	}
}

// With an error nothing is left.
func TestNodeRefusedRules(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.foreign()
	was := b.raw()
	for _, rules := range []string{
		"-A DCALAB-f1 -s nonsense -j DROP\n",
		dropping("f1", 11) + "-A DCALAB-f1 -m nosuchmatch -j DROP\n",
		dropping("f1", 11) + "-A NOSUCHCHAIN -j DROP\n",
		dropping("f1", 11) + "-A DCALAB-f1 -j NOSUCHTARGET\n",
	} {
		r := b.script(rules, "apply", "f1", "60", "net", nodeText)
		if r.status != 1 || r.err == "" {
			t.Errorf("%q: it ended with %+v", rules, r)
		}
		if got := b.raw(); got != was {
			t.Errorf("%q: the table raw is\n%s\nand was\n%s", rules, got, was)
		}
		if out := b.must("", "list"); out != "" {
			t.Errorf("%q: it lists %q", rules, out)
		}
	}
	b.gone("refused") // the keepers as well
}

func TestNodeSeveralFaults(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.foreign()
	was := b.raw()
	for _, id := range []string{"f1", "f2", "f10"} {
		b.apply(id, 1000, "net", dropping(id, 11))
	}
	b.must("", "heal", "f1")
	got := b.list()
	if len(got) != 2 || !got["f2"].Applied || !got["f10"].Applied {
		t.Errorf("without f1, there are %+v", got)
	}
	if table := b.raw(); strings.Contains(table, "DCALAB-f1\n") || strings.Contains(table, "DCALAB-f1 ") {
		t.Errorf("f1 is in the table raw:\n%s", table)
	}
	b.must("", "heal", "f7", "f2", "f1")
	if got := b.list(); len(got) != 1 || !got["f10"].Applied {
		t.Errorf("without f2, there are %+v", got)
	}
	b.must("", "heal")
	if got := b.raw(); got != was {
		t.Errorf("healed, the table raw is\n%s\nand was\n%s", got, was)
	}
	b.gone("healed")
}

// What somebody has undone by hand is missing, can be applied again, and healed.
func TestNodeUndoneByHand(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	for _, undo := range []string{
		"iptables -w -t raw -D PREROUTING -j DCALAB-f1",
		"iptables -w -t raw -D PREROUTING -j DCALAB-f1 && iptables -w -t raw -F DCALAB-f1 && iptables -w -t raw -X DCALAB-f1",
		"iptables -w -t raw -F && iptables -w -t raw -X",
	} {
		b.apply("f1", 1000, "net", dropping("f1", 11))
		b.sh(undo)
		if f, ok := b.list()["f1"]; !ok || f.Applied {
			t.Errorf("%s: it is listed as %+v, %v", undo, f, ok)
		}
		b.apply("f1", 1000, "net", dropping("f1", 11))
		if f := b.list()["f1"]; !f.Applied {
			t.Errorf("%s: applied again, it is listed as %+v", undo, f)
		}
		b.sh(undo)
		b.must("", "heal", "f1")
		if got := b.raw(); strings.Contains(got, "DCALAB") {
			t.Errorf("%s: healed, the table raw is\n%s", undo, got)
		}
	}
}

// Every rule that a fault can have is taken by the real iptables-restore, and healed.
func TestNodeTakesEveryRule(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	was := b.raw()
	l := testLab("mmmw")
	all := []string{
		"partition m1", "isolate m1,m2", "bridge m1", "block m1 any", "block managers 1,2377,4789,7946,65535",
		"loss 20% m1", "loss 100% m1", "loss 0.0001% m1", "loss 99.99999% m1", "loss 99.999999999999% m1", "loss 1e-300% m1",
	}
	for i, typed := range all {
		f := resolved(t, typed, l, 1)
		f.ID = idOf(i + 1)
		at := f.Affected(l)[0]
		b.apply(f.ID, 0, "net", strings.Join(f.lines(l, at), "\n")+"\n")
		if got := b.sh("iptables -w -t raw -S " + f.chain()); strings.Count(got, "\n") != len(f.lines(l, at)) {
			t.Errorf("%s: its chain is %s", typed, got)
		}
	}
	got := b.list()
	for i, typed := range all {
		if !got[idOf(i+1)].Applied {
			t.Errorf("%s is not applied", typed)
		}
	}
	b.must("", "heal")
	if got := b.raw(); got != was {
		t.Errorf("healed, the table raw is\n%s\nand was\n%s", got, was)
	}
}

// Whenever who applies is killed, the node comes right by itself. These moments are
// drawn by lot, and the kill is of the shell alone or of all that it started.
func TestNodeSurvivesKillsByLot(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	r := rand.New(rand.NewPCG(3, 0)) //nolint:gosec // lots that can be drawn again
	rounds := 30
	if testing.Short() {
		rounds = 6
	}
	for i := range rounds {
		id, whom := idOf(i%7+1), []string{"", "-"}[i%2]
		// Without a terminal, setsid here keeps the process that it is.
		b.run(dropping(id, 11, 12), "sh", "-c", `rules=$(cat) text=$1 id=$2 seconds=$3 delay=$4 whom=$5
echo "$rules" | { exec setsid sh -c "$text" node.sh apply "$id" "$seconds" net "$text" 2>/dev/null; } &
sleep "$delay"
kill -KILL "$whom$!" 2>/dev/null || kill -KILL "$!" 2>/dev/null
wait
:`, "sh", nodeText, id, strconv.Itoa(1+r.IntN(2)), fmt.Sprintf("0.%03d", r.IntN(80)), whom)
	}
	b.gone("killed")
	b.apply("f1", 1, "net", dropping("f1", 11)) // the locks are free
	b.gone("at its end")
}

// moment is one at which who works is killed: at its nth command of this name.
type moment struct {
	command string
	nth     int
	how     string
}

// How a command is met by the death of who has begun it.
const (
	instead = "instead" // it does nothing any more
	before  = "before"  // it works on, alone
)

// killed runs the real thing in the box until that moment.
func (b *box) killed(m moment, stdin string, args ...string) {
	b.t.Helper()
	b.sh(fmt.Sprintf(`rm -f /run/bin/* /run/calls
real=$(command -v %[1]s)
cat >/run/bin/%[1]s <<END
#!/bin/sh
[ -n "\$WORKER" ] || exec $real "\$@" # not for a keeper that there is already
echo >>/run/calls
PATH=\${PATH#/run/bin:} # not for what it starts
if [ "\$(wc -l </run/calls)" = %[2]d ]; then
	case %[3]s in
	instead) kill -KILL "\$WORKER"; exit 1 ;;
	before) kill -KILL "\$WORKER" ;;
	esac
fi
exec $real "\$@"
END
chmod +x /run/bin/%[1]s`, m.command, m.nth, m.how))
	b.run(stdin, append([]string{"sh", "-c", `export WORKER=$$; exec sh -c "$@"`, "sh", nodeText, "node.sh"}, args...)...)
	b.sh("PATH=/usr/bin:/bin; rm -f /run/bin/*") // not the one that is there
}

// A moment for each command after which an apply has left something else behind.
func TestNodeSurvivesKilledApply(t *testing.T) {
	t.Parallel()
	survives(t, func(b *box, m moment) {
		b.killed(m, dropping("f1", 11), "apply", "f1", "1", "net", nodeText)
	}, []moment{
		{"flock", 1, before}, {"cut", 1, before}, {"setsid", 1, before}, {"setsid", 1, instead}, {"flock", 2, before}, {"mv", 1, instead}, {"mv", 1, before},
		{"iptables-restore", 1, instead}, {"iptables-restore", 1, before}, {"iptables", 2, before},
	})
}

// The same, where packets are slowed down by a relay.
func TestNodeSurvivesKilledRelayed(t *testing.T) {
	t.Parallel()
	survives(t, func(b *box, m moment) {
		b.relayed()
		b.killed(m, "10.20.20.11\n", "apply", "f1", "1", "slow:500:0:0:1", nodeText)
	}, []moment{
		{"iptables-restore", 1, instead}, {"dcalab-init", 1, instead}, {"dcalab-init", 1, before}, {"mv", 2, before}, {"iptables-restore", 1, before}, {"setsid", 2, before},
	})
}

// A heal that is killed is gone on with at the end of the fault's time.
func TestNodeSurvivesKilledHeal(t *testing.T) {
	t.Parallel()
	survives(t, func(b *box, m moment) {
		b.apply("f1", 2, "net", dropping("f1", 11))
		b.killed(m, "", "heal", "f1") // the keeper may have been earlier
	}, []moment{
		{"iptables", 1, instead}, {"iptables", 2, instead}, {"iptables", 4, instead}, {"rm", 1, instead},
	})
}

// survives does something in a box of its own for each moment, and wants that all
// boxes come right by themselves, and take the same fault once more.
func survives(t *testing.T, do func(*box, moment), moments []moment) {
	t.Helper()
	if testing.Short() { // make test-long has all of them
		moments = moments[:1+len(moments)/3]
	}
	boxes := map[moment]*box{}
	for _, m := range moments {
		boxes[m] = newBox(t)
		do(boxes[m], m)
	}
	waiting := maps.Clone(boxes)
	for deadline := time.Now().Add(time.Minute); len(waiting) > 0 && time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		maps.DeleteFunc(waiting, func(_ moment, b *box) bool { return b.left() == "" })
	}
	for m, b := range boxes {
		if waiting[m] != nil {
			t.Errorf("%+v: there is still %s", m, b.left())
			continue
		}
		b.apply("f1", 0, "net", dropping("f1", 11)) // the locks are free
	}
}

// engine starts a stand-in for the engine, which is called as it is, and runs until
// it is killed.
const engine = `[ -x /run/dockerd ] || cp "$(command -v sleep)" /run/dockerd
/run/dockerd infinity </dev/null >/dev/null 2>&1 8>&- 9>&- &
echo $! >/run/docker.pid
until [ "$(cat "/proc/$!/comm")" = dockerd ]; do :; done
`

// state is the letter for that of the engine's process.
func (b *box) state() string {
	b.t.Helper()
	return b.sh(`sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$(cat /run/docker.pid)/status"`)
}

// frozen waits until the engine is stopped, or is not: a signal may take its time.
func (b *box) frozen(want bool, when string) {
	b.t.Helper()
	state := ""
	b.eventually(fmt.Sprintf("%s, frozen is %v", when, want), func() bool { state = b.state(); return (state == "T") == want }, &state)
}

func TestNodeFreezes(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.sh(engine)
	b.apply("f1", 0, "freeze", "")
	b.frozen(true, "after f1")
	b.apply("f2", 1000, "freeze", "")
	if got := b.list(); len(got) != 2 || !got["f1"].Applied || !got["f2"].Applied {
		t.Errorf("there are %+v", got)
	}
	b.must("", "heal", "f1")
	if got := b.list(); len(got) != 1 || !got["f2"].Applied || b.state() != "T" {
		t.Errorf("without f1, there are %+v, and the engine's state is %s", got, b.state())
	}
	b.must("", "heal", "f2")
	b.frozen(false, "healed")
	b.must("", "heal", "f2")
	b.gone("healed")

	// Somebody thaws it, or restarts it: the fault is missing, and healed all the same.
	b.apply("f3", 1000, "freeze", "")
	b.sh(`kill -CONT "$(cat /run/docker.pid)"`)
	b.frozen(false, "by hand")
	if f, ok := b.list()["f3"]; !ok || f.Applied {
		t.Errorf("thawed by hand, it is listed as %+v, %v", f, ok)
	}
	b.sh(`kill -KILL "$(cat /run/docker.pid)"`)
	if f, ok := b.list()["f3"]; !ok || f.Applied {
		t.Errorf("without an engine, it is listed as %+v, %v", f, ok)
	}
	b.must("", "heal", "f3")
	b.gone("healed without an engine")
}

func TestNodeThawsByItself(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.sh(engine)
	b.apply("f1", 1, "freeze", "")
	b.gone("at its end")
	b.frozen(false, "at its end")
}

// What runs under the engine's number is not always the engine.
func TestNodeFreezesNothingElse(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	for _, c := range []string{
		"rm -f /run/docker.pid",
		"echo 99999999 >/run/docker.pid",
		": >/run/docker.pid",
		"sleep infinity </dev/null >/dev/null 2>&1 & echo $! >/run/docker.pid; until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done",
	} {
		b.sh(c)
		r := b.script("", "apply", "f1", "1000", "freeze", nodeText)
		if r.status != 1 || r.err != "no engine runs" {
			t.Errorf("%s: it ended with %+v", c, r)
		}
		if out := b.must("", "list"); out != "" {
			t.Errorf("%s: it lists %q", c, out)
		}
	}
	if state := b.state(); state == "T" {
		t.Error("it has stopped something else")
	}
	b.gone("refused")
}

// service is a stand-in for service(8) that knows the engine.
const service = `cat >/run/bin/service <<'END'
#!/bin/sh
echo "$*" >>/run/service.log
[ -e /run/service.broken ] || [ -e "/run/$2.broken" ] && { echo "it is broken" >&2; exit 1; }
case "$*" in
"docker start")
` + engine + `;;
"docker stop")
	pid=$(cat /run/docker.pid)
	kill -KILL "$pid"
	rm -f /run/docker.pid
	;;
esac
END
chmod +x /run/bin/service
`

func TestNodeStopsTheEngine(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.sh(service + "service docker start")
	runs := func() bool { return b.run("", "test", "-e", "/run/docker.pid").status == 0 }

	b.apply("f1", 1000, "stop-engine", "")
	b.apply("f2", 0, "stop-engine", "")
	if got := b.list(); len(got) != 2 || !got["f1"].Applied || !got["f2"].Applied || runs() {
		t.Errorf("there are %+v, and the engine runs: %v", got, runs())
	}
	b.must("", "heal", "f2")
	if got := b.list(); len(got) != 1 || !got["f1"].Applied || runs() {
		t.Errorf("without f2, there are %+v, and the engine runs: %v", got, runs())
	}
	b.must("", "heal", "f1")
	if !runs() {
		t.Error("healed, the engine does not run")
	}
	b.gone("healed") // the keeper holds no lock through the engine that was started
	b.apply("f3", 1, "stop-engine", "")
	b.gone("at its end")
	if !runs() {
		t.Error("at its end, the engine does not run")
	}
	b.apply("f4", 1, "net", dropping("f4", 11)) // nor does the engine that a keeper has started
	b.gone("at the end of the next one")

	b.sh(": >/run/service.broken")
	r := b.script("", "apply", "f5", "1000", "stop-engine", nodeText)
	if r.status == 0 || !strings.Contains(r.err, "it is broken") {
		t.Errorf("with a service that is broken, it ended with %+v", r)
	}
	b.gone("refused")
}

// A heal that dies before the engine goes on is gone on with at the end.
func TestNodeThawsAfterKilledHeal(t *testing.T) {
	t.Parallel()
	boxes := map[moment]*box{}
	for _, m := range []moment{{"cat", 1, instead}, {"cat", 2, instead}, {"rm", 1, instead}} {
		b := newBox(t)
		boxes[m] = b
		b.sh(engine)
		b.apply("f1", 2, "freeze", "")
		b.killed(m, "", "heal", "f1")
	}
	for m, b := range boxes {
		b.gone(fmt.Sprintf("%+v", m))
		b.frozen(false, fmt.Sprintf("%+v, at its end", m))
	}
}

// An engine that was stopped, and does not start at once, is
// started later.
func TestNodeStartsTheEngineLater(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.sh(service + "service docker start; : >/run/start.broken")
	b.apply("f1", 1, "stop-engine", "")
	starts := ""
	b.eventually("it is tried again", func() bool {
		starts = b.sh("grep -c 'docker start' /run/service.log")
		return len(starts) > 1 || starts > "2" // the first one was the test's own
	}, &starts)
	if r := b.script("", "heal", "f1"); r.status == 0 {
		t.Error("with a service that is broken, it is healed")
	}
	b.sh("rm /run/start.broken")
	b.gone("started")
	if b.run("", "test", "-e", "/run/docker.pid").status != 0 {
		t.Error("at its end, the engine does not run")
	}
}

// An apply that waits for its rules, from a connection that hangs, keeps no other
// fault from its end.
func TestNodeHealsBesideAnApplyThatHangs(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.apply("f1", 2, "net", dropping("f1", 11))
	argv := slices.Concat(b.enter(), []string{"sh", "-c", nodeText, "node.sh", "apply", "f2", "1", "net", nodeText})
	hangs := exec.Command(argv[0], argv[1:]...)
	stdin, err := hangs.StdinPipe()
	must(t, err)
	must(t, hangs.Start())
	// It is heard of no more before f1 ends, or is not yet begun: neither may matter.
	b.gone("f1 at its end")
	must(t, stdin.Close())
	_ = hangs.Wait()
	b.gone("f2 at its end")
}

// systemd's services are kept by it, past the end of who applied.
func TestNodeKeepsWithSystemd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, stand string }{
		{"it keeps", `while [ "$1" != sh ]; do echo "$1" >>/run/systemd-run.log; shift; done; setsid "$@" </dev/null >/dev/null 2>&1 &`},
		{"it does not", `echo "Failed to connect to bus" >&2; exit 1`},
	} {
		b := newBox(t)
		b.sh("mkdir -p /run/systemd/system; printf '#!/bin/sh\\n%s\\n' '" + c.stand + "' >/run/bin/systemd-run; chmod +x /run/bin/systemd-run")
		b.apply("f1", 2, "net", dropping("f1", 11))
		b.apply("f1", 1, "net", dropping("f1", 11)) // under another name, or it could not be
		b.gone(c.name)
		if log := b.sh("cat /run/systemd-run.log 2>/dev/null; :"); (c.name == "it keeps") != strings.Contains(log, "--unit=dcalab-faults-f1-") {
			t.Errorf("%s: systemd was told %q", c.name, log)
		}
	}
}

// The Go side of it, over a real connection.
func TestFaultOnANode(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	s := nodetest.StartSSHD(t, "unix", "", b.enter()...)
	c, err := node.Dial(t.Context(), node.Endpoint{Node: "m1", Network: s.Network, Address: s.Address, User: s.User, IdentityFile: s.IdentityFile, HostKeyAlias: s.HostKeyAlias},
		node.Options{KnownHosts: s.KnownHosts, LearnHostKey: nodetest.LearnTo(s.KnownHosts)})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })

	l := testLab("mmm")
	f := resolved(t, "partition m1", l, 1)
	now := time.Now()
	f.ID, f.Ends = "f1", at(now.Add(1000*time.Second))
	_, err = f.Apply(t.Context(), l, c, now)
	must(t, err)
	g := resolved(t, "loss 20% m2", l, 1)
	g.ID = "f2"
	_, err = g.Apply(t.Context(), l, c, now)
	must(t, err)
	found, err := Find(t.Context(), c)
	must(t, err)
	if len(found) != 2 || found[0].ID != "f1" || !found[0].Applied || found[0].Left <= 0 || found[0].Left > 1000*time.Second || found[1] != (Found{"f2", -1, true}) {
		t.Errorf("there are %+v", found)
	}
	if got := b.sh("iptables -w -t raw -S DCALAB-f1"); got != "-N DCALAB-f1\n-A DCALAB-f1 -s 10.20.20.12/32 -j DROP\n-A DCALAB-f1 -s 10.20.20.13/32 -j DROP" {
		t.Errorf("the chain is %s", got)
	}
	must(t, Heal(t.Context(), c, "f1"))
	found, err = Find(t.Context(), c)
	must(t, err)
	if len(found) != 1 || found[0].ID != "f2" {
		t.Errorf("without f1, there are %+v", found)
	}
	must(t, Heal(t.Context(), c))
	b.gone("healed")

	b.sh("iptables -w -t raw -N DCALAB-f1")
	_, err = f.Apply(t.Context(), l, c, now)
	e := nodetest.WantTrouble(t, err, "fault-not-applied")
	if e.Where != "m1" || !strings.Contains(e.Why, "nothing tells whose it is") || !strings.Contains(e.What, "partition m1 | m2, m3") {
		t.Errorf("it says %+v", e)
	}
	h := resolved(t, "freeze m1", l, 1)
	h.ID = "f3"
	_, err = h.Apply(t.Context(), l, c, now)
	if e := nodetest.WantTrouble(t, err, "fault-not-applied"); e.Why != "no engine runs" {
		t.Errorf("it says %+v", e)
	}
	b.sh("iptables -w -t raw -X DCALAB-f1")
	b.gone("refused")
}
