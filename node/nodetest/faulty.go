package nodetest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Faulty is an SSH server in this process that can misbehave in ways that a
// real sshd would have to be broken for. It needs no rights.
type Faulty struct {
	Login
	Config *ssh.ServerConfig

	mu    sync.Mutex
	conns []net.Conn
	// Greet is called with each connection before SSH begins; false drops it.
	Greet func(net.Conn) bool
	// Exec is a command: what it returns ends the channel, and a negative
	// status ends it without one.
	Exec func(cmd string, ch ssh.Channel) int
	// Mute leaves what a client asks of the connection, such as keepalives,
	// unanswered.
	Mute bool
}

// NewFaulty makes a server that behaves; set what it is to do otherwise, and start it.
func NewFaulty(t *testing.T) *Faulty {
	t.Helper()
	dir, err := os.MkdirTemp("", "faulty") //nolint:usetesting // short: a socket's path has 108 bytes, on macOS 104
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := &Faulty{
		Login: Login{Network: "unix", Address: filepath.Join(dir, "s"), User: "vagrant", IdentityFile: filepath.Join(dir, "id"), HostKeyAlias: "node01.test", KnownHosts: filepath.Join(dir, "known_hosts")},
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.IdentityFile, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private) // the host key as well
	if err != nil {
		t.Fatal(err)
	}
	f.Config = &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	f.Config.AddHostKey(signer)
	return f
}

// Start lets it listen.
func (f *Faulty) Start(t *testing.T) {
	t.Helper()
	f.listen(t, f.serve)
}

// listen serves every connection until the test ends, and closes each one that
// serve is done with. What serve starts runs in the group that it is given.
func (f *Faulty) listen(t *testing.T, serve func(net.Conn, *sync.WaitGroup)) {
	t.Helper()
	l, err := net.Listen("unix", f.Address)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			running.Go(func() {
				defer c.Close()
				serve(c, &running)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.Cut()
		running.Wait()
	})
}

// Cut ends every connection without a word.
func (f *Faulty) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
}

func (f *Faulty) serve(c net.Conn, running *sync.WaitGroup) {
	if f.Greet != nil && !f.Greet(c) {
		return
	}
	_, chans, reqs, err := ssh.NewServerConn(c, f.Config)
	if err != nil {
		return
	}
	running.Go(func() {
		for r := range reqs {
			if !f.Mute {
				_ = r.Reply(false, nil)
			}
		}
	})
	for open := range chans {
		if open.ChannelType() != "session" {
			_ = open.Reject(ssh.Prohibited, "administratively prohibited")
			continue
		}
		ch, reqs, err := open.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer ch.Close()
			for r := range reqs {
				var payload struct{ Command string }
				if r.Type != "exec" || ssh.Unmarshal(r.Payload, &payload) != nil {
					_ = r.Reply(false, nil)
					continue
				}
				_ = r.Reply(true, nil)
				if status := f.Exec(payload.Command, ch); status >= 0 {
					_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
				}
				return
			}
		})
	}
}
