package fault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// Cost is what faults do to the swarm's quorum.
type Cost struct {
	// Managers take part in raft; Majority of them is needed.
	Managers, Majority int
	// Connected is how many managers the best connected one reaches, with itself,
	// before and with the fault.
	Before, Connected int
	// Leader is the one that no longer reaches a majority; empty where it still does,
	// or there was none.
	Leader string
	// Late are the managers whose answers the leader Of no longer gets in time, and
	// Stalled tells that without them there is no majority.
	Late, Of string
	Stalled  bool
}

// raftPatience is how long a manager waits for another's answer (SwarmKit's SendTimeout).
const raftPatience = 2 * time.Second

// Lost tells whether the quorum is there before, and no longer with the fault.
func (c Cost) Lost() bool { return c.Before >= c.Majority && c.Connected < c.Majority }

// Words say what is lost, in a sentence; empty where nothing is.
func (c Cost) Words() string {
	switch {
	case c.Lost():
		return fmt.Sprintf("the quorum will be lost: at most %d of %s stay connected, and the majority is %d; services run on, and nothing can be changed",
			c.Connected, trouble.Count(c.Managers, "manager"), c.Majority)
	case c.Stalled: // seen on SwarmKit 20.10.24
		return fmt.Sprintf("managers wait %v for an answer, and those of %s to the leader %s take longer: it keeps the lead, and nothing can be changed", raftPatience, c.Late, c.Of)
	case c.Late != "":
		return fmt.Sprintf("managers wait %v for an answer, and those of %s to the leader %s take longer: they count as unreachable", raftPatience, c.Late, c.Of)
	case c.Leader != "":
		return fmt.Sprintf("the leader %s is cut off from the majority: the others elect a new one, which takes 10 to 20 s", c.Leader)
	}
	return ""
}

// Quorum tells what a fault costs, beside those of the network that there are already;
// what others do, the nodes tell: those whose engines do not answer count as down. One
// that has not been waited for counts as up.
func Quorum(l *lab.Lab, v swarm.View, have []Fault, f Fault) Cost {
	var managers []string
	down := map[string]bool{}
	for _, n := range v.Nodes {
		down[n.Name] = !n.State.Answered() && !errors.Is(n.Err, swarm.ErrNotYet)
		if n.Role == lab.RoleManager { // also one that labs.yaml no longer has
			managers = append(managers, n.Name)
		}
	}
	have = slices.DeleteFunc(slices.Clone(have), func(h Fault) bool { return !h.Network() })
	before, reach := connected(l, managers, down, have), connected(l, managers, down, append(have, f))
	c := Cost{Managers: len(managers), Majority: swarm.Majority(len(managers))}
	for _, m := range managers {
		c.Before, c.Connected = max(c.Before, before[m]), max(c.Connected, reach[m])
	}
	if leader := v.Leader; slices.Contains(managers, leader) && before[leader] >= c.Majority && reach[leader] < c.Majority {
		c.Leader = leader
	}
	if leader := v.Leader; f.Kind == Delay && reach[leader] >= c.Majority {
		was, is := late(l, managers, leader, have), late(l, managers, leader, append(have, f))
		if len(is) > len(was) {
			c.Late, c.Of, c.Stalled = strings.Join(is, ", "), leader, reach[leader]-len(is) < c.Majority
		}
	}
	return c
}

// late gives the managers with which a round trip takes longer than they wait.
func late(l *lab.Lab, managers []string, leader string, faults []Fault) []string {
	trip := map[string]time.Duration{}
	for _, f := range faults {
		for at, rules := range f.Rules(l) {
			for _, r := range rules {
				switch leader {
				case at:
					trip[r.From] += milliseconds(f.DelayMS)
				case r.From:
					trip[at] += milliseconds(f.DelayMS)
				}
			}
		}
	}
	var out []string
	for _, m := range managers {
		if trip[m] >= raftPatience {
			out = append(out, m)
		}
	}
	return out
}

// connected counts, for each manager that is up, those that it exchanges messages
// with, and itself.
func connected(l *lab.Lab, managers []string, down map[string]bool, faults []Fault) map[string]int {
	off := map[string]bool{}
	deaf := map[string]bool{} // "at from"
	for _, f := range faults {
		if f.Kind == Disk || f.Kind == Clock {
			continue // what that costs is not known before
		}
		if !f.Network() {
			for _, name := range f.Nodes {
				off[name] = true
			}
			continue
		}
		for _, way := range f.Cuts(l) {
			deaf[way[1]+" "+way[0]] = true
		}
	}
	out := map[string]int{}
	for _, m := range managers {
		if down[m] || off[m] {
			continue
		}
		for _, k := range managers {
			if k == m || !down[k] && !off[k] && !deaf[m+" "+k] && !deaf[k+" "+m] {
				out[m]++
			}
		}
	}
	return out
}

// Explained is what faults there are, in a line each, for who wonders.
func Explained(faults []Fault) []string {
	var out []string
	for _, f := range faults {
		out = append(out, strings.TrimSpace(f.ID+" "+f.Words()))
	}
	return out
}
