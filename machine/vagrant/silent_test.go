package vagrant

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/dcalab/dcalab/node"
)

// An sshd that takes connections and says nothing costs moments, and an error
// with an id. It cost two minutes.
func TestASilentMachineIsToldOf(t *testing.T) {
	f := newStage(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { defer c.Close(); _, _ = io.Copy(io.Discard, c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	n := f.cfg.Lab.Nodes[0]
	ep := node.Endpoint{Node: n.Name, Network: "tcp", Address: l.Addr().String(), User: "vagrant", IdentityFile: f.dir + "/key", HostKeyAlias: f.cfg.Lab.Hostname(n)}
	wantTrouble(t, f.logins.adopt(t.Context(), n, "id", ep, true, 50*time.Millisecond), "node-timeout")
	// What status may spend on a machine that runs is not what a boot may.
	if runningTimeout > 10*time.Second || hostKeyTimeout > 5*time.Second {
		t.Errorf("status waits for %v and %v", hostKeyTimeout, runningTimeout)
	}
}
