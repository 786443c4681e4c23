package prove

import (
	"math/rand/v2"
	"time"

	"github.com/dcalab/dcalab/fault"
)

// How faults are spread over the time.
const (
	// faultTime is how long one lasts: raft's followers wait 10 to 19 s for a leader
	// before they elect another, and that has to be seen, too. What was sent into a
	// partition TCP sends again after 25 s, and then after 51.
	faultTime = 25 * time.Second
	// leastFault is the shortest that is worth it, and rest the time without one, before
	// and after each.
	leastFault = 10 * time.Second
	rest       = 5 * time.Second
)

// LeastTime is what a run with a fault takes.
const LeastTime = rest + leastFault + rest

// usual are the faults that a run has unless others are asked for. None costs a swarm of
// three managers its quorum.
func usual() []string {
	return []string{"isolate follower", "isolate leader --one-way in", "freeze leader", "loss 30% leader"}
}

// Planned is a fault that is to be applied.
type Planned struct {
	// At is since the beginning; the request has for how long.
	At time.Duration
	fault.Request
}

// Schedule spreads faults over a time: those that are asked for, one after the other and
// from the first again; else a partition of the leader, then the usual ones as the seed
// draws them.
func Schedule(total time.Duration, seed uint64, asked []fault.Request) ([]Planned, error) {
	if len(asked) == 0 {
		words := usual()
		lot := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // a lot that can be drawn again
		lot.Shuffle(len(words), func(i, k int) { words[i], words[k] = words[k], words[i] })
		for _, line := range append([]string{"partition leader"}, words...) {
			r, err := ParseFault(line)
			if err != nil {
				return nil, err
			}
			asked = append(asked, r)
		}
	}
	var out []Planned
	for at := rest; at+leastFault+rest <= total; {
		p := Planned{At: at, Request: asked[len(out)%len(asked)]}
		p.For, p.Seed = min(faultTime, total-rest-at).Truncate(time.Second), seed
		out = append(out, p)
		at += p.For + 2*rest
	}
	return out, nil
}
