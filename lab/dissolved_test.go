package lab

import (
	"fmt"
	"testing"
)

// A lab remembers the latest swarms that it dissolved, each once.
func TestRecordOfDissolvedSwarms(t *testing.T) {
	var r Record
	for i := range 2 * maxDissolved {
		r.Dissolve(fmt.Sprint("swarm", i))
	}
	r.Dissolve("swarm20")
	if n := len(r.Dissolved); n != maxDissolved || r.Dissolved[n-1] != "swarm20" || r.Dissolved[0] != "swarm16" {
		t.Errorf("%v", r.Dissolved)
	}
}
