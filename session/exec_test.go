package session

import (
	"errors"
	"testing"
)

func TestExecStatus(t *testing.T) {
	for name, c := range map[string]struct {
		statuses []int // less than 0: not reached
		want     int
	}{
		"all well":                  {[]int{0, 0}, 0},
		"one fails":                 {[]int{0, 3, 0}, 3},
		"they agree":                {[]int{3, 0, 3}, 3},
		"they do not":               {[]int{3, 4}, 1},
		"one is not reached":        {[]int{0, -1}, 1},
		"one is not reached, one 3": {[]int{3, -1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var r ExecReport
			for _, s := range c.statuses {
				one := ExecResult{Exit: &s}
				if s < 0 {
					one = ExecResult{Err: errors.New("halted")}
				}
				r.Nodes = append(r.Nodes, one)
			}
			if got := r.Status(); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
