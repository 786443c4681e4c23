package swarm

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// fact is what one node said, before it is put together with what the others
// said.
type fact struct {
	// err is why the engine said nothing; reached tells whether it was the
	// engine (true) or the machine that did not answer.
	err     error
	reached bool
	info    engine.Info
	// nodes is the swarm's list, on a manager with a leader (listed).
	nodes    []engine.Node
	listed   bool
	nodesErr error
	// cert is what the node's certificate says; noCert that it has none, which
	// is not the same as one that could not be read.
	cert   identity
	noCert bool
	// aside: a manager's data is on the disk of an engine that is in no swarm; noAside is
	// why that is not known.
	aside   bool
	noAside error
}

func (f fact) answered() bool { return f.err == nil }

// identity is the subject of a swarm certificate (swarmkit, ca/certificates.go:
// the organization is the swarm, the unit the role, the common name the node).
type identity struct {
	Cluster string
	NodeID  string
	Role    lab.Role
}

// probeAll asks all targets at once. Disks are read in a second round,
// only of those nodes whose swarm no list tells: with nothing to do there is
// none.
func probeAll(ctx context.Context, targets []Target) []fact {
	facts := make([]fact, len(targets))
	each(len(targets), func(i int) { facts[i] = probe(ctx, targets[i]) })
	cert := make([]bool, len(targets))
	again := false
	// Where a manager tells of a swarm, none is made anew.
	listed := slices.ContainsFunc(facts, func(f fact) bool { return f.listed })
	for i, f := range facts {
		cert[i] = targets[i].Disk != nil && needsCertificate(f, facts)
		again = again || f.answered() && f.info.NodeID != "" && clusterListing(f.info.NodeID, facts) == ""
	}
	each(len(targets), func(i int) {
		if cert[i] {
			facts[i].cert, facts[i].noCert = readCertificate(ctx, targets[i])
		}
		if f := &facts[i]; !listed && targets[i].Disk != nil && f.answered() && f.info.State == engine.StateInactive {
			f.aside, f.noAside = targets[i].Disk.IsAside(ctx)
		}
		// A node that no list holds may have joined after the list was read:
		// before it is called removed, the list is read after it spoke.
		if f := &facts[i]; again && f.listed {
			if nodes, err := targets[i].Engine.Nodes(ctx); err == nil {
				f.nodes = nodes
			}
		}
	})
	return facts
}

// each runs f for 0..n-1 at once and waits for all of them.
func each(n int, f func(int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func probe(ctx context.Context, t Target) fact {
	if t.Engine == nil {
		err := t.Unreachable
		if err == nil {
			err = errors.New("the machine does not answer")
		}
		return fact{err: err}
	}
	info, err := t.Engine.Info(ctx)
	if err != nil {
		return fact{err: err, reached: true}
	}
	f := fact{info: info}
	if info.Control && !strings.Contains(info.Error, "does not have a leader") {
		f.nodes, f.nodesErr = t.Engine.Nodes(ctx)
		f.listed = f.nodesErr == nil
	}
	return f
}

// needsCertificate: the node is in a swarm, or was, and neither its own
// engine nor any manager's list says in which. An engine that let the call
// run out of time counts too: a manager does that when its quorum is lost
// (measured on 20.10: the one call under way at that moment hangs for 20 s,
// later ones are told "does not have a leader" within milliseconds).
func needsCertificate(f fact, all []fact) bool {
	if !f.answered() {
		return f.reached && errors.Is(f.err, context.DeadlineExceeded)
	}
	if f.info.State == engine.StateInactive || f.info.ClusterID != "" {
		return false
	}
	return clusterListing(f.info.NodeID, all) == ""
}

// clusterListing gives the swarm whose list holds the node with that id.
func clusterListing(id string, all []fact) string {
	if id == "" {
		return ""
	}
	for _, f := range all {
		if f.listed && f.info.ClusterID != "" && find(f.nodes, id) >= 0 {
			return f.info.ClusterID
		}
	}
	return ""
}

func find(nodes []engine.Node, id string) int {
	for i, n := range nodes {
		if n.ID == id {
			return i
		}
	}
	return -1
}

func readCertificate(ctx context.Context, t Target) (id identity, none bool) {
	raw, err := t.Disk.Certificate(ctx)
	if err != nil {
		return identity{}, errors.Is(err, fs.ErrNotExist)
	}
	return parseCertificate(raw), false
}

// parseCertificate reads the first certificate of a PEM file; the zero
// identity where it is not a swarm's.
func parseCertificate(raw []byte) identity {
	for {
		var block *pem.Block
		block, raw = pem.Decode(raw)
		if block == nil {
			return identity{}
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || len(cert.Subject.Organization) == 0 || len(cert.Subject.OrganizationalUnit) == 0 {
			return identity{}
		}
		id := identity{Cluster: cert.Subject.Organization[0], NodeID: cert.Subject.CommonName}
		switch cert.Subject.OrganizationalUnit[0] {
		case "swarm-manager":
			id.Role = lab.RoleManager
		case "swarm-worker":
			id.Role = lab.RoleWorker
		default:
			return identity{}
		}
		return id
	}
}
