package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dcalab/dcalab/engine"
)

// TestBench measures and prints the table, and a line for each bound. It fails
// only where something does not work: a time is never a reason.
func TestBench(t *testing.T) {
	if !*wanted {
		t.Skip("measuring takes minutes, Linux and root: make bench")
	}
	var tab table
	var notes []string
	t.Run("three", func(t *testing.T) { three(t, &tab) })
	t.Run("up", func(t *testing.T) { up(t, &tab) })
	for _, size := range []struct {
		name  string
		nodes int
		large bool
	}{{"thirty", 30, false}, {"sixty", 60, true}, {"hundred", 100, true}} {
		t.Run(size.name, func(t *testing.T) {
			if size.large && !*large {
				t.Skip("make bench LARGE=1")
			}
			notes = append(notes, many(t, &tab, size.nodes, !size.large))
		})
	}
	fmt.Printf("\n%d processors; each side once a round, in turn, after a round that does not count\n\n", runtime.NumCPU())
	if err := tab.write(os.Stdout); err != nil {
		t.Error(err)
	}
	fmt.Println()
	for _, line := range slices.Concat(tab.bounds(), notes) {
		fmt.Println(line)
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

		m.restart(sockets)
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
	n := tab.line("swarm bootstrap, nothing to do").within(150 * time.Millisecond)
	tab.peer(n, "Ansible, the same playbook again", 10)
	p := tab.line("promote until Reachable")
	tab.floor(p, "docker node promote over ssh, until it lists nodes itself", 1.1)
	s := tab.line("status, 3 nodes").within(200 * time.Millisecond)
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
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Minute)
	defer cancel()
	start := time.Now()
	err := func() error {
		clients, closeAll, err := connect(sockets)
		if err != nil {
			return err
		}
		defer closeAll()
		first := clients[m.nodes[0].name]
		if _, err := first.Swarm.Init(ctx, engine.InitOptions{
			Advertise: m.nodes[0].ip, Pools: []netip.Prefix{netip.MustParsePrefix("10.100.0.0/16")}, SubnetSize: 24,
			DataPathPort: 4789, CertExpiry: 90 * 24 * time.Hour, TaskHistory: 5,
		}); err != nil {
			return err
		}
		worker, manager, err := first.Swarm.Tokens(ctx)
		if err != nil {
			return err
		}
		var g errgroup.Group
		managers := 1
		for _, n := range m.nodes[1:] {
			token := worker
			if n.manager {
				token = manager
				managers++
			}
			g.Go(func() error {
				err := clients[n.name].Swarm.Join(ctx, engine.JoinOptions{Token: token, Managers: []string{m.nodes[0].ip + ":2377"}, Advertise: n.ip})
				if errors.Is(err, engine.ErrJoinTimeout) { // it goes on in the background
					err = nil
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		return until(ctx, 5*time.Millisecond, func() (bool, error) {
			ready, reachable, err := count(ctx, first)
			return ready == len(m.nodes) && reachable == managers, err
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
	list, err := c.Swarm.Nodes(ctx)
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

		bare := m.bareUp([]string{"2:2048", "1:1024", "1:1024"})
		if round > 0 {
			ours.add(took)
			floor.add(bare)
		}
	}
}

// bareUp measures nodes with the same names, addresses and limits (CPUs and MiB)
// that bare-up.sh makes, and removes them. The folder is where guard finds it
// when this process has died.
func (m *measured) bareUp(limits []string) time.Duration {
	m.t.Helper()
	dir, err := os.MkdirTemp(os.Getenv(folderKey), "bare-")
	if err != nil {
		m.t.Fatal(err)
	}
	script := testdata(m.t, "bare-up.sh")
	down := func() { m.run(nil, "bash", script, "down", dir) }
	m.t.Cleanup(down)
	args := []string{script, "up", dir}
	for i, n := range m.nodes {
		args = append(args, n.name+":"+n.ip+":"+limits[i%len(limits)])
	}
	took := m.run(nil, "bash", args...)
	down()
	return took
}

// many brings up that many nodes, three of them managers, takes them into one
// swarm and asks for its status; then, where wanted, the floors of these: of more
// than thirty, all joins at once starve each other.
func many(t *testing.T, tab *table, size int, floors bool) string {
	t.Helper()
	const managers = 3
	var nodes []node
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\ndriver: sandbox\nlabs:\n  many:\n    domain: many.example\n    subnet: 10.20.40.0/24\n    memory: 512\n    cpus: 1\n    nodes:\n")
	for i := range size {
		n, role := node{name: fmt.Sprintf("worker%02d", i+1-managers), ip: fmt.Sprintf("10.20.40.%d", 100+i)}, "worker"
		if i < managers {
			n.name, n.manager, role = fmt.Sprintf("manager%02d", i+1), true, "manager"
		}
		nodes = append(nodes, n)
		fmt.Fprintf(&b, "      - {name: %s, ip: %s, role: %s}\n", n.name, n.ip, role)
	}
	m := newLab(t, nodes, b.String())
	named := func(what string) *line { return tab.line(fmt.Sprintf("%s, %d nodes", what, size)) }
	up := named("up")
	upFloor := tab.floor(up, "floor: the same engines and sshd, bare script", 1.2)
	formed := named("swarm bootstrap")
	formedFloor := tab.floor(formed, "floor: Engine API on the nodes' sockets", 1.2)
	asked := named("status").within(time.Second * time.Duration(max(1, size/30)))
	askedFloor := tab.floor(asked, "ssh NODE docker info, every node at once", 0)

	up.add(m.dcalab("up"))
	afterUp := m.resident()
	sockets := m.sockets()
	if floors { // the round that does not count
		m.floor(sockets)
		m.settled(sockets)
		m.reset(sockets)
	}
	formed.add(m.dcalab("swarm", "bootstrap"))
	m.settled(sockets)
	afterSwarm := m.resident()
	config, askAll := filepath.Join(m.dir, ".dcalab/many/ssh_config"), testdata(t, "ask-all.sh")
	for range *rounds {
		asked.add(m.dcalab("status"))
		askedFloor.add(m.run(nil, "bash", askAll, config))
	}
	clients, closeAll, err := connect(sockets)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	ready, reachable, err := count(t.Context(), clients["manager01"])
	if err != nil {
		t.Fatal(err)
	}
	if ready != size || reachable != managers {
		t.Errorf("of the swarm of %d, %d are Ready and %d managers Reachable, want all and %d", size, ready, reachable, managers)
	}
	if floors {
		m.reset(sockets)
		formedFloor.add(m.floor(sockets))
		m.dcalab("destroy", "--force")
		upFloor.add(m.bareUp([]string{"1:512"}))
	}
	return fmt.Sprintf("%d nodes in one swarm: memory %.1f GB when up, %.1f GB as a swarm", size, afterUp/1e9, afterSwarm/1e9)
}

// settled waits until every engine has the sandbox of the ingress network: they
// make it after they are Ready, with all the processor time that there is.
func (m *measured) settled(sockets map[string]string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Minute)
	defer cancel()
	err := until(ctx, 50*time.Millisecond, func() (bool, error) {
		for _, socket := range sockets {
			if _, err := os.Stat(filepath.Join(filepath.Dir(socket), "docker/netns/ingress_sbox")); err != nil {
				return false, nil //nolint:nilerr // not yet
			}
		}
		helpers, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range helpers {
			cmdline, _ := os.ReadFile(path)
			if strings.HasPrefix(string(cmdline), "set-ipv6\x00") || strings.HasPrefix(string(cmdline), "netns-create\x00") {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
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
