package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dcalab/dcalab/engine"
)

// node of a lab that is measured.
type node struct {
	name, ip string
	manager  bool
}

// class is the lab of the class: the embedded default.
var class = []node{{"master", "10.20.20.100", true}, {"node01", "10.20.20.110", false}, {"node02", "10.20.20.120", false}}

// measured is a lab in a folder of its own, on the sandbox driver.
type measured struct {
	t     *testing.T
	dir   string
	nodes []node
}

// newLab makes the folder of a lab; it is destroyed with the test. Nothing is
// up yet. An empty labsYAML is the embedded one.
func newLab(t *testing.T, nodes []node, labsYAML string) *measured {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv(folderKey), "lab-") //nolint:usetesting // guard must find it when this process has died
	if err != nil {
		t.Fatal(err)
	}
	if labsYAML != "" {
		if err := os.WriteFile(filepath.Join(dir, "labs.yaml"), []byte(labsYAML), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := &measured{t, dir, nodes}
	t.Cleanup(func() { m.dcalab("destroy", "--force") })
	return m
}

// dcalab runs the whole program and gives the time that it took.
func (m *measured) dcalab(args ...string) time.Duration {
	m.t.Helper()
	return m.run(nil, os.Getenv("DCALAB_E2E_BINARY"), append([]string{"--driver", "sandbox"}, args...)...)
}

// run runs a program in the lab's folder and gives the time that it took.
// One that fails ends the test.
func (m *measured) run(env []string, name string, args ...string) time.Duration {
	m.t.Helper()
	// A file, not a pipe: what ssh leaves in the background keeps it open.
	log, err := os.Create(filepath.Join(m.dir, "output"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Dir = m.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.dir, "TERM=dumb", "LANG=C.UTF-8"}, env...)
	cmd.Stdout, cmd.Stderr = log, log
	start := time.Now()
	err = cmd.Run()
	took := time.Since(start)
	if err != nil {
		out, _ := os.ReadFile(log.Name())
		m.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return took
}

// id is what the lab's processes, links and cgroups are known by.
func (m *measured) id() string {
	m.t.Helper()
	records, _ := filepath.Glob(m.dir + "/.dcalab/*/lab.json")
	if len(records) != 1 {
		m.t.Fatalf("want one lab in %s, found %v", m.dir, records)
	}
	text, err := os.ReadFile(records[0])
	if err != nil {
		m.t.Fatal(err)
	}
	var record struct{ ID string }
	if err := json.Unmarshal(text, &record); err != nil {
		m.t.Fatal(err)
	}
	return record.ID
}

// sockets finds the engines' own sockets, by the nodes' PID 1.
func (m *measured) sockets() map[string]string {
	m.t.Helper()
	id := m.id()
	sockets := map[string]string{}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		cmdline, _ := os.ReadFile(p + "/cmdline")
		args := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
		if len(args) == 4 && args[1] == "sandbox-init" && args[2] == id {
			sockets[args[3]] = p + "/root/run/docker.sock"
		}
	}
	for _, n := range m.nodes {
		if sockets[n.name] == "" {
			m.t.Fatalf("no PID 1 of node %s of lab %s", n.name, id)
		}
	}
	return sockets
}

// connect makes a client per node that dials the engine's own socket.
func connect(sockets map[string]string) (clients map[string]*engine.Client, closeAll func(), err error) {
	clients = map[string]*engine.Client{}
	closeAll = func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}
	for name, path := range sockets {
		c, err := engine.New(name, func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		})
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		clients[name] = c
	}
	return clients, closeAll, nil
}

// reset takes every node out of its swarm, and waits until its engine says so.
func (m *measured) reset(sockets map[string]string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Minute)
	defer cancel()
	clients, closeAll, err := connect(sockets)
	if err != nil {
		m.t.Fatal(err)
	}
	defer closeAll()
	var g errgroup.Group
	for _, c := range clients {
		g.Go(func() error {
			if err := c.Swarm.Leave(ctx, true); err != nil && !errors.Is(err, engine.ErrNotInSwarm) {
				return err
			}
			return until(ctx, 20*time.Millisecond, func() (bool, error) {
				info, err := c.Swarm.Info(ctx)
				return info.State == engine.StateInactive, err
			})
		})
	}
	if err := g.Wait(); err != nil {
		m.t.Fatal(err)
	}
}

// restart restarts the engines, each of which has then been in a swarm once: a Docker
// 20.10 that leaves one swarm and joins the next at once may wait forever to make its
// end of the ingress network (AgentInitWait in libnetwork), and a hundred such jobs
// later nobody can leave or join any more.
func (m *measured) restart(sockets map[string]string) {
	m.t.Helper()
	m.dcalab("exec", "--all", "--", "sudo", "/usr/local/sbin/service", "docker", "restart")
	m.floor(sockets)
	m.reset(sockets)
}

// until looks again and again, that often, until done or an error.
func until(ctx context.Context, every time.Duration, look func() (done bool, err error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		done, err := look()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("still waiting: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
