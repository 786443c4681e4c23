package pid1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// request is one that came in over the control socket.
type request struct {
	action, unit string
	answer       chan<- string
}

// serve carries out one request from the control socket.
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

// listenControl serves the socket behind ServiceCommand. As with systemctl, anybody
// in the node may ask for a status; the rest is for root.
func listenControl(requests chan<- request) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: ctlSocket, Net: "unix"})
	if err != nil {
		return err
	}
	if err := os.Chmod(ctlSocket, 0o666); err != nil {
		return err
	}
	go acceptAll(l, func(c *net.UnixConn) {
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
	})
	return nil
}

func acceptAll(l *net.UnixListener, handle func(*net.UnixConn)) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		go handle(c)
	}
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

// ask asks PID 1 of the node in which it runs to start, stop, restart or
// tell the status of a service ("docker", "ssh"), and gives "active" or
// "inactive" once that is done. As with systemd, an engine that was started
// listens then, so that the next command finds it.
func ask(action, unit string) (string, error) {
	state, err := send(action, unit)
	if err == nil && unit == "docker" && (action == "start" || action == "restart") && state == "active" {
		awaitEngine(listenTimeout)
	}
	return state, err
}

// send sends PID 1 a request and gives its answer.
func send(action, unit string) (string, error) {
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

// listenRelay forwards connections from the host to the node's sshd, so that the
// host reaches a node without a route, also when the lab's network is cut.
func listenRelay() error {
	// It appears in one step, with its owner and mode.
	half := RelaySocket + ".new"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: half, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	if fi, err := os.Stat(filepath.Dir(RelaySocket)); err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			if err := os.Chown(half, int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
	}
	if err := os.Chmod(half, 0o600); err != nil {
		return err
	}
	if err := os.Rename(half, RelaySocket); err != nil {
		return err
	}
	go acceptAll(l, relay)
	return nil
}

// relay joins one connection to sshd, which may just be restarting.
func relay(from *net.UnixConn) {
	defer from.Close()
	var to *net.TCPConn
	if !poll(sshdTimeout, func() bool {
		var err error
		to, err = net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sshPort})
		return err == nil
	}) {
		return
	}
	defer to.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(to, from)
		_ = to.CloseWrite()
	})
	_, _ = io.Copy(from, to)
	_ = from.CloseWrite()
	wg.Wait()
}

// poll calls done until it is true, for as long as patience, and tells whether it
// became true.
func poll(patience time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(patience); !done(); time.Sleep(look) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// awaitEngine waits until the engine listens on its socket, has ended, or for
// as long as patience: it may have been configured to listen elsewhere.
func awaitEngine(patience time.Duration) {
	// "0: 00000002 00000000 00010000 0001 01 7 /var/run/docker.sock": 00010000
	// is SO_ACCEPTCON, somebody listens (proc_net_unix(5)).
	listens := regexp.MustCompile(`(?m)^\S+ \S+ \S+ 00010000 .* (/var)?/run/docker\.sock$`)
	poll(patience, func() bool {
		if sockets, err := os.ReadFile("/proc/net/unix"); err == nil && listens.Match(sockets) {
			return true
		}
		state, err := send("status", "docker")
		return err != nil || state != "active"
	})
}

// awaitListener waits until somebody listens on a TCP port of this node, or for as long as
// patience. A connection would make sshd start a process, and the kernel's list
// (/proc/net/tcp) takes milliseconds, where there is much memory: all connections are
// looked for.
func awaitListener(port int, patience time.Duration) {
	poll(patience, func() bool { return listened(port) })
}

// listened tells whether somebody listens on a TCP port: nobody else can bind to it then.
// Sockets that do not listen, and reuse addresses, hinder each other in nothing
// (SO_REUSEADDR in socket(7)); sshd's is such a one.
func listened(port int) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return false
	}
	return errors.Is(unix.Bind(fd, &unix.SockaddrInet4{Port: port}), unix.EADDRINUSE)
}
