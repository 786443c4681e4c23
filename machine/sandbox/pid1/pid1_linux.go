package pid1

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

const (
	// Command is the first argument of a node's PID 1; the lab's id and the node's name
	// follow it.
	Command = "sandbox-init"
	// ServiceCommand is that of a request to PID 1: an action ("start", "stop",
	// "restart", "status") and a service ("docker", "ssh") follow it. As with LSB init
	// scripts, the exit status is 3 where the status of a service is not "active".
	ServiceCommand = "sandbox-service"

	// Path is this program in a node, read-only.
	Path = "/usr/local/sbin/dcalab-init"
	// SpecPath is the Spec in a node, as JSON.
	SpecPath = "/etc/dcalab/node.json"
	// RelaySocket leads to the node's sshd once that listens. Its folder is one of the
	// host's, whose owner it gets.
	RelaySocket = "/run/dcalab/ssh.sock"
	// SearchPath is PATH in a node.
	SearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// StopTimeout is how long each service may take to stop.
	StopTimeout = 20 * time.Second

	ctlSocket     = "/run/dcalab-init.sock" // of PID 1, for ServiceCommand
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
)

// Spec is what the host tells PID 1 of a node.
type Spec struct {
	Interface string       `json:"interface"`
	Address   netip.Prefix `json:"address"`
	// Gateway is the default route, where the host has an uplink.
	Gateway netip.Addr `json:"gateway"`
	// Neighbours are the MAC addresses of others, which need not be asked for.
	Neighbours map[netip.Addr]string `json:"neighbours,omitempty"`
}

// A program that is told to be PID 1 is it from here on, and main is never reached: what
// the packages of a command line prepare when it starts takes longer than a node needs to
// start its engine. (Of the packages
// whose imports are initialized, the one with the first path is next: this one imports
// little.)
func init() { //nolint:gochecknoinits // see above
	if len(os.Args) != 4 {
		return
	}
	var err error
	switch {
	case os.Args[1] == Command && os.Getpid() == 1:
		err = run(os.Args[2], os.Args[3])
	case os.Args[1] == ServiceCommand:
		var state string
		if state, err = ask(os.Args[2], os.Args[3]); err == nil {
			fmt.Println(state)
			if os.Args[2] == "status" && state != "active" {
				os.Exit(3)
			}
		}
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run is PID 1 of a node: it sets up the network and cgroups, keeps sshd and the
// engine running, reaps orphans, relays the host's socket to sshd, and on SIGTERM
// stops everything gracefully. It returns when the node is to end.
func run(id, node string) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGCHLD, unix.SIGHUP)

	s := &supervisor{
		log: os.Stderr,
		services: []*service{
			{name: "ssh", paths: []string{"/usr/sbin/sshd", "/usr/bin/sshd"}, args: []string{"-D", "-e"}, log: "/var/log/sshd.log", wanted: true},
			{name: "docker", paths: []string{"/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd"}, log: "/var/log/docker.log", pulse: enginePulse, wanted: true},
		},
	}
	fmt.Fprintf(s.log, "%s node %s of lab %s starts\n", time.Now().Format(time.RFC3339Nano), node, id)
	data, err := os.ReadFile(SpecPath)
	if err != nil {
		return err
	}
	var sp Spec
	if err := json.Unmarshal(data, &sp); err != nil {
		return fmt.Errorf("%s: %w", SpecPath, err)
	}
	if err := removeAtBoot("/"); err != nil {
		fmt.Fprintln(s.log, err) // what was to go stays
	}
	os.Setenv("PATH", SearchPath)
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
	go func() { linked <- JoinNetwork(sp) }()

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
			switch sig {
			case unix.SIGCHLD:
				s.reap()
			case unix.SIGHUP: // there is nothing to read again
			default:
				s.shutdown(signals)
				return nil
			}
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
		text, e := os.ReadFile(file)
		err = errors.Join(err, e)
		for line := range strings.Lines(string(text)) {
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

// JoinNetwork waits until the host has put the lab's interface into the network
// namespace that the caller is in, and gives it the node's address.
func JoinNetwork(sp Spec) error {
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
