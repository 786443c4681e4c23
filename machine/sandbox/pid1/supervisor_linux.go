package pid1

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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

// startDue starts the services that are due, and gives a channel that fires when
// the next start is due.
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

// start starts one service, or notes when to try again: a program that does not
// exist may be installed later, and is looked for once a second.
func (s *supervisor) start(v *service, now time.Time) {
	v.started, v.due = now, now.Add(time.Second) // due, if it cannot be started now
	i := slices.IndexFunc(v.paths, func(path string) bool { _, err := os.Stat(path); return err == nil })
	if i < 0 {
		return
	}
	path := v.paths[i]
	out, err := os.OpenFile(v.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		fmt.Fprintf(s.log, "%s: %v\n", v.name, err)
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
		return
	}
	v.pid = pid
	v.starts++
	s.beat(v)
}

// beat writes the pulse file of a service.
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

// reap collects all children that have ended, adopted ones too.
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

// stop ends one service, killing it after StopTimeout, and waits for it.
func (s *supervisor) stop(v *service, signals <-chan os.Signal) {
	v.wanted = false
	if v.pid == 0 {
		return
	}
	_ = unix.Kill(v.pid, unix.SIGTERM)
	kill := time.After(StopTimeout)
	for v.pid != 0 {
		select {
		case <-signals:
			s.reap()
		case <-kill:
			_ = unix.Kill(v.pid, unix.SIGKILL)
		}
	}
}

// shutdown stops every service, the last one, the engine, first.
func (s *supervisor) shutdown(signals <-chan os.Signal) {
	// From here on the node must not look as if it were up.
	_ = os.Remove(RelaySocket)
	for i := len(s.services) - 1; i >= 0; i-- {
		s.stop(s.services[i], signals)
	}
	unix.Sync()
}
