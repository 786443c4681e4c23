package raft

// Won tells who won the newest election that the logs of managers tell the end of:
// who has the most votes of the newest term of which a majority of these logs has an
// entry. ok is false where none tells it, as after all who voted were replaced. It is
// the leader, unless it has stopped since; a log tells that only by a later term.
func Won(logs []State) (id, term uint64, ok bool) {
	having := map[uint64]int{} // logs with an entry of at least this term
	for _, l := range logs {
		having[l.Last.Term] = 0
	}
	for t := range having {
		for _, l := range logs {
			if l.Last.Term >= t {
				having[t]++
			}
		}
		if t > term && having[t] > len(logs)/2 {
			term = t
		}
	}
	votes := map[uint64]int{}
	for _, l := range logs {
		if l.Term != term || l.Vote == 0 || term == 0 {
			continue
		}
		votes[l.Vote]++
		if n := votes[l.Vote]; id == 0 || n > votes[id] || n == votes[id] && l.Vote < id {
			id = l.Vote
		}
	}
	return id, term, id != 0
}
