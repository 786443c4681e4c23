package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dcalab/dcalab/engine"
)

// TestBench measures and prints the table. It fails only where something does
// not work: a time is never a reason.
func TestBench(t *testing.T) {
	if !*wanted {
		t.Skip("measuring takes minutes, Linux and root: make bench")
	}
	var tab table
	var notes []string
	t.Run("three", func(t *testing.T) { three(t, &tab) })
	t.Run("up", func(t *testing.T) { up(t, &tab) })
	t.Run("thirty", func(t *testing.T) { notes = thirty(t, &tab) })
	fmt.Printf("\n%d processors; each side once a round, in turn, after a round that does not count\n\n", runtime.NumCPU())
	if err := tab.write(os.Stdout); err != nil {
		t.Error(err)
	}
	for _, n := range notes {
		fmt.Println(n)
	}
	fmt.Println()
}

// three measures what is done to three nodes that are up.
func three(t *testing.T, tab *table) {
	t.Helper()
	m := newLab(t, class, "")
	m.dcalab("up")
	sockets := m.sockets()
	config := filepath.Join(m.dir, ".dcalab/dca/ssh_config")
	ansible := newAnsible(t, m, config)
	plainSSH, plainPromote, plainList := testdata(t, "plain-ssh.sh"), testdata(t, "plain-promote.sh"), testdata(t, "plain-list.sh")

	var warm table // the same lines, not counted
	for round := range *rounds + 1 {
		t.Logf("round %d of %d", round, *rounds)
		tab := tab
		if round == 0 {
			tab = &warm
		}
		if round <= 1 {
			lines(tab)
		}
		l := tab.lines

		l[bootstrap].add(m.dcalab("swarm", "bootstrap"))
		l[nothing].add(m.dcalab("swarm", "bootstrap"))
		for range 3 {
			l[status].add(m.dcalab("status"))
		}
		l[promote].add(m.dcalab("promote", "node01"))
		m.reset(sockets)

		l[bootstrapFloor].add(m.floor(sockets))
		for range 3 {
			l[listSSH].add(m.run(nil, "bash", plainList, config))
		}
		l[promoteSSH].add(m.run(nil, "bash", plainPromote, config, "node01"))
		m.reset(sockets)

		l[bootstrapSSH].add(m.run(nil, "bash", plainSSH, config))
		m.reset(sockets)

		l[bootstrapAnsible].add(ansible())
		l[nothingAnsible].add(ansible())
		m.reset(sockets)
	}
}

// The lines of three, in their order.
const (
	bootstrap = iota
	bootstrapFloor
	bootstrapSSH
	bootstrapAnsible
	nothing
	nothingAnsible
	promote
	promoteSSH
	status
	listSSH
)

func lines(tab *table) {
	b := tab.line("swarm bootstrap, 3 nodes")
	tab.floor(b, "floor: Engine API on the nodes' sockets", 1.15)
	tab.peer(b, "plain ssh commands", 2)
	tab.peer(b, "Ansible, community.docker", 4)
	n := tab.line("swarm bootstrap, nothing to do")
	tab.peer(n, "Ansible, the same playbook again", 10)
	p := tab.line("promote until Reachable")
	tab.peer(p, "docker node promote over ssh, and wait", 0)
	s := tab.line("status, 3 nodes")
	tab.peer(s, "docker node ls over ssh (asks one)", 0)
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// newAnsible gives a run of the playbook. What speeds Ansible up is on:
// pipelining, connections kept open between tasks and runs, no fact gathering,
// no search for an interpreter.
func newAnsible(t *testing.T, m *measured, config string) func() time.Duration {
	t.Helper()
	// The control sockets' paths must be short (sockaddr_un holds 108 bytes).
	env := []string{
		"ANSIBLE_CONFIG=" + testdata(t, "ansible.cfg"),
		"ANSIBLE_HOME=" + filepath.Join(m.dir, "ansible"),
		"ANSIBLE_LOCAL_TEMP=" + filepath.Join(m.dir, "ansible/tmp"),
		"ANSIBLE_SSH_CONTROL_PATH_DIR=" + filepath.Join(m.dir, "cp"),
		"ANSIBLE_SSH_ARGS=-F " + config + " -o ControlMaster=auto -o ControlPersist=60s",
	}
	inventory, playbook := testdata(t, "inventory.ini"), testdata(t, "swarm.yaml")
	return func() time.Duration {
		return m.run(env, "ansible-playbook", "-i", inventory, playbook)
	}
}

// floor forms the swarm with the fewest calls that do it, with the settings
// of the lab, and no SSH in between.
func (m *measured) floor(sockets map[string]string) time.Duration {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	start := time.Now()
	err := func() error {
		clients, closeAll, err := connect(sockets)
		if err != nil {
			return err
		}
		defer closeAll()
		first := clients[m.nodes[0].name]
		if _, err := first.Init(ctx, engine.InitOptions{
			Advertise: m.nodes[0].ip, Pools: []netip.Prefix{netip.MustParsePrefix("10.100.0.0/16")}, SubnetSize: 24,
			DataPathPort: 4789, CertExpiry: 90 * 24 * time.Hour, TaskHistory: 5,
		}); err != nil {
			return err
		}
		worker, _, err := first.Tokens(ctx)
		if err != nil {
			return err
		}
		var g errgroup.Group
		for _, n := range m.nodes[1:] {
			g.Go(func() error {
				return clients[n.name].Join(ctx, engine.JoinOptions{Token: worker, Managers: []string{m.nodes[0].ip + ":2377"}, Advertise: n.ip})
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		return until(ctx, 5*time.Millisecond, func() (bool, error) {
			ready, _, err := count(ctx, first)
			return ready == len(m.nodes), err
		})
	}()
	took := time.Since(start)
	if err != nil {
		m.t.Fatal(err)
	}
	return took
}

// count counts the nodes that are Ready, and the managers that are Reachable.
func count(ctx context.Context, c *engine.Client) (ready, reachable int, err error) {
	list, err := c.Nodes(ctx)
	for _, n := range list {
		if n.Status == engine.NodeReady {
			ready++
		}
		if n.Reachability == engine.ReachabilityReachable {
			reachable++
		}
	}
	return ready, reachable, err
}

// up measures three nodes from nothing until their engines answer.
func up(t *testing.T, tab *table) {
	t.Helper()
	ours := tab.line("up, 3 nodes from nothing")
	floor := tab.floor(ours, "floor: the same engines and sshd, bare script", 1.25)
	for round := range *rounds + 1 {
		t.Logf("round %d of %d", round, *rounds)
		m := newLab(t, class, "")
		took := m.dcalab("up")
		m.dcalab("destroy", "--force")

		dir, err := os.MkdirTemp(os.Getenv(folderKey), "bare-") //nolint:usetesting // guard must find it when this process has died
		if err != nil {
			t.Fatal(err)
		}
		script := testdata(t, "bare-up.sh")
		t.Cleanup(func() { m.run(nil, "bash", script, "down", dir) })
		bare := m.run(nil, "bash", script, "up", dir)
		m.run(nil, "bash", script, "down", dir)
		if round > 0 {
			ours.add(took)
			floor.add(bare)
		}
	}
}

// thirty brings up thirty nodes and takes them into one swarm, once.
func thirty(t *testing.T, tab *table) []string {
	t.Helper()
	const managers, workers = 3, 27
	var nodes []node
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\ndriver: sandbox\nlabs:\n  thirty:\n    domain: thirty.example\n    subnet: 10.20.40.0/24\n    memory: 512\n    cpus: 1\n    nodes:\n")
	for i := range managers + workers {
		n, role := node{fmt.Sprintf("worker%02d", i+1-managers), fmt.Sprintf("10.20.40.%d", 100+i)}, "worker"
		if i < managers {
			n.name, role = fmt.Sprintf("manager%02d", i+1), "manager"
		}
		nodes = append(nodes, n)
		fmt.Fprintf(&b, "      - {name: %s, ip: %s, role: %s}\n", n.name, n.ip, role)
	}
	m := newLab(t, nodes, b.String())
	tab.line("up, 30 nodes").add(m.dcalab("up"))
	afterUp := m.resident()
	tab.line("swarm bootstrap, 30 nodes").add(m.dcalab("swarm", "bootstrap"))
	afterSwarm := m.resident()
	tab.line("status, 30 nodes").add(m.dcalab("status"))

	clients, closeAll, err := connect(m.sockets())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	ready, reachable, err := count(t.Context(), clients["manager01"])
	if err != nil {
		t.Fatal(err)
	}
	if ready != managers+workers || reachable != managers {
		t.Errorf("of the swarm of %d, %d are Ready and %d managers Reachable, want all and %d", managers+workers, ready, reachable, managers)
	}
	return []string{fmt.Sprintf("\n%d nodes in one swarm: %d Ready, %d managers Reachable; memory %.1f GB when up, %.1f GB as a swarm",
		managers+workers, ready, reachable, afterUp/1e9, afterSwarm/1e9)}
}

// resident is the memory that the lab's processes hold for themselves, in
// bytes: without the files that they share with the host.
func (m *measured) resident() float64 {
	m.t.Helper()
	for path, key := range map[string]string{
		"/sys/fs/cgroup/memory/dcalab/" + m.id() + "/memory.stat": "total_rss", // cgroup v1
		"/sys/fs/cgroup/dcalab/" + m.id() + "/memory.stat":        "anon",      // cgroup v2
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) == 2 && f[0] == key {
				bytes, _ := strconv.ParseFloat(f[1], 64)
				return bytes
			}
		}
	}
	return 0 // this kernel does not count it
}
