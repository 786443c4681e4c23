package swarm

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/lab"
)

// shortLife is what a certificate must have left for nothing to be said. A
// running swarm renews a certificate when 50 to 80 % of its life are over
// (swarmkit, ca/config.go), so that of Docker's 90 days between 18 and 45 are
// left: less is soon, or was not renewed.
const shortLife = 20 * 24 * time.Hour

// Validity is the time in which a node's swarm certificate is good.
type Validity struct{ From, Until time.Time }

// Left is how much of it is left, negative when it is over.
func (c Validity) Left(now time.Time) time.Duration { return c.Until.Sub(now) }

// DaysLeft is how many days are left, to the nearest day, and none when it is
// over. Certificates are issued to the minute (cfssl), so that of one just
// issued for 90 days a little more or a little less is left: it says 90.
func (c Validity) DaysLeft(now time.Time) int {
	const day = 24 * time.Hour
	return max(0, int((c.Left(now)+day/2)/day))
}

// ValidityOf reads the first certificate of a PEM file, the node's own; ok is
// false where there is none that can be read.
func ValidityOf(raw []byte) (v Validity, ok bool) {
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			return Validity{}, false
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Validity{}, false
		}
		return Validity{From: cert.NotBefore, Until: cert.NotAfter}, true
	}
}

// Age reads a node's certificate. An error for which errors.Is(err, fs.ErrNotExist) holds
// means that it has none.
func Age(ctx context.Context, d interface {
	Certificate(ctx context.Context) ([]byte, error)
}) (Validity, error) {
	ctx, cancel := context.WithTimeout(ctx, certificateTimeout)
	defer cancel()
	raw, err := d.Certificate(ctx)
	if err != nil {
		return Validity{}, err
	}
	v, ok := ValidityOf(raw)
	if !ok {
		return Validity{}, errors.New("the swarm certificate cannot be read")
	}
	return v, nil
}

// Ages reads the certificates of all nodes at once, by short name. A node
// that is in no swarm, or cannot be asked, is left out. It does not need the
// engines: a swarm whose certificates ran out can be asked too.
func (c *Cluster) Ages(ctx context.Context) map[string]Validity {
	out := map[string]Validity{}
	var mu sync.Mutex
	each(len(c.targets), func(i int) {
		t := c.targets[i]
		if t.Disk == nil {
			return
		}
		if v, err := Age(ctx, t.Disk); err == nil {
			mu.Lock()
			defer mu.Unlock()
			out[t.Name] = v
		}
	})
	return out
}

// Problems that callers tell apart by their ID.
const (
	ManagersLost = "managers-lost"
	NoLeaderYet  = "election"
)

// Problem is something wrong with a swarm, or about to be, that a person has to
// fix. Its keys are a promise of dcalab status.
type Problem struct {
	// ID is stable: certificates-expired, certificates-short, managers-lost,
	// election; and of package doctor, manager-cut-off and node-cut-off.
	ID string `json:"id" yaml:"id"`
	// Cause is a sentence on what was found.
	Cause string `json:"why" yaml:"why"`
	// Fix are the commands, or advice, in the order in which they are to be
	// followed.
	Fix []string `json:"mend" yaml:"mend"`
}

// Diagnose looks for what only time and absence do to a swarm: certificates
// that ran out or soon will, and a lost quorum.
func Diagnose(v View, ages map[string]Validity, now time.Time) []Problem {
	var out []Problem
	var expired, short []string
	for _, n := range v.Nodes {
		age, ok := ages[n.Name]
		switch {
		case !ok:
		case age.Left(now) <= 0:
			expired = append(expired, n.Name)
		case age.Left(now) < shortLife:
			short = append(short, n.Name)
		}
	}
	if len(expired) > 0 {
		out = append(out, diagnoseExpired(v, expired, ages, now))
	}
	if len(short) > 0 {
		out = append(out, diagnoseShort(v, short, ages, now))
	}
	// Managers whose certificates expired have no quorum either; the way
	// back is the one above.
	if !slices.ContainsFunc(v.managers(), func(n NodeView) bool { return slices.Contains(expired, n.Name) }) {
		if a, ok := diagnoseLost(v); ok {
			out = append(out, a)
		}
	}
	return out
}

// diagnoseExpired: an engine does not start its swarm with a certificate that
// ran out, and no longer can ask for another one. Where the managers stand,
// the node rejoins. Otherwise the swarm goes on from one manager, whose engine accepts
// the old certificate then, and renews it at once (swarmkit pull request 1919).
func diagnoseExpired(v View, nodes []string, ages map[string]Validity, now time.Time) Problem {
	first := earliest(nodes, ages)
	a := Problem{
		ID: "certificates-expired",
		Cause: fmt.Sprintf("%s expired %s%s ago (%s): the engine cannot rejoin its swarm, because certificates are renewed only while it runs",
			certificatesOf(nodes), theFirst(nodes), span(-first.Left(now)), date(first.Until)),
	}
	if v.Quorum.HasQuorum {
		if slices.ContainsFunc(nodes, func(name string) bool { n, _ := v.Node(name); return n.State == StateMember }) {
			a.Fix = append(a.Fix, "for "+strings.Join(nodes, ", ")+": dcalab ssh NODE -- sudo service docker restart")
		}
		a.Fix = append(a.Fix, "dcalab swarm bootstrap    # "+strings.Join(nodes, ", ")+" leaves and rejoins")
		return a
	}
	a.Fix = []string{"bring the managers up and look again: dcalab start, dcalab status"}
	if slices.ContainsFunc(v.managers(), func(n NodeView) bool { return n.State != StateUnreachable }) {
		a.Fix = []string{recoverFix}
	}
	return a
}

const recoverFix = "dcalab swarm recover    # goes on from one manager; services, secrets and configs are kept"

// diagnoseShort warns while the swarm can still be asked for new certificates.
func diagnoseShort(v View, nodes []string, ages map[string]Validity, now time.Time) Problem {
	first := earliest(nodes, ages)
	a := Problem{
		ID: "certificates-short",
		Cause: fmt.Sprintf("%s will expire %sin %s (%s); a running swarm renews them, but a lab that stays halted longer comes back without its swarm",
			certificatesOf(nodes), theFirst(nodes), span(first.Left(now)), date(first.Until)),
	}
	at := slices.IndexFunc(v.Nodes, func(n NodeView) bool { return n.Control && n.Role == lab.RoleManager })
	if !v.Quorum.HasQuorum || at < 0 {
		a.Fix = []string{"bring the swarm back before then: dcalab start"}
		return a
	}
	if s := v.Settings; s != nil && s.CertExpiry > 0 && s.CertExpiry < shortLife {
		// By hand (swarm update --cert-expiry) it would last until the next
		// bootstrap.
		a.Fix = append(a.Fix, "dcalab swarm bootstrap    # after cert_expiry: 90d in labs.yaml, under swarm; new certificates last that long")
	}
	a.Fix = append(a.Fix, "dcalab swarm ca rotate    # new certificates for all nodes, now")
	return a
}

// diagnoseLost: there are managers, and they have no leader.
func diagnoseLost(v View) (Problem, bool) {
	if v.Cluster == "" || v.Quorum.HasQuorum || v.Quorum.Managers == 0 {
		return Problem{}, false
	}
	if v.Election() {
		return diagnoseElection(v), true
	}
	a := Problem{ID: ManagersLost}
	var alive, halted, gone, left, down, silent, locked []NodeView
	for _, n := range v.managers() {
		switch {
		case n.State == StateLocked:
			locked = append(locked, n)
		case n.hung():
			silent = append(silent, n)
		case n.State == StateEngineDown:
			down = append(down, n)
		case n.State == StateUnreachable && errors.Is(n.Err, ErrAbsent):
			gone = append(gone, n)
		case n.State == StateUnreachable:
			halted = append(halted, n)
		case n.Control || n.State == StateMember || n.State == StatePending:
			alive = append(alive, n)
		case n.State == StateInactive:
			left = append(left, n)
		}
	}
	why := []string{v.Leaderless() + "; services keep running, but nothing can be changed"}
	say := func(nodes []NodeView, what, fix string) {
		if len(nodes) > 0 {
			why = append(why, what+": "+strings.Join(nodeNames(nodes), ", "))
			for line := range strings.Lines(fix) {
				a.Fix = append(a.Fix, strings.TrimSuffix(line, "\n"))
			}
		}
	}
	start, engines := "", ""
	if len(halted) > 0 {
		start = "dcalab start " + strings.Join(nodeNames(halted), " ")
	}
	for _, n := range down {
		engines += "dcalab ssh " + n.Name + " -- sudo service docker start\n"
	}
	say(halted, "halted or unreachable", start)
	say(down, "the engine is down", engines)
	say(silent, "no answer from the engine, as during an election", "look again in 20 s: dcalab status")
	say(locked, "waiting for the unlock key", "dcalab swarm unlock")
	say(gone, "destroyed", "")
	say(left, "left the swarm, or were recreated", "")
	unknown := v.Quorum.Managers - len(left) - len(alive) - len(halted) - len(gone) - len(down) - len(silent) - len(locked)
	if unknown > 0 {
		why = append(why, fmt.Sprintf("not nodes of this lab, or unknown: %d", unknown))
	}
	// Those that can come back, together with those that are there.
	possible := len(alive) + len(halted) + len(down) + len(silent) + len(locked)
	switch {
	case possible < v.Quorum.Majority && len(alive) > 0:
		why = append(why, "so the majority cannot come back")
		a.Fix = append(a.Fix, recoverFix)
		if len(gone) > 0 {
			a.Fix = append(a.Fix, "dcalab up --swarm    # recreates "+strings.Join(nodeNames(gone), ", "))
		}
	case len(alive) > 0 && len(halted)+len(down) > 0:
		a.Fix = append(a.Fix, "if they are lost for good: dcalab destroy --force "+strings.Join(nodeNames(slices.Concat(halted, down)), " ")+", then dcalab swarm recover")
	}
	a.Cause = strings.Join(why, "; ")
	return a, true
}

// diagnoseElection: the managers that answer are enough, so they elect a leader,
// unless they do not reach each other.
func diagnoseElection(v View) Problem {
	voters := v.Voters()
	a := Problem{
		ID:    NoLeaderYet,
		Cause: v.Leaderless() + "; it usually takes 10 to 20 s, services keep running meanwhile",
		Fix:   []string{"look again in 20 s: dcalab status"},
	}
	if len(voters) > 1 {
		a.Fix = append(a.Fix, fmt.Sprintf("if it does not end, they cannot reach each other on TCP port %s: dcalab ssh %s -- ping -c 1 %s    # and in the other direction",
			RaftPort, voters[0].Name, voters[len(voters)-1].Addr))
	}
	return a
}

// managers are the nodes of the lab that are managers of its swarm, also those
// that cannot be asked and that another one knows of.
func (v View) managers() []NodeView {
	peers := map[string]bool{}
	for i, n := range v.Nodes {
		if i >= len(v.facts) || v.Cluster != "" && n.Cluster != v.Cluster {
			continue
		}
		for _, p := range v.facts[i].info.Remotes {
			if host, _, err := net.SplitHostPort(p.Addr); err == nil {
				peers[host] = true
			}
		}
	}
	presumed := nodeNames(presumedManagers(v))
	var out []NodeView
	for _, n := range v.Nodes {
		if n.Role == lab.RoleManager || n.Role == "" && (peers[n.Addr.String()] || slices.Contains(presumed, n.Name)) {
			out = append(out, n)
		}
	}
	return out
}

func nodeNames(nodes []NodeView) []string {
	out := make([]string, len(nodes))
	for i, n := range nodes {
		out[i] = n.Name
	}
	return out
}

func earliest(nodes []string, ages map[string]Validity) Validity {
	return ages[slices.MinFunc(nodes, func(a, b string) int { return ages[a].Until.Compare(ages[b].Until) })]
}

func certificatesOf(nodes []string) string {
	if len(nodes) == 1 {
		return "the swarm certificate of " + nodes[0]
	}
	return "the swarm certificates of " + strings.Join(nodes, ", ")
}

// theFirst says, of several, which one a time is about.
func theFirst(nodes []string) string {
	if len(nodes) == 1 {
		return ""
	}
	return "(the first) "
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// span words a time in the unit that tells most: days, hours or minutes,
// rounded down.
func span(d time.Duration) string {
	count, unit := int(d/(24*time.Hour)), "day"
	switch {
	case count >= 2:
	case d >= 2*time.Hour:
		count, unit = int(d/time.Hour), "hour"
	default:
		count, unit = int(d/time.Minute), "minute"
	}
	if count == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", count, unit)
}
