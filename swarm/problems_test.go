package swarm

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// agesNow is when the tests of ages happen.
var agesNow = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func certificateFor(tb testing.TB, from, until time.Time) []byte {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestValidityIsThatOfTheNodesOwnCertificate(t *testing.T) {
	from, until := agesNow.Add(-time.Hour), agesNow.Add(time.Hour)
	own := certificateFor(t, from, until)
	authority := certificateFor(t, from.AddDate(-1, 0, 0), until.AddDate(19, 0, 0))
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	for name, c := range map[string]struct {
		raw []byte
		ok  bool
	}{
		"alone":               {own, true},
		"with its authority":  {slices.Concat(own, authority), true},
		"after something":     {slices.Concat([]byte("kek-version: 1\n"), key, own), true},
		"nothing":             {nil, false},
		"no certificate":      {key, false},
		"half of one":         {own[:len(own)/2], false},
		"one that is no X509": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), false},
	} {
		t.Run(name, func(t *testing.T) {
			v, ok := ValidityOf(c.raw)
			if ok != c.ok || ok && (!v.From.Equal(from) || !v.Until.Equal(until)) {
				t.Errorf("%v, %v", v, ok)
			}
		})
	}
}

func FuzzValidityOf(f *testing.F) {
	f.Add(certificateFor(f, agesNow, agesNow.Add(time.Hour)))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, ok := ValidityOf(raw); ok && !bytes.Contains(raw, []byte("CERTIFICATE")) {
			t.Error("a certificate out of nothing")
		}
	})
}

func TestDaysLeftOfACertificateThatWasJustIssued(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]int{
		90*24*time.Hour + 30*time.Second: 90, // rounded up to the minute when it was issued
		90*24*time.Hour - 30*time.Second: 90, // rounded down
		90*24*time.Hour - 10*time.Minute: 90,
		89 * 24 * time.Hour:              89,
		time.Hour:                        0,
		0:                                0,
		-48 * time.Hour:                  0,
	} {
		if got := (Validity{Until: now.Add(left)}).DaysLeft(now); got != want {
			t.Errorf("%v left: %d days, want %d", left, got, want)
		}
	}
}

func TestAgesLeaveOutWhoCannotBeAsked(t *testing.T) {
	raw := certificateFor(t, agesNow, agesNow.Add(time.Hour))
	read := func(raw []byte, err error) Disk {
		return modelDisk{certificate: func(context.Context) ([]byte, error) { return raw, err }}
	}
	ages := New([]Target{
		{Node: Node{Name: "good"}, Disk: read(raw, nil)},
		{Node: Node{Name: "halted"}},
		{Node: Node{Name: "none"}, Disk: read(nil, fs.ErrNotExist)},
		{Node: Node{Name: "garbage"}, Disk: read([]byte("garbage"), nil)},
	}, Options{}).Ages(t.Context())
	if len(ages) != 1 || !ages["good"].Until.Equal(agesNow.Add(time.Hour)) {
		t.Errorf("%v", ages)
	}
}

// aging is a swarm of three managers, m1 to m3, and a worker w, in full health.
func aging(change func(v *View, node func(string) *NodeView)) View {
	v := View{Cluster: "c", Quorum: QuorumOf(3, 3), Settings: &engine.SwarmSettings{CertExpiry: 2160 * time.Hour}}
	var peers []engine.Peer
	for i, name := range []string{"m1", "m2", "m3", "w"} {
		n := NodeView{Name: name, Addr: netip.AddrFrom4([4]byte{10, 20, 20, byte(i + 1)}), State: StateMember, Cluster: "c", Role: lab.RoleManager, Control: true}
		if name == "w" {
			n.Role, n.Control = lab.RoleWorker, false
		} else {
			peers = append(peers, engine.Peer{ID: name, Addr: n.Addr.String() + ":2377"})
		}
		v.Nodes = append(v.Nodes, n)
	}
	v.facts = make([]fact, len(v.Nodes))
	if change != nil {
		change(&v, func(name string) *NodeView {
			return &v.Nodes[slices.IndexFunc(v.Nodes, func(n NodeView) bool { return n.Name == name })]
		})
	}
	for i, n := range v.Nodes {
		if n.State == StateUnreachable {
			// What nobody without a leader tells.
			v.Nodes[i].Role, v.Nodes[i].Cluster, v.Nodes[i].Control = "", "", false
		} else {
			v.facts[i].info.Remotes = peers
		}
	}
	return v
}

func TestDiagnose(t *testing.T) {
	const day = 24 * time.Hour
	noQuorum := func(v *View, reachable int) {
		v.Quorum = QuorumOf(3, reachable)
		v.Quorum.HasQuorum = false
		for i := range v.Nodes {
			v.Nodes[i].Leader = false
		}
	}
	for name, c := range map[string]struct {
		change func(v *View, node func(string) *NodeView)
		// left of each node's certificate, in its order; 60 days where none is
		// given.
		left map[string]time.Duration
		ids  []string
		why  []string // of the first
		fix  []string // of the first, how each line begins
	}{
		"all is well": {},
		"twenty days left": {
			left: map[string]time.Duration{"m1": 20 * day},
		},
		"a little less": {
			left: map[string]time.Duration{"m1": 20*day - time.Minute, "w": 40 * time.Minute},
			ids:  []string{"certificates-short"},
			why:  []string{"certificates of m1, w will expire (the first) in 40 minutes (2026-06-01 12:40 UTC)"},
			fix:  []string{"dcalab swarm ca rotate"},
		},
		"a lab of short certificates": {
			change: func(v *View, _ func(string) *NodeView) { v.Settings.CertExpiry = time.Hour },
			left:   map[string]time.Duration{"m2": time.Hour},
			ids:    []string{"certificates-short"},
			why:    []string{"certificate of m2 will expire in 60 minutes"},
			fix:    []string{"dcalab swarm bootstrap    # after cert_expiry: 90d in labs.yaml", "dcalab swarm ca rotate"},
		},
		"short, and no quorum": {
			change: func(v *View, node func(string) *NodeView) {
				noQuorum(v, 1)
				node("m2").State, node("m3").State = StateUnreachable, StateUnreachable
			},
			left: map[string]time.Duration{"m1": day},
			ids:  []string{"certificates-short", "managers-lost"},
			fix:  []string{"bring the swarm back before then: dcalab start"},
		},
		"a worker slept too long": {
			change: func(_ *View, node func(string) *NodeView) { node("w").State = StateError },
			left:   map[string]time.Duration{"w": -3 * day},
			ids:    []string{"certificates-expired"},
			why:    []string{"the swarm certificate of w expired 3 days ago"},
			fix:    []string{"dcalab swarm bootstrap"},
		},
		"expired under a running engine": {
			left: map[string]time.Duration{"w": -time.Minute},
			ids:  []string{"certificates-expired"},
			why:  []string{"1 minute ago"},
			fix:  []string{"for w: dcalab ssh NODE -- sudo service docker restart", "dcalab swarm bootstrap"},
		},
		"the whole lab slept too long": {
			change: func(v *View, _ func(string) *NodeView) {
				noQuorum(v, 0)
				for i := range v.Nodes {
					v.Nodes[i].State, v.Nodes[i].Control = StateError, false
				}
			},
			left: map[string]time.Duration{"m1": -day, "m2": -2 * day, "m3": -day, "w": -day},
			ids:  []string{"certificates-expired"},
			why:  []string{"m1, m2, m3, w", "(the first) 2 days ago"},
			fix:  []string{recoverFix},
		},
		"two of three managers slept too long": {
			change: func(v *View, node func(string) *NodeView) {
				noQuorum(v, 1)
				node("m1").State, node("m2").State = StateError, StateError
			},
			left: map[string]time.Duration{"m1": -day, "m2": -day},
			ids:  []string{"certificates-expired"},
			fix:  []string{recoverFix},
		},
		"two of three managers are halted": {
			change: func(v *View, node func(string) *NodeView) {
				noQuorum(v, 1)
				node("m2").State, node("m3").State = StateUnreachable, StateUnreachable
			},
			ids: []string{"managers-lost"},
			why: []string{"quorum lost: 1 of 3 managers reachable, 2 required", "halted or unreachable: m2, m3"},
			fix: []string{"dcalab start m2 m3", "if they are lost for good: dcalab destroy --force m2 m3, then dcalab swarm recover"},
		},
		"two of three managers are destroyed": {
			change: func(v *View, node func(string) *NodeView) {
				noQuorum(v, 1)
				for _, n := range []string{"m2", "m3"} {
					node(n).State, node(n).Err = StateUnreachable, fmt.Errorf("x: %w", ErrAbsent)
				}
			},
			ids: []string{"managers-lost"},
			why: []string{"destroyed: m2, m3", "the majority cannot come back"},
			fix: []string{recoverFix, "dcalab up --swarm    # recreates m2, m3"},
		},
		"an engine is down, and one is locked": {
			change: func(v *View, node func(string) *NodeView) {
				noQuorum(v, 1)
				node("m2").State, node("m3").State = StateEngineDown, StateLocked
			},
			ids: []string{"managers-lost"},
			fix: []string{"dcalab ssh m2 -- sudo service docker start", "dcalab swarm unlock", "if they are lost for good"},
		},
		"all that a majority waits for is the key": {
			change: func(v *View, node func(string) *NodeView) {
				noQuorum(v, 1)
				node("m1").Control, node("m2").State, node("m3").State = true, StateLocked, StateUnreachable
			},
			ids: []string{"managers-lost"},
			why: []string{"locked: 1 of 3 managers wait for the unlock key"},
			fix: []string{"dcalab start m3", "dcalab swarm unlock", "if they are lost for good"},
		},
		"one does not answer while a leader is elected": {
			change: func(v *View, node func(string) *NodeView) {
				noQuorum(v, 1)
				node("m2").State, node("m3").State, node("m3").Err = StateUnreachable, StateEngineDown, context.DeadlineExceeded
			},
			ids: []string{"managers-lost"},
			why: []string{"no answer from the engine, as during an election: m3"},
			fix: []string{"dcalab start m2", "look again in 20 s: dcalab status", "if they are lost for good"},
		},
		"all run and do not reach each other": {
			change: func(v *View, _ func(string) *NodeView) { noQuorum(v, 3) },
			ids:    []string{"election"},
			why:    []string{"election in progress", "3 of 3 managers answer, 2 required"},
			fix:    []string{"look again", "if it does not end, they cannot reach each other on TCP port 2377: dcalab ssh m1 -- ping -c 1 10.20.20.3"},
		},
		"there is no swarm": {
			change: func(v *View, _ func(string) *NodeView) { *v = View{} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := aging(c.change)
			ages := map[string]Validity{}
			for _, n := range v.Nodes {
				if n.State != StateUnreachable {
					ages[n.Name] = Validity{Until: agesNow.Add(60 * day)}
				}
			}
			for n, left := range c.left {
				ages[n] = Validity{Until: agesNow.Add(left)}
			}
			got := Diagnose(v, ages, agesNow)
			var ids []string
			for _, a := range got {
				ids = append(ids, a.ID)
			}
			if !slices.Equal(ids, c.ids) {
				t.Fatalf("%v, want %v:\n%+v", ids, c.ids, got)
			}
			if len(got) == 0 {
				return
			}
			for _, part := range c.why {
				if !strings.Contains(got[0].Cause, part) {
					t.Errorf("%q does not say %q", got[0].Cause, part)
				}
			}
			if len(c.fix) > 0 && !slices.EqualFunc(got[0].Fix, c.fix, strings.HasPrefix) {
				t.Errorf("to fix it:\n%s\nwant\n%s", strings.Join(got[0].Fix, "\n"), strings.Join(c.fix, "\n"))
			}
		})
	}
}

func TestAManagerThatIsGoneIsKnownByItsPeers(t *testing.T) {
	v := aging(func(_ *View, node func(string) *NodeView) {
		node("m3").State, node("m3").Err = StateUnreachable, errors.New("halted")
	})
	if got := nodeNames(v.managers()); !slices.Equal(got, []string{"m1", "m2", "m3"}) {
		t.Errorf("%v", got)
	}
}

// While the only manager that is left hangs, as it does for some seconds after
// the others went, nobody tells how many there are but labs.yaml.
func TestManagersOfWhomNobodyTells(t *testing.T) {
	w := newWorld(testLab("mmmw"))
	formed(w)
	for _, at := range []int{0, 1, 3} {
		w.halt(at)
	}
	targets := w.targets()
	targets[2].Engine = hanging{}
	v := observe(t.Context(), targets)
	if v.Quorum.Managers != 3 || v.Quorum.Reachable != 0 || v.Quorum.HasQuorum {
		t.Errorf("quorum: %+v", v.Quorum)
	}
	found := Diagnose(v, nil, agesNow)
	if len(found) != 1 || !strings.Contains(found[0].Cause, "0 of 3 managers reachable, 2 required") || strings.Contains(found[0].Cause, "not told") {
		t.Errorf("found %+v", found)
	}
}
