package report_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
)

// What is told of a lab that was never made, without a command line. (That of a
// real one is in package session's test.)
func TestALabThatWasNeverMade(t *testing.T) {
	state := t.TempDir()
	set := session.Settings{
		Dir: t.TempDir(), Driver: session.Choice{Value: lab.DriverSandbox}, Builtin: []byte(`version: 1
labs:
  small:
    subnet: 10.20.77.0/24
    nodes:
      - {name: m1, role: manager, ip: 10.20.77.11}
      - {name: w1, role: worker, ip: 10.20.77.12}
`),
		Getenv: func(key string) string {
			if key == "XDG_STATE_HOME" {
				return state
			}
			return os.Getenv(key)
		},
	}
	s, err := session.Open(set)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	status, err := report.Observe(t.Context(), s, report.Options{Nodes: []string{"w1"}})
	if err != nil || len(status.Nodes) != 1 || status.Nodes[0].Machine != machine.StatusAbsent || status.Nodes[0].IP != "10.20.77.12" {
		t.Errorf("%+v: %v", status.Nodes, err)
	}
	if got, want := status.QuorumLine(), "no swarm yet: dcalab up --swarm"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	beliefs, err := report.ObserveBeliefs(t.Context(), s)
	if err != nil || beliefs.Verdict(time.Now()) != "no manager answers" {
		t.Errorf("%+v: %v", beliefs, err)
	}
	labs, err := report.List(t.Context(), set, false, func(session.Entry) string { return "reach" })
	if err != nil || len(labs.Labs) != 1 || labs.Labs[0].State != "absent" || labs.Labs[0].Command != "reach" {
		t.Errorf("%+v: %v", labs, err)
	}
	if _, err := report.ObserveLabels(t.Context(), s, []string{"w1"}); err == nil {
		t.Error("nobody told the labels, and it is no error")
	}
	var unmet *swarm.UnmetError
	if _, err := s.Unconnected().Await(t.Context(), time.Millisecond, nil, swarm.HasLeader()); !errors.As(err, &unmet) {
		t.Errorf("it is waited for: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	live := report.NewLive(func() (*session.Session, error) { return session.Open(set) }, report.Options{})
	seen, err := live.Look(ctx)
	cancel()
	live.Close()
	if err != nil || len(seen.Status.Nodes) != 2 || seen.Told {
		t.Errorf("%+v: %v", seen, err)
	}
}
