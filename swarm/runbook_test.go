package swarm

import (
	"context"
	"flag"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
)

var update = flag.Bool("update", false, "write the golden files anew")

// typed is a runbook in short: where, what, and the remark's values.
func typed(l runbook.Runbook) string {
	var b strings.Builder
	for _, c := range l {
		b.WriteString(c.Node + "$ " + c.Text)
		for _, what := range []string{c.Asks, c.Gives, c.Until} {
			if what != "" {
				b.WriteString(" -> " + what)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func unlocking(v View) []Step { return PlanUnlock(v, "").Steps() }

// Every kind of step has its commands: a kind that is new here comes without.
func TestEveryKindIsTaught(t *testing.T) {
	expiry, history, lock := 36*time.Hour, 3, true
	rows := []struct {
		name  string
		roles string
		play  func(*world)
		steps func(v View) []Step
		want  string
	}{
		{name: "await-quorum", roles: "mmm", play: formed, steps: func(View) []Step { return []Step{awaitQuorumStep{}} }, want: `
			n1$ docker node ls --format '{{.ManagerStatus}}' -> Leader`},
		{name: "wait", roles: "mw", play: formed, steps: func(View) []Step { return []Step{waitStep{on: "n2"}} }, want: `
			n2$ docker info --format '{{.Swarm.LocalNodeState}}' -> active`},
		{name: "unlock", roles: "mmm", play: func(w *world) { formed(w); w.autolock(0); w.restart(2) }, steps: unlocking, want: `
			n1$ docker swarm unlock-key --quiet -> <unlock-key>
			n3$ docker swarm unlock -> <unlock-key>`},
		{name: "unlock, and nobody has the key", roles: "m", play: func(w *world) { formed(w); w.autolock(0); w.restart(0) }, steps: unlocking, want: `
			n1$ docker swarm unlock -> <unlock-key>`},
		{name: "drop-entry", roles: "mw", play: formed, steps: func(v View) []Step { return []Step{removeEntryStep{"n2", v.Nodes[1].NodeID, false}} }, want: `
			n1$ docker node rm --force n2.lab.example`},
		{name: "drop-entry of a manager that is no more", roles: "mmm", play: func(w *world) { formed(w); _ = w.engines[2].Leave(context.Background(), true) },
			steps: func(v View) []Step { return []Step{removeEntryStep{"n3", v.Stale[0].ID, true}} }, want: `
			n1$ docker node demote n3.lab.example
			n1$ docker node inspect --format '{{.ManagerStatus}}' n3.lab.example -> <nil>
			n1$ docker node rm --force n3.lab.example`},
		{name: "leave", roles: "mw", play: formed, steps: func(View) []Step { return []Step{leaveStep{on: "n2"}, leaveStep{on: "n1"}} }, want: `
			n2$ docker swarm leave
			n1$ docker swarm leave --force`},
		{name: "init", roles: "m", steps: func(View) []Step {
			return []Step{initStep{on: "n1", Options: engine.InitOptions{Advertise: "10.20.20.11", TaskHistory: 0, CertExpiry: 90 * time.Minute, SubnetSize: 26, DataPathPort: 7789, Autolock: true, Availability: engine.AvailabilityDrain}}}
		}, want: `
			n1$ docker swarm init --advertise-addr 10.20.20.11 --default-addr-pool-mask-length 26 --data-path-port 7789 --cert-expiry 1h30m0s --task-history-limit 0 --availability drain --autolock`},
		{name: "init, as Docker does it", roles: "m", steps: func(View) []Step {
			return []Step{initStep{on: "n1", Options: engine.InitOptions{Advertise: "10.20.20.11", TaskHistory: 5, CertExpiry: 2160 * time.Hour, SubnetSize: 24, DataPathPort: 4789, Availability: engine.AvailabilityActive}}}
		}, want: `
			n1$ docker swarm init --advertise-addr 10.20.20.11`},
		{name: "join", roles: "mwm", play: func(w *world) { w.init(0) }, steps: func(View) []Step {
			return []Step{joinStep{"n2", engine.RoleWorker, "10.20.20.12", engine.AvailabilityPause}, joinStep{"n3", engine.RoleManager, "10.20.20.13", ""}}
		}, want: `
			n1$ docker swarm join-token --quiet worker -> <worker-token>
			n1$ docker swarm join-token --quiet manager -> <manager-token>
			n2$ docker swarm join --token <worker-token> --advertise-addr 10.20.20.12 --availability pause 10.20.20.11:2377
			n3$ docker swarm join --token <manager-token> --advertise-addr 10.20.20.13 10.20.20.11:2377`},
		{name: "promote", roles: "mw", play: formed, steps: func(v View) []Step { return []Step{promoteStep{on: "n2", ID: v.Nodes[1].NodeID}} }, want: `
			n1$ docker node promote n2.lab.example
			n1$ docker node inspect --format '{{.Status.State}} {{.ManagerStatus.Reachability}}' n2.lab.example -> ready reachable`},
		{name: "demote the leader: somebody else is asked", roles: "mmm", play: formed, steps: func(v View) []Step {
			return []Step{demoteStep{"n1", v.Nodes[0].NodeID}, demoteStep{"n2", v.Nodes[1].NodeID}}
		}, want: `
			n3$ docker node demote n1.lab.example
			n1$ docker info --format '{{.Swarm.ControlAvailable}}' -> false
			n3$ docker node demote n2.lab.example
			n2$ docker info --format '{{.Swarm.ControlAvailable}}' -> false`},
		{name: "demote one that does not answer", roles: "mmm", play: func(w *world) { formed(w); w.halt(2) }, steps: func(v View) []Step { return []Step{demoteStep{"n3", v.Nodes[2].NodeID}} }, want: `
			n1$ docker node demote n3.lab.example
			n1$ docker node inspect --format '{{.ManagerStatus}}' n3.lab.example -> <nil>`},
		{name: "update", roles: "mw", play: formed, steps: func(v View) []Step {
			return []Step{
				updateStep{"n2", v.Nodes[1].NodeID, map[string]string{"b": "x y", "a": "1"}, engine.AvailabilityDrain},
				labelStep{"n2", v.Nodes[1].NodeID, map[string]string{"c": ""}, []string{"a", "b"}},
				availabilityStep{"n1", v.Nodes[0].NodeID, engine.AvailabilityPause},
			}
		}, want: `
			n1$ docker node update --label-add a=1 --label-add 'b=x y' --availability drain n2.lab.example
			n1$ docker node update --label-add c= --label-rm a --label-rm b n2.lab.example
			n1$ docker node update --availability pause n1.lab.example`},
		{name: "update of a node whose host name another entry has", roles: "mw", play: func(w *world) {
			formed(w)
			_ = w.engines[1].Leave(context.Background(), true)
		}, steps: func(View) []Step {
			return []Step{joinStep{"n2", engine.RoleWorker, "10.20.20.12", ""}, updateStep{on: "n2", Labels: map[string]string{"a": "1"}}}
		}, want: `
			n1$ docker swarm join-token --quiet worker -> <worker-token>
			n2$ docker swarm join --token <worker-token> --advertise-addr 10.20.20.12 10.20.20.11:2377
			n2$ docker info --format '{{.Swarm.NodeID}}' -> <n2-id>
			n1$ docker node inspect --format '{{.Status.State}}' <n2-id> -> ready
			n1$ docker node update --label-add a=1 <n2-id>`},
		{name: "configure", roles: "m", play: formed, steps: func(View) []Step {
			return []Step{configureStep{Want: settings{CertExpiry: &expiry, TaskHistory: &history, Autolock: &lock}}}
		}, want: `
			n1$ docker swarm update --cert-expiry 36h --task-history-limit 3 --autolock=true`},
		{name: "rotate the CA", roles: "m", play: formed, steps: func(View) []Step { return []Step{rotateCAStep{}} }, want: `
			n1$ docker swarm ca --rotate`},
		{name: "drain", roles: "mw", play: formed, steps: func(v View) []Step { return []Step{emptyStep{"n2", v.Nodes[1].NodeID}} }, want: `
			n1$ docker node ps --format '{{.CurrentState}}' n2.lab.example | grep -c Running -> 0`},
		{name: "await: what is so already is not waited for", roles: "mmw", play: func(w *world) { w.init(0); w.join(1, 0, engine.RoleManager) }, steps: func(View) []Step {
			return []Step{joinStep{"n3", engine.RoleWorker, "10.20.20.13", ""}, awaitStep{Ready: []string{"n1", "n2", "n3"}, Reachable: []string{"n1", "n2"}}}
		}, want: `
			n1$ docker swarm join-token --quiet worker -> <worker-token>
			n3$ docker swarm join --token <worker-token> --advertise-addr 10.20.20.13 10.20.20.11:2377
			n1$ docker node inspect --format '{{.Status.State}}' n3.lab.example -> ready`},
	}
	taught := map[Kind]bool{}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(testLab(tt.roles))
			if tt.play != nil {
				tt.play(w)
			}
			v := observe(t.Context(), w.targets())
			steps := tt.steps(v)
			if got, want := typed(v.Runbook(steps)), lines(tt.want); got != want {
				t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
			}
			for _, s := range steps {
				// On its own, too, a step is nothing without a command.
				taught[s.Kind()] = taught[s.Kind()] || len(v.Runbook([]Step{s})) > 0
			}
		})
	}
	for _, k := range kinds(t) {
		// An await by itself, of nodes that are ready, has nothing to wait for.
		if !taught[k] && k != KindAwait {
			t.Errorf("nothing is typed for a step of the kind %q", k)
		}
	}
}

// kinds reads the kinds of steps from their declaration.
func kinds(t *testing.T) []Kind {
	t.Helper()
	f, err := parser.ParseFile(gotoken.NewFileSet(), "steps.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []Kind
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Kind" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, Kind(value))
		}
		return true
	})
	if len(out) < 10 {
		t.Fatalf("only %d kinds were found", len(out))
	}
	return out
}

// The whole runbook of a fresh swarm, as it is printed; of machines that are
// only to be made it is the same.
func TestRunbookOfABootstrap(t *testing.T) {
	l := testLab("mmwmw-")
	l.Nodes[2].Labels = map[string]string{"zone": "east", "rack": "A 1"}
	l.Nodes[4].Availability = lab.AvailabilityDrain
	l.Swarm.TaskHistory = 2
	w := newWorld(l)
	targets := w.targets()
	gone := slices.Clone(targets)
	var names []string
	for i := range gone {
		gone[i].Engine, gone[i].Unreachable = nil, ErrAbsent
		names = append(names, gone[i].Name)
	}
	for name, v := range map[string]View{"fresh": observe(t.Context(), targets), "to be made": observe(t.Context(), gone).AssumeCreated(names...)} {
		plan, err := PlanBootstrap(l, v, PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := plan.Runbook.Write(&b, func(node string) string { return runbook.Line("vagrant", "ssh", node) }); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "bootstrap.runbook")
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}

// What was done is what the plan said, in several rounds too; and no runbook
// has a secret in it.
func TestRunbookOfWhatWasDone(t *testing.T) {
	w, plan, err := planFor("mmww", nil, func(w *world) { w.init(0) })
	if err != nil {
		t.Fatal(err)
	}
	res, err := bootstrap(t.Context(), w.lab, w.targets(), how{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(typed(plan.Runbook), typed(res.Runbook)); diff != "" {
		t.Errorf("plan (-), done (+):\n%s", diff)
	}
	again, err := bootstrap(t.Context(), w.lab, w.targets(), how{})
	if err != nil || len(again.Runbook) > 0 {
		t.Errorf("%v, nothing to do is taught as\n%s", err, typed(again.Runbook))
	}
	dissolved, err := dissolve(t.Context(), w.targets(), how{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := typed(dissolved.Runbook), lines(`
		n3$ docker swarm leave
		n4$ docker swarm leave
		n1$ docker node demote n2.lab.example
		n2$ docker info --format '{{.Swarm.ControlAvailable}}' -> false
		n2$ docker swarm leave
		n1$ docker swarm leave --force`); got != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}
	for _, l := range []runbook.Runbook{plan.Runbook, res.Runbook, dissolved.Runbook} {
		if slices.ContainsFunc(l, func(c runbook.Command) bool {
			return strings.Contains(c.Text, "SWMTKN") || strings.Contains(c.Text, "SWMKEY")
		}) {
			t.Errorf("a secret:\n%s", typed(l))
		}
	}
}
