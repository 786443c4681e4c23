package session_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session"
)

// What a new lab must not have is read from the labs and from the machine.
func TestTakenNetworks(t *testing.T) {
	set := settings(t, lab.DriverVagrant)
	s := open(t, set)
	unlock := lock(t, s)
	if err := s.Enter(); err != nil {
		t.Fatal(err)
	}
	unlock()
	taken := set.Taken()
	if !slices.ContainsFunc(taken, func(n session.Taken) bool { return n.Contains(netip.MustParseAddr("127.0.0.1")) }) {
		t.Error("no link of this machine is the loopback")
	}
	want := "lab small in " + s.Place().Root + " has 10.20.77.0/24"
	if got := session.Whose(netip.MustParsePrefix("10.20.0.0/16"), taken); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := session.Whose(netip.MustParsePrefix("203.0.113.0/24"), taken); got != "" {
		t.Error(got)
	}
}
