package prove

import (
	"fmt"
	"testing"
	"time"
)

// A long run with writes without an answer is judged in seconds, with stale reads or
// without: the search for an order has little to choose from.
func TestALongHistoryIsJudged(t *testing.T) {
	for stale, all := range map[bool]Answer{false: Linearizable, true: NotLinearizable} {
		h := long(stale)
		began := time.Now()
		v := Judge(h, time.Minute)
		if v.State != Kept || v.Writes != Linearizable || v.All != all || len(v.Stale) > 0 != stale {
			t.Errorf("%s, writes %s, all %s, %d stale", v.State, v.Writes, v.All, len(v.Stale))
		}
		t.Logf("%d operations: %s", len(h.Operations), time.Since(began))
	}
}

func long(stale bool) History {
	const writes, clients = 800, 9
	h := History{Objects: []string{"o", "p", "q"}, Final: map[string]string{}}
	for i, object := range h.Objects {
		value := Initial
		for n := range writes {
			now := time.Duration(n) * 10 * time.Millisecond
			w := Operation{Client: n % clients, Object: object, Kind: Write, From: value, Value: fmt.Sprint(object, n), Outcome: OK, Call: now, Return: now + 9*time.Millisecond}
			if n%50 == i {
				w.Outcome, w.Return = Unknown, now+5*time.Second
			}
			h.Operations = append(h.Operations, w)
			for c := range clients { // all at the same time as the write
				read := Operation{Client: clients + c, Object: object, Kind: Read, Value: w.Value, Outcome: OK, Call: now, Return: now + 9*time.Millisecond}
				if c%2 == 0 {
					read.Value = value
				}
				h.Operations = append(h.Operations, read)
			}
			if stale && n%100 == 99 {
				h.Operations = append(h.Operations, Operation{Client: 99, Object: object, Kind: Read, Value: fmt.Sprint(object, n-5), Outcome: OK, Call: now, Return: now + time.Millisecond})
			}
			value = w.Value
		}
		h.Final[object] = value
	}
	return h
}
