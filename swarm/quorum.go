package swarm

import "fmt"

// Majority is how many of n managers make a quorum.
func Majority(n int) int { return n/2 + 1 }

// Tolerates is how many of n managers may fail without the quorum being lost.
func Tolerates(n int) int {
	if n < 1 {
		return 0
	}
	return (n - 1) / 2
}

// Quorum is the arithmetic of a swarm's managers.
type Quorum struct {
	// Managers take part in raft, whether they answer or not.
	Managers int `json:"managers" yaml:"managers"`
	// Reachable managers, as the leader sees them, less those that do not answer
	// us (a new leader is late to notice); without a leader, those that
	// answered us.
	Reachable int `json:"reachable" yaml:"reachable"`
	Majority  int `json:"majority" yaml:"majority"`
	Tolerates int `json:"tolerates" yaml:"tolerates"`
	// HasQuorum: a leader answered, so that the swarm can be changed.
	HasQuorum bool `json:"has_quorum" yaml:"has_quorum"`
}

// QuorumOf makes the quorum of so many managers.
func QuorumOf(managers, reachable int) Quorum {
	return Quorum{
		Managers: managers, Reachable: reachable,
		Majority: Majority(managers), Tolerates: Tolerates(managers),
		HasQuorum: managers > 0 && reachable >= Majority(managers),
	}
}

// MayFail is how many more managers may fail before the quorum is lost.
func (q Quorum) MayFail() int { return max(0, q.Reachable-q.Majority) }

// String reads "3 managers, 3 reachable, majority 2, tolerates 1 failure".
func (q Quorum) String() string {
	if !q.HasQuorum {
		return fmt.Sprintf("%s, %d reachable, majority %d: no quorum", managers(q.Managers), q.Reachable, q.Majority)
	}
	return fmt.Sprintf("%s, %d reachable, majority %d, tolerates %s", managers(q.Managers), q.Reachable, q.Majority, failures(q.MayFail()))
}

// Warnings are sentences on a number of managers that is unwise.
func (q Quorum) Warnings() []string {
	var out []string
	n := q.Managers
	if n > 0 && n%2 == 0 {
		out = append(out, fmt.Sprintf("%d managers tolerate no more failures than %d would (%d): the majority of %d is %d, so the extra manager adds a machine that may fail and nothing else; use an odd number of managers",
			n, n-1, Tolerates(n), n, Majority(n)))
	}
	switch {
	case n > 7:
		out = append(out, fmt.Sprintf("%d managers: Docker advises no more than seven, because every change to the swarm waits for a majority of them", n))
	case n > 5:
		out = append(out, fmt.Sprintf("%d managers: more than five make every change slower, because it waits for %d of them", n, Majority(n)))
	}
	return out
}

func failures(n int) string {
	if n == 1 {
		return "1 failure"
	}
	return fmt.Sprintf("%d failures", n)
}

func managers(n int) string {
	if n == 1 {
		return "1 manager"
	}
	return fmt.Sprintf("%d managers", n)
}
