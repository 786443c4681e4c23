package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
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
	look        = 10 * time.Millisecond // between two looks at what PID 1 waits for
	searchPath  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// spec is what the host tells a node's PID 1.
type spec struct {
	Interface string       `json:"interface"`
	Address   netip.Prefix `json:"address"`
	// Gateway is the default route, where the host has an uplink.
	Gateway netip.Addr `json:"gateway"`
}

// service is a program that PID 1 keeps running.
type service struct {
	name    string
	paths   []string // of the program: the first that exists
	args    []string
	log     string
	pulse   string // file that tells of its starts; empty for none
	wanted  bool
	starts  int
	ends    int           // how often it ended by itself
	pid     int           // 0 when not running
	pause   time.Duration // before the next start
	started time.Time
	due     time.Time // of the next start, when not running and wanted
}

// supervisor is the state of PID 1. Everything happens in its one goroutine,
// so that no child is reaped before its pid is known.
type supervisor struct {
	services []*service
	log      io.Writer
}

// request is one order that came in over the control socket.
type request struct {
	action, unit string
	answer       chan<- string
}

// Init is PID 1 of a node: it readies the network and cgroups, keeps sshd and
// the engine running, reaps orphans, relays the host's socket to sshd, and on
// SIGTERM stops everything in order. It returns when the node is to go down.
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
	os.Setenv("PATH", searchPath)
	os.Setenv("HOME", "/root")
	for _, d := range []string{"/run/sshd", "/run/lock", "/run/docker"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := nestCgroups(); err != nil {
		fmt.Fprintf(s.log, "cgroups: %v\n", err) // the engine says what it misses
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
		// The socket to sshd appears when sshd listens, and so tells the host
		// that it does.
		awaitListener(sshPort, sshdTimeout)
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

// startDue starts what should run and does not, and gives a channel that
// fires when the next start is due.
func (s *supervisor) startDue(now time.Time) <-chan time.Time {
	var next time.Time
	for _, v := range s.services {
		if !v.wanted || v.pid != 0 {
			continue
		}
		if !v.due.After(now) {
			s.start(v, now)
		}
		if v.pid == 0 && (next.IsZero() || v.due.Before(next)) {
			next = v.due
		}
	}
	if next.IsZero() {
		return nil
	}
	return time.After(time.Until(next))
}

// start starts one service, or notes when to try again. A program that is not
// there (yet: the engine may be installed later) is looked for once a second.
func (s *supervisor) start(v *service, now time.Time) {
	v.started = now
	var path string
	for _, p := range v.paths {
		if _, err := os.Stat(p); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		v.due = now.Add(time.Second)
		return
	}
	out, err := os.OpenFile(v.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		fmt.Fprintf(s.log, "%s: %v\n", v.name, err)
		v.due = now.Add(time.Second)
		return
	}
	defer out.Close()
	pid, err := syscall.ForkExec(path, append([]string{path}, v.args...), &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(),
		Files: []uintptr{0, out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		fmt.Fprintf(s.log, "%s: %v\n", v.name, err)
		v.due = now.Add(time.Second)
		return
	}
	v.pid = pid
	v.starts++
	s.beat(v)
}

// beat writes the pulse of a service.
func (s *supervisor) beat(v *service) {
	if v.pulse == "" {
		return
	}
	half := v.pulse + ".new"
	err := os.WriteFile(half, fmt.Appendf(nil, "%d %d\n", v.starts, v.ends), 0o644)
	if err == nil {
		err = os.Rename(half, v.pulse)
	}
	if err != nil {
		fmt.Fprintf(s.log, "%s: %v\n", v.name, err)
	}
}

// reap collects every child that has ended, ours and the adopted.
func (s *supervisor) reap() {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if pid <= 0 {
			return
		}
		for _, v := range s.services {
			if v.pid != pid {
				continue
			}
			v.pid = 0
			now := time.Now()
			if now.Sub(v.started) > restartMax {
				v.pause = 0
			}
			if v.wanted {
				v.ends++
				s.beat(v)
			}
			v.pause = min(max(2*v.pause, restartMin), restartMax)
			v.due = now.Add(v.pause)
			if v.wanted {
				fmt.Fprintf(s.log, "%s %s ended (exit %d, signal %d), starts again in %v\n",
					now.Format(time.RFC3339Nano), v.name, ws.ExitStatus(), ws.Signal(), v.pause)
			}
		}
	}
}

// stop ends one service in order and waits for it.
func (s *supervisor) stop(v *service, signals <-chan os.Signal) {
	v.wanted = false
	if v.pid == 0 {
		return
	}
	_ = unix.Kill(v.pid, unix.SIGTERM)
	kill := time.After(stopTimeout)
	for v.pid != 0 {
		select {
		case <-signals:
			s.reap()
		case <-kill:
			_ = unix.Kill(v.pid, unix.SIGKILL)
		}
	}
}

// shutdown stops every service; the engine, which comes last, first.
func (s *supervisor) shutdown(signals <-chan os.Signal) {
	// From here on nobody shall take this node for one that is up.
	_ = os.Remove(relaySocket)
	for i := len(s.services) - 1; i >= 0; i-- {
		s.stop(s.services[i], signals)
	}
	unix.Sync()
}

// serve carries out one order from the control socket.
func (s *supervisor) serve(r request, signals <-chan os.Signal) {
	for _, v := range s.services {
		if v.name != r.unit {
			continue
		}
		switch r.action {
		case "stop":
			s.stop(v, signals)
		case "start", "restart":
			if r.action == "restart" {
				s.stop(v, signals)
			}
			v.wanted, v.pause, v.due = true, 0, time.Time{}
			s.startDue(time.Now())
		case "status":
		default:
			r.answer <- "error: unknown action " + r.action
			return
		}
		state := "inactive"
		if v.pid != 0 {
			state = "active"
		}
		r.answer <- state
		return
	}
	r.answer <- "error: unit " + r.unit + " not found: this node runs ssh and docker"
}

// listenControl serves the socket behind Service. As with systemctl, anybody
// in the node may ask for a status; the rest is for root.
func listenControl(requests chan<- request) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: ctlSocket, Net: "unix"})
	if err != nil {
		return err
	}
	if err := os.Chmod(ctlSocket, 0o666); err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, err := bufio.NewReader(io.LimitReader(c, 256)).ReadString('\n')
				if err != nil {
					return
				}
				action, unit, _ := strings.Cut(strings.TrimSpace(line), " ")
				if action != "status" && !byRoot(c) {
					fmt.Fprintf(c, "error: only root may %s a service: use sudo\n", action)
					return
				}
				answer := make(chan string, 1)
				requests <- request{action, unit, answer}
				fmt.Fprintln(c, <-answer)
			}()
		}
	}()
	return nil
}

// byRoot tells whether root is at the other end of a connection.
func byRoot(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	root := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		root = err == nil && cred.Uid == 0
	})
	return err == nil && root
}

// Service asks the PID 1 of the node that it runs in to start, stop, restart
// or tell the status of a service ("docker", "ssh"); it answers "active" or
// "inactive" once that is done. It is what `service` and `systemctl` call
// inside a node. As with systemd, an engine that was started listens then, so
// that the next command finds it.
func Service(action, unit string) (string, error) {
	state, err := order(action, unit)
	if err == nil && unit == "docker" && (action == "start" || action == "restart") && state == "active" {
		awaitEngine(listenTimeout)
	}
	return state, err
}

// order gives PID 1 an order, and its answer.
func order(action, unit string) (string, error) {
	c, err := net.Dial("unix", ctlSocket)
	if err != nil {
		return "", err
	}
	defer c.Close()
	fmt.Fprintf(c, "%s %s\n", action, unit)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(line)
	if msg, ok := strings.CutPrefix(line, "error: "); ok {
		return "", errors.New(msg)
	}
	return line, nil
}

// listenRelay leads connections from the host to the node's sshd, so that the
// host reaches a node without a route, and when the lab's network is cut.
func listenRelay() error {
	// It appears in one step, with its owner and mode.
	half := relaySocket + ".new"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: half, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	if fi, err := os.Stat(filepath.Dir(relaySocket)); err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			if err := os.Chown(half, int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
	}
	if err := os.Chmod(half, 0o600); err != nil {
		return err
	}
	if err := os.Rename(half, relaySocket); err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go relay(c)
		}
	}()
	return nil
}

// awaitEngine waits until the engine listens on its socket, has ended, or for
// as long as patience: it may have been told to listen elsewhere.
func awaitEngine(patience time.Duration) {
	// "0: 00000002 00000000 00010000 0001 01 7 /var/run/docker.sock": 00010000
	// is SO_ACCEPTCON, somebody listens (proc_net_unix(5)).
	want := regexp.MustCompile(`(?m)^\S+ \S+ \S+ 00010000 .* (/var)?/run/docker\.sock$`)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(look) {
		if want.MatchString(readFirst("/proc/net/unix")) {
			return
		}
		if state, err := order("status", "docker"); err != nil || state != "active" {
			return
		}
	}
}

// awaitListener waits until somebody listens on a TCP port of this node, or
// for as long as patience. It looks at the kernel's list: a connection would
// make sshd start a process for it.
func awaitListener(port int, patience time.Duration) {
	// "0: 00000000:0016 00000000:0000 0A …": local address, and state LISTEN
	// (proc_net_tcp in proc(5)).
	want := regexp.MustCompile(fmt.Sprintf(`(?m)^\s*\d+: [0-9A-F]+:%04X [0-9A-F]+:0000 0A `, port))
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(look) {
		if want.MatchString(readFirst("/proc/net/tcp")) || want.MatchString(readFirst("/proc/net/tcp6")) {
			return
		}
	}
}

// relay joins one connection to sshd, which may just be restarting.
func relay(from *net.UnixConn) {
	defer from.Close()
	var to *net.TCPConn
	for deadline := time.Now().Add(sshdTimeout); ; time.Sleep(5 * time.Millisecond) {
		var err error
		if to, err = net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sshPort}); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return
		}
	}
	defer to.Close()
	done := make(chan struct{}, 2)
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.CloseWrite()
		done <- struct{}{}
	}()
	go func() {
		_, _ = io.Copy(from, to)
		_ = from.CloseWrite()
		done <- struct{}{}
	}()
	<-done
	<-done
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
	for deadline := time.Now().Add(linkTimeout); ; time.Sleep(look) {
		var err error
		if link, err = netlink.LinkByName(sp.Interface); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("interface %s did not appear within %v", sp.Interface, linkTimeout)
		}
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
	if !sp.Gateway.IsValid() {
		return nil
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: sp.Gateway.AsSlice()})
}

// nestCgroups readies a cgroup v2 node for an engine: controllers can be
// handed down only by a cgroup that holds no processes (the kernel's "no
// internal processes" rule), so PID 1 and all others move into a leaf. On
// cgroup v1 there is nothing to do.
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
