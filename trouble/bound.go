package trouble

import (
	"bytes"
	"fmt"
	"sync"
)

// Bound keeps what a node says, and no more than Max bytes of it: the Write
// that passes them gives a "node-too-much-output", which ends whoever copies
// into it. So a node that never stops talking costs memory of a known size.
// Both streams of a command may write to one Bound.
type Bound struct {
	bytes.Buffer
	writing sync.Mutex
	// Max is in bytes.
	Max int
	// Node and What say whose words these are, for the error; Next says what to
	// do, where it is not what TooMuch says.
	Node, What string
	Next       []string
}

// Write takes all of p or, where it is too much, what fits.
func (b *Bound) Write(p []byte) (int, error) {
	b.writing.Lock()
	defer b.writing.Unlock()
	if room := b.Max - b.Len(); len(p) > room {
		n, _ := b.Buffer.Write(p[:max(room, 0)])
		much := TooMuch(b.Node, b.What, int64(b.Max))
		if len(b.Next) > 0 {
			much.Next = b.Next
		}
		return n, much
	}
	return b.Buffer.Write(p)
}

// TooMuch is the error of a node that says more than limit bytes where an
// answer was wanted.
func TooMuch(node, what string, limit int64) *Error {
	return &Error{
		ID: "node-too-much-output", Where: node, What: what,
		Why:  fmt.Sprintf("its answer is longer than %d MiB, and was not read to the end", limit>>20),
		Next: []string{"see what it prints: dcalab ssh " + node + " -- true", "or make the node anew: dcalab destroy " + node + " && dcalab up " + node},
	}
}
