package session_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
)

// A real lab of one node, from nothing to nothing, held by nothing else than a
// session.
func TestALabWithoutACommandLine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	set := settings(t, lab.DriverSandbox)
	const second = "      - {name: w1, role: worker, ip: 10.20.77.12}\n"
	set.Builtin = []byte(strings.Replace(labs, second, "", 1))
	s := open(t, set)
	if !s.Driver().Traits().NeedsRoot {
		t.Error("the sandbox needs no root")
	}
	unlock := lock(t, s)
	t.Cleanup(func() {
		if err := s.Driver().Destroy(context.Background(), machine.Observer{}); err != nil {
			t.Errorf("destroy: %v", err)
		}
	})
	if err := s.Enter(); err != nil {
		t.Fatal(err)
	}
	if err := s.Driver().Preflight(ctx); err != nil {
		t.Skip(err) // no runc, for example
	}
	up := func(endpoint node.Endpoint) {
		conn, _, err := provision.Prepare(ctx, endpoint, s.DialOptions(), provision.Want{
			Engine: s.Lab().Engine, Hostname: s.Lab().Hostname(s.Lab().Nodes[0]), Address: s.Lab().Nodes[0].IP,
		}, func(string) {})
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}
	if err := s.Driver().Up(ctx, machine.Observer{Ready: up}); err != nil {
		t.Fatal(err)
	}
	unlock()

	// Another one, as a page or a drill would open it.
	other := open(t, set)
	if err := other.MustExist(); err != nil {
		t.Fatal(err)
	}
	machines, err := other.Driver().Status(ctx)
	if err != nil || machines["m1"] != machine.StatusRunning {
		t.Errorf("%v: %v", machines, err)
	}
	conn, err := other.Conn(ctx, "m1")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := conn.Run(ctx, "hostname", nil); err != nil || strings.TrimSpace(string(r.Stdout)) != "m1.small.example" {
		t.Errorf("%+v: %v", r, err)
	}
	v, engines, err := other.Observe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer engines.Close()
	if n, ok := v.Node("m1"); !ok || n.State != swarm.StateInactive || n.Err != nil {
		t.Errorf("%+v", n)
	}
	if _, err := engines.Cluster(swarm.Options{}).Converge(ctx, other.Lab(), swarm.PlanOptions{}); err != nil {
		t.Fatal(err)
	}
	nodes, err := other.Select(ctx, session.Selector{Leader: true})
	if err != nil || len(nodes) != 1 || nodes[0].Name != "m1" {
		t.Errorf("the leader is %v: %v", nodes, err)
	}
	ready, _ := swarm.Named("ready", other.Lab())
	again := other.Unconnected()
	defer again.Close()
	if v, err := again.Await(ctx, time.Minute, nil, swarm.HasLeader(), ready); err != nil || v.Leader != "m1" {
		t.Errorf("the leader is %q: %v", v.Leader, err)
	}
	if r, err := conn.Run(ctx, "docker service create -q -d --name web --no-resolve-image --replicas 2 --publish 8080:80 localhost/none:1", nil); err != nil || r.Exit != 0 {
		t.Errorf("%+v: %v", r, err)
	}
	status, err := report.Observe(ctx, other, report.Options{})
	if err != nil || status.Leader() != "m1" || status.Nodes[0].CertificateDaysLeft == nil || len(status.Unmet(other.Lab())) > 0 {
		t.Errorf("%+v, unmet %q: %v", status, status.Unmet(other.Lab()), err)
	}
	if len(status.Services) != 1 || !slices.Equal(status.Services[0].Cells(), []string{"web", "replicated", "0/2", "localhost/none:1", "*:8080->80/tcp"}) || len(status.Ports) != 1 {
		t.Errorf("%+v, %+v", status.Services, status.Ports)
	}
}
