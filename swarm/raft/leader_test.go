package raft

import "testing"

func TestWon(t *testing.T) {
	log := func(id, term, vote, last uint64) State {
		return State{ID: id, HardState: HardState{Term: term, Vote: vote}, Last: Position{Term: last}}
	}
	for name, c := range map[string]struct {
		logs     []State
		id, term uint64
	}{
		"nobody":                       {nil, 0, 0},
		"a swarm of one":               {[]State{log(1, 2, 1, 2)}, 1, 2},
		"others joined, without votes": {[]State{log(1, 2, 1, 2), log(2, 2, 0, 2), log(3, 2, 0, 2)}, 1, 2},
		"all who voted are gone":       {[]State{log(2, 2, 0, 2), log(3, 2, 0, 2)}, 0, 2},
		"votes, and no entry yet":      {[]State{log(1, 2, 1, 2), log(2, 3, 2, 2), log(3, 3, 2, 2)}, 1, 2},
		"its first entry, on itself":   {[]State{log(1, 2, 1, 2), log(2, 3, 2, 3), log(3, 3, 2, 2)}, 1, 2},
		"elected":                      {[]State{log(1, 2, 1, 2), log(2, 3, 2, 3), log(3, 3, 2, 3)}, 2, 3},
		"a rival in the same term":     {[]State{log(1, 3, 2, 3), log(2, 3, 2, 3), log(3, 3, 3, 3)}, 2, 3},
		"one alone calls elections":    {[]State{log(1, 9, 1, 2), log(2, 3, 2, 3), log(3, 3, 2, 3)}, 2, 3},
		"the old one comes back":       {[]State{log(1, 3, 0, 3), log(2, 3, 2, 3), log(3, 3, 2, 3)}, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if id, term, ok := Won(c.logs); id != c.id || term != c.term || ok != (c.id != 0) {
				t.Errorf("got %d in term %d, %t; want %d in term %d", id, term, ok, c.id, c.term)
			}
		})
	}
}
