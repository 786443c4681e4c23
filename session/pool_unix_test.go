//go:build unix

package session_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/node/nodetest"
	"github.com/dcalab/dcalab/session"
)

// withM1 is a lab whose m1 answers; config is what its sshd_config has beside.
// asked counts how often the driver is asked where it is.
func withM1(t *testing.T, config string) (s *session.Session, sshd *nodetest.SSHD, asked *atomic.Int32) {
	t.Helper()
	sshd = nodetest.StartSSHD(t, "tcp", config)
	asked = new(atomic.Int32)
	parts := open(t, settings(t, lab.DriverVagrant)).Parts()
	parts.Created = true
	parts.Driver = fake{asked: asked, at: node.Endpoint{
		Node: "m1", Network: sshd.Network, Address: sshd.Address, User: sshd.User, IdentityFile: sshd.IdentityFile, HostKeyAlias: sshd.HostKeyAlias,
	}}
	if err := parts.State.Create(); err != nil {
		t.Fatal(err)
	}
	if err := parts.State.PinHost(sshd.HostKeyAlias, hostKey(t, sshd)); err != nil {
		t.Fatal(err)
	}
	return session.Of(session.Settings{}, parts), sshd, asked
}

func TestConnectionsAreKeptAndMadeAnew(t *testing.T) {
	s, sshd, asked := withM1(t, "")
	first, err := s.Conn(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Conn(t.Context(), "m1"); err != nil || again != first || asked.Load() != 1 {
		t.Errorf("another connection: %v, %v; the driver was asked %d times", again != first, err, asked.Load())
	}
	_, err = s.Conn(t.Context(), "w1")
	wantTrouble(t, err, "node-halted")

	pool := s.NewPool()
	defer pool.Close()
	pool.Keep(first)
	failed := pool.Each(t.Context(), s.Lab().Nodes, func(ctx context.Context, n lab.Node, c *node.Conn) error {
		if n.Name != "m1" || c != first {
			t.Errorf("%s over %p, not %p", n.Name, c, first)
		}
		_, err := c.Run(ctx, "true", nil)
		return err
	})
	if len(failed) != 1 || failed["w1"] == nil {
		t.Errorf("failed: %v", failed)
	}

	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	second, err := s.Conn(t.Context(), "m1")
	if err != nil || second == first {
		t.Errorf("the same connection: %v, %v", second == first, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := second.Run(t.Context(), "true", nil); err == nil {
		t.Error("it answers after Close")
	}
	if n := sshd.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// What could not be reached is known to the one that asks for all.
func TestEnginesTellWhoIsOutOfReach(t *testing.T) {
	var asked atomic.Int32
	parts := open(t, settings(t, lab.DriverVagrant)).Parts()
	parts.Created, parts.Driver = true, fake{asked: &asked, at: node.Endpoint{Node: "m1", Network: "tcp", Address: "127.0.0.1:1"}}
	v, engines, err := session.Of(session.Settings{}, parts).Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer engines.Close()
	if n, ok := v.Node("w1"); !ok || n.State.Answered() || len(engines.Targets) != 2 || engines.Client("w1") != nil {
		t.Errorf("%+v", v.Nodes)
	}
	wantTrouble(t, engines.NoneReachable(), "nobody-answers")
	for _, target := range engines.Targets {
		if target.Name == "w1" {
			wantTrouble(t, target.Unreachable, "node-halted")
		}
	}
}

func hostKey(t *testing.T, s *nodetest.SSHD) ssh.PublicKey {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "host"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey()
}

// A file goes to the node that answers; what the other keeps it from is told.
func TestCopyingToNodes(t *testing.T) {
	s, _, _ := withM1(t, "Subsystem sftp internal-sftp")
	source, target := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(source, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := s.NewPool()
	defer pool.Close()
	to := heard{}
	transfers := session.Transfers{{To: "w1", Source: source, Target: target}, {To: "m1", Source: source, Target: target}}
	skipped, err := pool.Copy(t.Context(), transfers[1:], session.CopyOptions{}, to)
	if text, _ := os.ReadFile(target); err != nil || len(skipped) > 0 || string(text) != "hello" || to["m1"] != "copied 1 file, 5 B" {
		t.Errorf("%q, %v, %q; %v", text, err, skipped, to)
	}
	_, err = pool.Copy(t.Context(), transfers[:1], session.CopyOptions{}, to)
	wantTrouble(t, err, "node-halted")
	if to["w1"] == "" {
		t.Error("it was not told")
	}
}

// heard is a session.Reporter for one node after another.
type heard map[string]string

func (heard) Step(string, string)           {}
func (h heard) Done(node, text string)      { h[node] = text }
func (h heard) Fail(node string, err error) { h[node] = err.Error() }
func (heard) Note(string)                   {}
func (heard) Warn(string)                   {}
func (heard) Detail(string, string)         {}
