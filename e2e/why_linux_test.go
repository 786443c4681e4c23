package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm/placement"
)

const whyLab = `version: 1
driver: sandbox
labs:
  dca:
    domain: docker-dca.example
    subnet: 10.20.20.0/24
    nodes:
      - {name: m1, ip: 10.20.20.11, role: manager}
      - {name: w1, ip: 10.20.20.12, role: worker}
      - {name: w2, ip: 10.20.20.13, role: worker}
      - {name: w3, ip: 10.20.20.14, role: worker}
`

// TestWhyAgreesWithTheScheduler makes services at random and compares what the
// scheduler of a real engine does with each, and says of it, with what dcalab why
// said before and says afterwards.
func TestWhyAgreesWithTheScheduler(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("real nodes need root: make scenarios")
	}
	t.Parallel()
	services, seed := 60, uint64(time.Now().UnixNano())
	if testing.Short() {
		services, seed = 6, 18
	}
	w := newWhyLab(t, seed)
	for i := range services {
		w.keep(t, 8)
		if i%5 == 3 {
			w.changeNode(t)
		}
		if i%6 == 5 {
			w.global(t, fmt.Sprintf("g%d", i))
			continue
		}
		w.replicated(t, fmt.Sprintf("s%d", i))
	}
	t.Logf("%d services, of which %d with tasks that fit no node, and %d tasks placed, agree", w.services, w.pending, w.placed)
	if w.pending == 0 || w.placed == 0 {
		t.Error("nothing was pending, or nothing placed")
	}
}

// whyRun is the lab of the test, and what was counted.
type whyRun struct {
	dcalab, dir string
	environ     []string
	random      *rand.Rand

	made                      []string
	services, pending, placed int
}

func newWhyLab(t *testing.T, seed uint64) *whyRun {
	t.Helper()
	w := &whyRun{dcalab: binary(t), dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 0))}
	t.Logf("seed %d", seed)
	if err := os.WriteFile(filepath.Join(w.dir, "labs.yaml"), []byte(whyLab), 0o644); err != nil {
		t.Fatal(err)
	}
	release, err := isolate()
	if release != nil {
		t.Cleanup(release)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.environ = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "TERM=xterm-256color", quickExit}
	w.run(t, "up", "--swarm")
	id := readID(filepath.Join(w.dir, ".dcalab", "dca"))
	t.Cleanup(func() {
		w.run(t, "destroy", "--force")
		if found := findTraces(id); len(found) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(found, "\n"))
		}
	})
	until(t, func() string { // also on a machine that is too busy for sshd
		_, err := w.try("exec", "--all", "--", "sh", "-c", "tar cf - --files-from /dev/null | docker import - localhost/idle:1")
		if err != nil {
			return err.Error()
		}
		return ""
	})
	w.run(t, "label", "set", "w1", "zone=a", "disk=ssd")
	w.run(t, "label", "set", "w2", "zone=b")
	return w
}

func (w *whyRun) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *whyRun) try(args ...string) (string, error) {
	cmd := exec.Command(w.dcalab, args...)
	cmd.Dir, cmd.Env = w.dir, w.environ
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("dcalab %s: %w\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out), err
}

// docker types a line on the manager.
func (w *whyRun) docker(t *testing.T, line string) string {
	t.Helper()
	return w.run(t, "ssh", "m1", "--", "docker "+line)
}

func (w *whyRun) why(t *testing.T, name string) report.Why {
	t.Helper()
	var r report.Why
	if err := json.Unmarshal([]byte(w.run(t, "why", name, "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// keep removes the oldest services, so that a few are left.
func (w *whyRun) keep(t *testing.T, most int) {
	t.Helper()
	for ; len(w.made) > most; w.made = w.made[1:] {
		w.docker(t, "service rm "+w.made[0])
		until(t, func() string {
			if left := w.docker(t, "ps -q --filter label=com.docker.swarm.service.name="+w.made[0]); left != "" {
				return "still there: " + left
			}
			return ""
		})
	}
}

// until looks again and again until why is empty.
func until(t *testing.T, look func() (why string)) {
	t.Helper()
	why := ""
	for more := asking(2 * time.Minute); more(); {
		if why = look(); why == "" {
			return
		}
	}
	t.Fatal(why)
}

// settle waits until every task runs, has ended, or is said to fit no node. One that fit
// none, and is not wanted any more (a global service's, of a node that is drained), has
// no node that would end it, and stays as it was.
func (w *whyRun) settle(t *testing.T) {
	t.Helper()
	if len(w.made) == 0 {
		return
	}
	until(t, func() string {
		for line := range strings.Lines(w.docker(t, "service ps --format '{{.Name}}|{{.DesiredState}}|{{.CurrentState}}|{{.Error}}' "+strings.Join(w.made, " "))) {
			cells := strings.Split(strings.TrimSpace(line), "|")
			state, _, _ := strings.Cut(cells[2], " ")
			wanted := cells[1] == "Running"
			switch {
			case wanted && state == "Running", state == "Pending" && cells[3] != "":
			case !wanted && slices.Contains([]string{"Shutdown", "Failed", "Rejected", "Complete", "Remove", "Orphaned"}, state):
			default:
				return line
			}
		}
		return ""
	})
}

func (w *whyRun) pick(words ...string) string { return words[w.random.IntN(len(words))] }

// changeNode gives a node another availability or label.
func (w *whyRun) changeNode(t *testing.T) {
	t.Helper()
	edit := w.pick("--availability drain", "--availability pause", "--availability active", "--availability active", "--label-add zone=a", "--label-add zone=b", "--label-rm disk", "--label-add disk=ssd")
	node := w.pick("m1", "w1", "w2", "w3")
	t.Logf("%s: %s", node, edit)
	if edit == "--label-rm disk" { // removing one that is not there is an error
		w.docker(t, "node update --label-add disk=x "+node+".docker-dca.example")
	}
	w.docker(t, "node update "+edit+" "+node+".docker-dca.example")
	w.settle(t)
}

// flags are what a service asks for, at random.
func (w *whyRun) flags() string {
	var out []string
	maybe := func(oneIn int, flags ...string) {
		if w.random.IntN(oneIn) == 0 {
			out = append(out, w.pick(flags...))
		}
	}
	maybe(2, "--constraint node.labels.zone==a", "--constraint node.labels.zone==b", "--constraint node.labels.zone!=a", "--constraint node.role==worker",
		"--constraint node.hostname!=w1.docker-dca.example", "--constraint node.ip==10.20.20.12/31", "--constraint node.labels.zone==none", "--constraint engine.labels.x!=y", "--constraint node.platform.arch==amd64")
	maybe(4, "--constraint node.labels.disk==ssd", "--constraint node.labels.disk!=ssd", "--constraint node.role==manager", "--constraint node.other==x")
	maybe(3, "--reserve-memory 100M", "--reserve-memory 8G", "--reserve-memory 4000G", "--reserve-cpu 0.5", "--reserve-cpu 1", "--reserve-cpu 100")
	maybe(3, "--publish mode=host,published=8080,target=8080", "--publish mode=host,published=8081,target=8080", "--publish mode=host,published=8080,target=8080,protocol=udp", "--publish mode=host,target=8080")
	maybe(3, "--placement-pref spread=node.labels.zone", "--placement-pref spread=node.labels.zone --placement-pref spread=node.labels.disk")
	maybe(12, "--log-driver none-such", "--mount type=volume,source=v,target=/v,volume-driver=none-such", "--generic-resource gpu=1")
	return strings.Join(out, " ")
}

// whyImage is an empty image, and a task that does nothing in it: what the node has
// is enough for that, and costs little.
const whyImage = " --no-resolve-image --stop-signal KILL --mount type=bind,source=/usr,target=/usr,readonly" +
	" --mount type=bind,source=/usr/lib,target=/lib,readonly --mount type=bind,source=/usr/lib64,target=/lib64,readonly localhost/idle:1 /usr/bin/sleep 1000000"

// replicated makes a service without tasks, asks, gives it tasks, and compares.
func (w *whyRun) replicated(t *testing.T, name string) {
	t.Helper()
	flags, replicas := w.flags(), w.random.IntN(3)+1
	if w.random.IntN(4) == 0 {
		flags += " --replicas-max-per-node " + w.pick("1", "1", "2")
	}
	w.docker(t, "service create -d -q --replicas 0 --name "+name+" "+flags+whyImage)
	w.made = append(w.made, name)
	w.services++
	before := w.why(t, name)
	w.docker(t, fmt.Sprintf("service scale -d %s=%d", name, replicas))
	var after report.Why
	until(t, func() string {
		after = w.why(t, name)
		if len(after.Tasks) != replicas {
			return fmt.Sprintf("%s has %d tasks", name, len(after.Tasks))
		}
		return w.agrees(after)
	})
	said := fmt.Sprintf("%s (%d tasks): %s", name, replicas, flags)
	t.Log(said)
	var fit, next []string
	for _, p := range before.Placements {
		if p.Fits {
			fit = append(fit, p.Node)
		}
		if p.Next {
			next = append(next, p.Node)
		}
	}
	if replicas == 1 {
		fit = next
	}
	for _, task := range after.Tasks {
		if task.Node == "" {
			continue
		}
		w.placed++
		if !slices.Contains(fit, task.Node) {
			t.Errorf("%s\n%s is on %s; before, these fitted: %v", said, task.Name, task.Node, fit)
		}
		if task.Moved != "" {
			t.Errorf("%s\n%s was just placed on %s, and would not be: %s", said, task.Name, task.Node, task.Moved)
		}
	}
	if len(after.Pending) > 0 {
		w.pending++
	}
	if len(fit) > 0 && len(after.Pending) == replicas {
		t.Errorf("%s\nnone is placed; before, these fitted: %v", said, fit)
	}
	if len(after.Pending) > 0 && len(after.Changes) == 0 {
		t.Errorf("%s\n%v pending, and nothing is proposed", said, after.Pending)
	}
	w.settle(t)
}

// global makes a service with a task on each node, and compares.
func (w *whyRun) global(t *testing.T, name string) {
	t.Helper()
	flags := w.flags()
	w.docker(t, "service create -d -q --mode global --name "+name+" "+flags+whyImage)
	w.made = append(w.made, name)
	w.services++
	said := name + " (global): " + flags
	t.Log(said)
	until(t, func() string {
		after := w.why(t, name)
		w.settle(t)
		for _, p := range after.Placements {
			at := slices.IndexFunc(after.Tasks, func(task report.WhyTask) bool { return task.Node == p.Node })
			kept := len(p.Reasons) > 0 && (p.Reasons[0].Filter == placement.FilterReady || slices.ContainsFunc(p.Reasons, func(r placement.Reason) bool { return r.Filter == placement.FilterConstraints }))
			switch {
			case at < 0 && !kept:
				return fmt.Sprintf("%s\nhas no task on %s: %+v", said, p.Node, p)
			case at < 0:
			case kept:
				return fmt.Sprintf("%s\nhas a task on %s: %+v", said, p.Node, p)
			case p.Fits != (after.Tasks[at].State != "pending"):
				return fmt.Sprintf("%s\n%+v, and its task is %+v", said, p, after.Tasks[at])
			case !p.Fits && after.Tasks[at].Error != words([]report.Placement{p}):
				return fmt.Sprintf("%s\nthe scheduler says %q of %s, not %q", said, after.Tasks[at].Error, p.Node, words([]report.Placement{p}))
			case p.Fits:
				w.placed++
			}
		}
		return ""
	})
}

// agrees compares what the scheduler says of pending tasks with the verdicts; empty
// where it is the same. The others have to be on a node.
func (w *whyRun) agrees(r report.Why) string {
	for _, task := range r.Tasks {
		want := "no suitable node (" + words(r.Placements) + ")"
		switch {
		case task.Node == "" && task.Error != want:
			return fmt.Sprintf("%s: the scheduler says %q, and not %q", task.Name, task.Error, want)
		case task.Node == "" && slices.ContainsFunc(r.Placements, func(p report.Placement) bool { return p.Fits }):
			return fmt.Sprintf("%s is pending, and a node fits: %+v", task.Name, r.Placements)
		}
	}
	return ""
}

// words are the scheduler's for these verdicts: each node is counted under the first
// filter that fails, and the filter that fails most often is named first.
func words(list []report.Placement) string {
	type count struct {
		one, many string
		nodes     int
	}
	order := []placement.Filter{placement.FilterReady, placement.FilterResources, placement.FilterPlugins, placement.FilterConstraints, placement.FilterPlatform, placement.FilterHostPorts, placement.FilterMaxReplicas}
	counts := []count{
		{"1 node not available for new tasks", "%d nodes not available for new tasks", 0},
		{"insufficient resources on 1 node", "insufficient resources on %d nodes", 0},
		{"missing plugin on 1 node", "missing plugin on %d nodes", 0},
		{"scheduling constraints not satisfied on 1 node", "scheduling constraints not satisfied on %d nodes", 0},
		{"unsupported platform on 1 node", "unsupported platform on %d nodes", 0},
		{"host-mode port already in use on 1 node", "host-mode port already in use on %d nodes", 0},
		{"max replicas per node limit exceed", "max replicas per node limit exceed", 0},
	}
	for _, p := range list {
		if len(p.Reasons) > 0 {
			counts[slices.Index(order, p.Reasons[0].Filter)].nodes++
		}
	}
	slices.SortStableFunc(counts, func(a, b count) int { return b.nodes - a.nodes })
	var out []string
	for _, c := range counts {
		switch {
		case c.nodes == 1:
			out = append(out, c.one)
		case c.nodes > 1:
			out = append(out, strings.Replace(c.many, "%d", fmt.Sprint(c.nodes), 1))
		}
	}
	return strings.Join(out, "; ")
}
