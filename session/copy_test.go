package session_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session"
)

func TestCopiesAsARunbook(t *testing.T) {
	state, err := lab.OpenState("/home/ana", "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	const scp = "scp -F /home/ana/.dcalab/dca/ssh_config -p "
	for name, c := range map[string]struct {
		transfers session.Transfers
		recursive bool
		want      []string
	}{
		"to the home of a node": {session.Transfers{{To: "node01", Source: "a"}}, false, []string{scp + "a node01:"}},
		"several files":         {session.Transfers{{To: "node01", Source: "a", Into: true}}, false, []string{scp + "a node01:"}},
		"several to a folder":   {session.Transfers{{To: "node01", Source: "a", Target: "/tmp", Into: true}}, false, []string{scp + "a node01:/tmp/"}},
		"between nodes":         {session.Transfers{{From: "master", To: "node01", Source: "a", Target: "b"}}, false, []string{scp + "-3 master:a node01:b"}},
		"a folder of each":      {session.Transfers{{From: "master", Source: "/etc", Target: "x/master", Each: true}}, true, []string{"mkdir -p x/master", scp + "-r master:/etc x/master/"}},
		"a colon in a name":     {session.Transfers{{To: "node01", Source: "a:b"}}, false, []string{scp + "./a:b node01:"}},
		"a colon in a path":     {session.Transfers{{To: "node01", Source: "/a:b"}, {To: "node01", Source: "a/b:c"}}, false, []string{scp + "/a:b node01:", scp + "a/b:c node01:"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			_, typed := c.transfers.Plan(state.SSHConfig(), c.recursive)
			for _, line := range typed {
				got = append(got, line.Text)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTransfersAreSpreadOverNodes(t *testing.T) {
	s := open(t, settings(t, lab.DriverVagrant))
	here := func(path string) session.Location { return session.Location{Path: path} }
	at := func(node, path string) session.Location {
		return session.Location{Remote: true, Node: node, Path: path}
	}
	for name, c := range map[string]struct {
		sources []session.Location
		target  session.Location
		want    session.Transfers
	}{
		"to one": {[]session.Location{here("a"), here("b")}, at("m1", "/tmp"),
			session.Transfers{{To: "m1", Source: "a", Target: "/tmp", Into: true}, {To: "m1", Source: "b", Target: "/tmp", Into: true}}},
		"to each":   {[]session.Location{here("a")}, at("", ""), session.Transfers{{To: "m1", Source: "a"}, {To: "w1", Source: "a"}}},
		"from each": {[]session.Location{at("", "log")}, here("."), session.Transfers{{From: "m1", Source: "log", Target: "m1", Each: true}, {From: "w1", Source: "log", Target: "w1", Each: true}}},
		"each for itself": {[]session.Location{at("", "a")}, at("", "b"),
			session.Transfers{{From: "m1", To: "m1", Source: "a", Target: "b"}, {From: "w1", To: "w1", Source: "a", Target: "b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Transfers(c.sources, c.target, s.Lab().Nodes)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	_, err := s.Transfers([]session.Location{here("a")}, at("m2", "b"), nil)
	wantTrouble(t, err, "unknown-node")
}
