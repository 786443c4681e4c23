package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forwardMark, with the id of a network namespace appended, is a file that says
// that dcalab switched forwarding on in that namespace: its last lab switches it
// off again.
const forwardMark = runtimeRoot + "/ip_forward.was-off"

const forwardSwitch = "/proc/sys/net/ipv4/ip_forward"

// hostEnginePID exists while the host's own engine runs.
const hostEnginePID = "/run/docker.pid"

// forwardMarkHere is the mark of the network namespace that this process is in.
func forwardMarkHere() (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	// A cookie is never reused while this kernel runs; kernels before 5.14 have
	// none, and an inode may be reused.
	if cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err == nil {
		return fmt.Sprintf("%s.%d", forwardMark, cookie), nil
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return "", fmt.Errorf("this network namespace: %w", err)
	}
	return fmt.Sprintf("%s.i%d", forwardMark, st.Ino), nil
}

// forwards tells whether dcalab switched forwarding on in this network
// namespace.
func forwards() bool {
	mark, err := forwardMarkHere()
	if err == nil {
		_, err = os.Stat(mark)
	}
	return err == nil
}

// forward switches forwarding on, for a lab whose bridge exists already.
func forward() error {
	root, err := lockedDir(runtimeRoot, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer root.Close()
	now, err := os.ReadFile(forwardSwitch)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(now)) != "0" {
		return nil
	}
	mark, err := forwardMarkHere()
	if err != nil {
		return err
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	return os.WriteFile(forwardSwitch, []byte("1"), 0)
}

// unforward undoes forward, when no lab is left in this network namespace. The
// caller has locked runtimeRoot.
func unforward() error {
	if !forwards() {
		return nil
	}
	links, err := whole(netlink.LinkList)
	if err != nil {
		return err
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, bridgePrefix) {
			return nil
		}
	}
	// An engine that the host started meanwhile needs it too, and found it on.
	if _, err := os.Stat(hostEnginePID); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(forwardSwitch, []byte("0"), 0); err != nil {
			return err
		}
	}
	mark, err := forwardMarkHere()
	if err != nil {
		return err
	}
	return os.Remove(mark)
}

// dropForwardMarks removes the marks of network namespaces that no longer
// exist. The caller has made sure that no lab is left at all.
func dropForwardMarks() error {
	marks, err := filepath.Glob(forwardMark + "*")
	for _, m := range marks {
		err = errors.Join(err, os.Remove(m))
	}
	return err
}

// rules are the lab's own chains, as iptables-restore reads them: they accept traffic
// between the nodes, from them to the outside, and the replies; nothing else. Without them
// a host whose own Docker drops unknown traffic would cut the lab off, and a host that
// forwards would let its LAN, and other labs, reach the nodes' ports. What the host itself
// sends is not forwarded, and so not filtered.
//
// A table is replaced as a whole, at its COMMIT, and of it only the chains that are named.
func (n network) rules(nat bool) string {
	text := `*filter
:CHAIN -
-A CHAIN -i BRIDGE -o BRIDGE -j ACCEPT
-A CHAIN -i BRIDGE -o OTHERS -j DROP
-A CHAIN -i BRIDGE -j ACCEPT
-A CHAIN -o BRIDGE -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A CHAIN -o BRIDGE -j DROP
COMMIT
`
	if nat {
		text += `*nat
:CHAIN -
-A CHAIN ! -o BRIDGE -j MASQUERADE
COMMIT
`
	}
	return strings.NewReplacer("CHAIN", n.chain(), "BRIDGE", n.bridge(), "OTHERS", bridgePrefix+"+").Replace(text)
}

// rule is one rule in one of iptables' own chains that leads to ours.
type rule struct {
	table, chain string
	spec         []string
}

// entrances are the jumps from the tables' own chains into the lab's.
func (n network) entrances() []rule {
	return []rule{
		{"filter", "FORWARD", []string{"-j", n.chain()}},
		{"nat", "POSTROUTING", []string{"-s", n.lab.Subnet.String(), "-j", n.chain()}},
	}
}

// iptablesWait is for how many seconds a change waits for others.
const iptablesWait = 5

// allow lets the lab's traffic through the host's firewall, and nothing else in. It may be
// called while nodes run. Forwarding is switched on last: nothing gets in while the rules
// are being made.
func (n network) allow(ctx context.Context, nat bool) error {
	if err := n.addRules(ctx, nat); err != nil {
		return fmt.Errorf("iptables: %w", err)
	}
	if nat {
		return forward()
	}
	return nil
}

func (n network) addRules(ctx context.Context, nat bool) error {
	// It ends soon, and its tables are replaced one after the other.
	restore := exec.CommandContext(context.WithoutCancel(ctx), "iptables-restore", "--noflush", "-w", strconv.Itoa(iptablesWait))
	restore.Stdin = strings.NewReader(n.rules(nat))
	if out, err := restore.CombinedOutput(); err != nil {
		if text := strings.TrimSpace(string(out)); text != "" {
			return fmt.Errorf("%w: %s", err, text)
		}
		return err
	}
	ipt, err := iptables.New(iptables.Timeout(iptablesWait))
	if err != nil {
		return err
	}
	for _, r := range n.entrances() {
		if r.table == "nat" && !nat {
			continue
		}
		if err := ipt.InsertUnique(r.table, r.chain, 1, r.spec...); err != nil {
			return err
		}
	}
	return nil
}

// disallow removes the lab's rules and chains, and touches nothing else.
// Without iptables there are none.
func (n network) disallow() error {
	ipt, err := iptables.New(iptables.Timeout(iptablesWait))
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	for _, r := range n.entrances() {
		ok, err := ipt.ChainExists(r.table, n.chain())
		var rules []string
		if err == nil && ok {
			rules, err = ipt.List(r.table, r.chain)
		}
		// Found by their target: the subnet in labs.yaml may have changed.
		for _, line := range rules {
			f := strings.Fields(line) // -A POSTROUTING -s 10.20.20.0/24 -j DCALAB-…
			if err == nil && len(f) >= 4 && f[0] == "-A" && f[len(f)-1] == n.chain() {
				err = ipt.Delete(r.table, r.chain, f[2:]...)
			}
		}
		if err == nil && ok {
			err = ipt.ClearAndDeleteChain(r.table, n.chain())
		}
		if err != nil {
			return fmt.Errorf("iptables: %w", err)
		}
	}
	return nil
}
