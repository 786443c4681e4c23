package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Paths inside a node.
const (
	initPath      = "/usr/local/sbin/dcalab-init" // this program, read-only
	specPath      = "/etc/dcalab/node.json"
	relaySocket   = "/run/dcalab/ssh.sock"  // bind-mounted from the host
	ctlSocket     = "/run/dcalab-init.sock" // the node's own
	stopTimeout   = 20 * time.Second        // for an engine to stop its containers
	restartMin    = 200 * time.Millisecond  // pause before a dead service is started again,
	restartMax    = 10 * time.Second        // doubled up to this
	linkTimeout   = 30 * time.Second        // for the host to give the node its interface
	sshdTimeout   = 10 * time.Second        // for sshd to listen
	listenTimeout = 30 * time.Second        // for an engine to listen
	sshPort       = 22
	// enginePulse tells provision's await.sh and steady.sh, as "STARTS ENDS", how
	// often PID 1 started the engine, and how often it ended by itself.
	enginePulse = "/run/dcalab-init.docker"
	look        = 10 * time.Millisecond // between two checks of what PID 1 waits for
	searchPath  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// spec is what the host tells PID 1 of a node.
type spec struct {
	Interface string       `json:"interface"`
	Address   netip.Prefix `json:"address"`
	// Gateway is the default route, where the host has an uplink.
	Gateway netip.Addr `json:"gateway"`
	// Neighbours are the MAC addresses of others, which need not be asked for.
	Neighbours map[netip.Addr]string `json:"neighbours,omitempty"`
}

// Init is PID 1 of a node: it sets up the network and cgroups, keeps sshd and the
// engine running, reaps orphans, relays the host's socket to sshd, and on SIGTERM
// stops everything gracefully. It returns when the node is to end.
func Init(id, node string) error {
	if os.Getpid() != 1 {
		return errors.New("sandbox-init is PID 1 of a sandbox node, and is not started by hand")
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGCHLD)

	s := &supervisor{
		log: os.Stderr,
		services: []*service{
			{name: "ssh", paths: []string{"/usr/sbin/sshd", "/usr/bin/sshd"}, args: []string{"-D", "-e"}, log: "/var/log/sshd.log", wanted: true},
			{name: "docker", paths: []string{"/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd"}, log: "/var/log/docker.log", pulse: enginePulse, wanted: true},
		},
	}
	fmt.Fprintf(s.log, "%s node %s of lab %s starts\n", time.Now().Format(time.RFC3339Nano), node, id)
	data, err := os.ReadFile(specPath)
	if err != nil {
		return err
	}
	var sp spec
	if err := json.Unmarshal(data, &sp); err != nil {
		return fmt.Errorf("%s: %w", specPath, err)
	}
	if err := removeAtBoot("/"); err != nil {
		fmt.Fprintln(s.log, err) // what was to go stays
	}
	os.Setenv("PATH", searchPath)
	os.Setenv("HOME", "/root")
	for _, d := range []string{"/run/sshd", "/run/lock", "/run/docker"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := nestCgroups(); err != nil {
		fmt.Fprintf(s.log, "cgroups: %v\n", err) // the engine reports what it lacks
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	linked := make(chan error, 1)
	go func() { linked <- joinNetwork(sp) }()

	requests := make(chan request)
	if err := listenControl(requests); err != nil {
		return err
	}
	relaying := make(chan error, 1)
	go func() {
		awaitListener(sshPort, sshdTimeout) // the socket tells the host that sshd listens
		relaying <- listenRelay()
	}()
	for {
		wake := s.startDue(time.Now())
		select {
		case err := <-linked:
			if err != nil {
				return fmt.Errorf("lab network: %w", err)
			}
			linked = nil
		case err := <-relaying:
			if err != nil {
				return fmt.Errorf("socket to sshd: %w", err)
			}
			relaying = nil
		case sig := <-signals:
			if sig != unix.SIGCHLD {
				s.shutdown(signals)
				return nil
			}
			s.reap()
		case r := <-requests:
			s.serve(r, signals)
		case <-wake:
		}
	}
}

// removeAtBoot removes the files that a boot is to remove, as systemd would: the lines
// "r! PATH" in /etc/tmpfiles.d (tmpfiles.d(5)), of dcalab's files there.
func removeAtBoot(root string) error {
	files, err := filepath.Glob(filepath.Join(root, "etc/tmpfiles.d/dcalab-*.conf"))
	for _, file := range files {
		for line := range strings.Lines(readText(file)) {
			if path, ok := strings.CutPrefix(strings.TrimSpace(line), "r! "); ok {
				if e := os.Remove(filepath.Join(root, path)); !errors.Is(e, os.ErrNotExist) {
					err = errors.Join(err, e)
				}
			}
		}
	}
	return err
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	// Without delayed ACKs: on the relay's connection to sshd they cost 40 ms
	// whenever a channel is opened.
	local := net.IPv4(127, 0, 0, 1).To4()
	return netlink.RouteReplace(&netlink.Route{
		LinkIndex: lo.Attrs().Index, Dst: &net.IPNet{IP: local, Mask: net.CIDRMask(32, 32)}, Src: local,
		Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST, Protocol: unix.RTPROT_KERNEL,
		QuickACK: 1,
	})
}

// joinNetwork waits until the host has put the lab's interface into this
// node's network namespace, and gives it the node's address.
func joinNetwork(sp spec) error {
	var link netlink.Link
	if !poll(linkTimeout, func() bool {
		var err error
		link, err = netlink.LinkByName(sp.Interface)
		return err == nil
	}) {
		return fmt.Errorf("interface %s did not appear within %v", sp.Interface, linkTimeout)
	}
	addr, err := netlink.ParseAddr(sp.Address.String())
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("address %s on %s: %w", sp.Address, sp.Interface, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for ip, mac := range sp.Neighbours {
		to, err := net.ParseMAC(mac)
		if err != nil {
			return err
		}
		if err := netlink.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: to,
		}); err != nil {
			return fmt.Errorf("neighbour %s on %s: %w", ip, sp.Interface, err)
		}
	}
	if !sp.Gateway.IsValid() {
		return nil
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: sp.Gateway.AsSlice()})
}

// nestCgroups prepares a cgroup v2 node for an engine: only a cgroup without
// processes can delegate controllers (the kernel's "no internal processes" rule),
// so PID 1 and all others move into a leaf. On cgroup v1 nothing is needed.
func nestCgroups() error {
	const root = "/sys/fs/cgroup"
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // v1
	}
	if err != nil {
		return err
	}
	leaf := filepath.Join(root, "init")
	if err := os.MkdirAll(leaf, 0o755); err != nil {
		return err
	}
	procs, err := os.ReadFile(filepath.Join(root, "cgroup.procs"))
	if err != nil {
		return err
	}
	for pid := range strings.FieldsSeq(string(procs)) {
		if err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte(pid), 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	var enable strings.Builder
	for c := range strings.FieldsSeq(string(controllers)) {
		enable.WriteString("+" + c + " ")
	}
	return os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte(enable.String()), 0)
}
