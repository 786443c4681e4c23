package provision

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/trouble"
)

// hostile is an SSH server that does what no sshd does. Whatever a test leaves
// out behaves.
type hostile struct {
	*faulty
	// wire is called with each connection in place of SSH.
	wire func(net.Conn)
	// opened is called with each session's channel in place of accepting it.
	opened func(ssh.NewChannel)
	// forward is a connection to the engine's socket; nil refuses them.
	forward func(ssh.Channel)
	// request is called with each request of a session; false leaves it to
	// exec.
	request func(*ssh.Request, ssh.Channel) bool
	// after is called when a client has logged in.
	after func(ssh.Conn)

	sent atomic.Int64 // bytes that flood got rid of
	over chan struct{}
}

// A secret that a hostile node may know, and that nobody may see.
const hostileToken = "SWMTKN-1-5l3x2m8q0c7a9f4k6j1h2g3d4s5a6p7o8i9u0y1t2r3e4w5q6-b7n8m9v0c1x2z3l4k5j6h7g8f"

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{faulty: newFaulty(t), over: make(chan struct{})}
	h.opts.Timeout = time.Minute
	h.opts.Patience = Patience{Answer: time.Minute, Ready: time.Minute, Work: time.Minute}
	return h
}

func (h *hostile) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", h.ep.Address)
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
			h.mu.Lock()
			h.conns = append(h.conns, c)
			h.mu.Unlock()
			running.Go(func() {
				defer c.Close()
				if h.wire != nil {
					h.wire(c)
					return
				}
				h.serve(c, &running)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(h.over)
		h.cut()
		running.Wait()
	})
}

func (h *hostile) serve(c net.Conn, running *sync.WaitGroup) {
	conn, chans, reqs, err := ssh.NewServerConn(c, h.config)
	if err != nil {
		return
	}
	running.Go(func() { ssh.DiscardRequests(reqs) })
	if h.after != nil {
		running.Go(func() { h.after(conn) })
	}
	for open := range chans {
		running.Go(func() { h.channel(open) })
	}
}

func (h *hostile) channel(open ssh.NewChannel) {
	if h.opened != nil {
		h.opened(open)
		return
	}
	if open.ChannelType() != "session" {
		if h.forward == nil {
			_ = open.Reject(ssh.Prohibited, "administratively prohibited")
			return
		}
		ch, reqs, err := open.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(reqs)
		h.forward(ch)
		_ = ch.Close()
		return
	}
	ch, reqs, err := open.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range reqs {
		if h.request != nil && h.request(r, ch) {
			continue
		}
		var payload struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &payload) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		if status := h.exec(payload.Command, ch); status >= 0 {
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		}
		return
	}
}

// flood writes text for as long as somebody takes it.
func (h *hostile) flood(w io.Writer, text string) {
	chunk := []byte(strings.Repeat(text, 1+(32<<10)/len(text)))
	for {
		n, err := w.Write(chunk)
		h.sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// hang holds on until the test is over.
func (h *hostile) hang() { <-h.over }

// impatient gives up after moments: for what never comes.
func (h *hostile) impatient() {
	h.opts.Patience = Patience{Answer: 100 * time.Millisecond, Ready: 100 * time.Millisecond, Work: 100 * time.Millisecond}
}

func (h *hostile) says(text string, status int) {
	h.exec = func(_ string, ch ssh.Channel) int { _, _ = io.WriteString(ch, text); return status }
}

// A node that misbehaves costs bounded time and bounded memory, and gives an
// error with an id, in which there is no secret.
func TestHostileNodes(t *testing.T) {
	t.Parallel()
	hands := func(h *hostile, after func(net.Conn)) {
		h.opts.Timeout = 100 * time.Millisecond
		h.wire = after
	}
	dial := func(h *hostile) func(context.Context) error {
		return func(ctx context.Context) error {
			n, err := Dial(ctx, h.ep, h.opts)
			if err == nil {
				_ = n.Close()
			}
			return err
		}
	}
	run := func(*hostile) func(context.Context, *Node) error {
		return func(ctx context.Context, n *Node) error { _, err := n.Run(ctx, "true", nil); return err }
	}
	probed := func(ctx context.Context, n *Node) error { _, err := n.probe(ctx, Want{}); return err }
	certified := func(ctx context.Context, n *Node) error { _, err := n.Certificate(ctx); return err }
	clocked := func(ctx context.Context, n *Node) error { _, err := n.Clock(ctx); return err }
	version := func(ctx context.Context, n *Node) error { _, err := n.engineVersion(ctx); return err }
	listed := func(ctx context.Context, n *Node) error {
		p, err := n.Files(ctx)
		if err != nil {
			return err
		}
		defer p.Close()
		_, err = p.ReadDir("x")
		return err
	}
	drip := func(h *hostile, w io.Writer) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-h.over:
				return
			case <-tick.C:
				if _, err := w.Write([]byte("x")); err != nil {
					return
				}
			}
		}
	}
	for name, tt := range map[string]struct {
		set func(h *hostile)
		// connect is for what fails before there is a connection, ask for the
		// rest.
		connect bool
		ask     func(context.Context, *Node) error
		want    string // the id; empty for an error without one
	}{
		"says nothing":            {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(net.Conn) { h.hang() }) }},
		"hangs up":                {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(net.Conn) {}) }},
		"greets for ever":         {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { h.flood(c, "welcome\r\n") }) }},
		"one line of greeting":    {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { h.flood(c, "welcome") }) }},
		"greets drop by drop":     {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { drip(h, c) }) }},
		"is a web server":         {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") }) }},
		"stops after its version": {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); h.hang() }) }},
		"a packet of 4 GB": {connect: true, want: "node-unreachable", set: func(h *hostile) {
			hands(h, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n\xff\xff\xff\xff"); h.flood(c, "x") })
		}},
		"noise after its version": {connect: true, want: "node-unreachable", set: func(h *hostile) {
			hands(h, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); h.flood(c, "\x00\x01\xfe") })
		}},
		"a version with a bell": {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-1.0-\x1b[2J\a\r\n") }) }},
		"takes for ever to let one in": {connect: true, want: "node-unreachable", set: func(h *hostile) {
			h.opts.Timeout = 100 * time.Millisecond
			h.config.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { h.hang(); return nil, nil }
		}},
		"refuses with many words": {connect: true, want: "key-refused", set: func(h *hostile) {
			h.config.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, errors.New("no") }
			h.config.BannerCallback = func(ssh.ConnMetadata) string { return strings.Repeat("\x1b[31mgo away ", 10_000) }
		}},
		"another host key": {connect: true, want: "host-key-changed", set: func(h *hostile) {
			other := newFaulty(t)
			signer, err := readIdentity(other.ep, other.opts)
			if err == nil {
				err = learnTo(h.opts.KnownHosts)(h.ep.HostKeyAlias, signer.PublicKey())
			}
			if err != nil {
				t.Fatal(err)
			}
		}},
		"a host key of another kind": {connect: true, want: "host-key-changed", set: func(h *hostile) {
			signer, err := readIdentity(h.ep, h.opts)
			if err == nil {
				err = learnTo(h.opts.KnownHosts)(h.ep.HostKeyAlias, signer.PublicKey())
			}
			key, errKey := rsa.GenerateKey(rand.Reader, 2048)
			if err = errors.Join(err, errKey); err != nil {
				t.Fatal(err)
			}
			other, err := ssh.NewSignerFromKey(key)
			if err != nil {
				t.Fatal(err)
			}
			h.config = &ssh.ServerConfig{NoClientAuth: true}
			h.config.AddHostKey(other)
		}},

		"refuses sessions with many words": {want: "session-refused", ask: run(nil), set: func(h *hostile) {
			h.opened = func(c ssh.NewChannel) { _ = c.Reject(ssh.ResourceShortage, strings.Repeat("no ", 1000)) }
		}},
		"a session that is never opened": {want: "node-timeout", ask: run(nil), set: func(h *hostile) {
			h.impatient()
			h.opened = func(ssh.NewChannel) { h.hang() }
		}},
		"a command that is never answered": {want: "node-timeout", ask: run(nil), set: func(h *hostile) {
			h.impatient()
			h.request = func(*ssh.Request, ssh.Channel) bool { h.hang(); return true }
		}},
		"a command that is refused": {want: "connection-lost", ask: run(nil), set: func(h *hostile) {
			h.request = func(r *ssh.Request, _ ssh.Channel) bool { _ = r.Reply(false, nil); return true }
		}},
		"a shell that sleeps": {want: "node-timeout", ask: run(nil), set: func(h *hostile) {
			h.impatient()
			h.exec = func(string, ssh.Channel) int { h.hang(); return 0 }
		}},
		"a shell that sleeps, for root": {want: "node-timeout", ask: certified, set: func(h *hostile) {
			h.impatient()
			h.exec = func(string, ssh.Channel) int { h.hang(); return 0 }
		}},
		"a shell that talks drop by drop": {want: "node-timeout", ask: run(nil), set: func(h *hostile) {
			h.impatient()
			h.exec = func(_ string, ch ssh.Channel) int { drip(h, ch); return 0 }
		}},
		"a shell that prints for ever": {want: "node-too-much-output", ask: run(nil), set: func(h *hostile) {
			h.exec = func(_ string, ch ssh.Channel) int { h.flood(ch, "y\n"); return 0 }
		}},
		"a shell that complains for ever": {want: "node-too-much-output", ask: run(nil), set: func(h *hostile) {
			h.exec = func(_ string, ch ssh.Channel) int { h.flood(ch.Stderr(), "\x1b[5mno\n"); return 0 }
		}},
		"a shell that does both": {want: "node-too-much-output", ask: run(nil), set: func(h *hostile) {
			h.exec = func(_ string, ch ssh.Channel) int {
				go h.flood(ch.Stderr(), "no")
				h.flood(ch, "y")
				return 0
			}
		}},
		"ends without a status": {want: "connection-lost", ask: run(nil), set: func(h *hostile) { h.says("", -1) }},
		"hangs up in the middle": {want: "connection-lost", ask: run(nil), set: func(h *hostile) {
			h.exec = func(_ string, ch ssh.Channel) int { _, _ = io.WriteString(ch, "half"); h.cut(); return -1 }
		}},
		"ends by a signal with many words": {ask: run(nil), set: func(h *hostile) {
			h.exec = func(_ string, ch ssh.Channel) int {
				_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
					Signal string
					Core   bool
					Error  string
					Lang   string
				}{"KILL", false, strings.Repeat("x", 30_000), ""}))
				return -1
			}
		}},
		"a status, and no end": {want: "node-timeout", ask: run(nil), set: func(h *hostile) {
			h.impatient()
			h.exec = func(_ string, ch ssh.Channel) int {
				_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
				h.hang()
				return -1
			}
		}},
		"an error full of secrets": {ask: run(nil), set: func(h *hostile) {
			h.exec = func(_ string, ch ssh.Channel) int {
				_, _ = io.WriteString(ch.Stderr(), hostileToken+"\n\xff\xfe\x00"+hostileToken)
				return 1
			}
		}},
		"floods with requests": {ask: run(nil), set: func(h *hostile) {
			h.says("", 1)
			h.after = func(c ssh.Conn) {
				for range 10_000 {
					if _, _, err := c.SendRequest("hostkeys-00@openssh.com", false, make([]byte, 1024)); err != nil {
						return
					}
				}
			}
		}},
		"opens channels to this machine": {ask: run(nil), set: func(h *hostile) {
			h.says("", 1)
			h.after = func(c ssh.Conn) {
				for _, kind := range []string{"forwarded-tcpip", "auth-agent@openssh.com", "x11", "session"} {
					if ch, _, err := c.OpenChannel(kind, nil); err == nil {
						t.Errorf("a channel of kind %s was opened to this machine", kind)
						_ = ch.Close()
					}
				}
			}
		}},

		"a probe of noise": {ask: probed, set: func(h *hostile) { h.says("uid\x00=\xff\n"+hostileToken, 0) }},
		"a probe without an end": {want: "node-too-much-output", ask: probed, set: func(h *hostile) {
			h.exec = func(_ string, ch ssh.Channel) int { h.flood(ch, "groups=docker "); return 0 }
		}},
		"a daemon.json that is none":  {ask: probed, set: func(h *hostile) { h.says("uid=0\ndaemon.json=%%%\n", 0) }},
		"a clock of noise":            {ask: clocked, set: func(h *hostile) { h.says("99999999999999999999999", 0) }},
		"a certificate that is a key": {ask: certified, set: func(h *hostile) { h.says("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0) }},
		"a certificate without an end": {want: "node-too-much-output", ask: certified, set: func(h *hostile) {
			h.exec = func(_ string, ch ssh.Channel) int { h.flood(ch, "-----BEGIN CERTIFICATE-----\n"); return 0 }
		}},
		"an engine's socket that hangs": {want: "node-timeout", ask: func(ctx context.Context, n *Node) error {
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			_, err := n.DialEngine(ctx)
			return err
		}, set: func(h *hostile) { h.opened = func(ssh.NewChannel) { h.hang() } }},
		"no socket, and a shell that hangs": {want: "node-timeout", ask: version, set: func(h *hostile) {
			h.impatient()
			h.exec = func(string, ssh.Channel) int { h.hang(); return 0 }
		}},
		"an engine of endless JSON": {want: "node-too-much-output", ask: version, set: func(h *hostile) {
			h.forward = func(ch ssh.Channel) {
				_, _ = io.WriteString(ch, "HTTP/1.1 200 OK\r\n\r\n{\"Version\":\"")
				h.flood(ch, "1")
			}
		}},
		"an engine of endless heads": {ask: version, set: func(h *hostile) {
			h.forward = func(ch ssh.Channel) { _, _ = io.WriteString(ch, "HTTP/1.1 200 OK\r\n"); h.flood(ch, "X-A: b\r\n") }
		}},
		"an engine of noise": {ask: version, set: func(h *hostile) { h.forward = func(ch ssh.Channel) { _, _ = io.WriteString(ch, "\x00\xff") } }},
		"an engine without a version": {ask: version, set: func(h *hostile) {
			h.forward = func(ch ssh.Channel) { _, _ = io.WriteString(ch, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") }
		}},

		"no SFTP": {want: "sftp-absent", ask: listed, set: func(h *hostile) {
			h.request = func(r *ssh.Request, _ ssh.Channel) bool { _ = r.Reply(false, nil); return true }
		}},
		"SFTP that is never answered": {want: "node-timeout", ask: listed, set: func(h *hostile) {
			h.impatient()
			h.request = func(*ssh.Request, ssh.Channel) bool { h.hang(); return true }
		}},
		"SFTP that says nothing": {want: "node-timeout", ask: listed, set: func(h *hostile) {
			h.impatient()
			h.request = func(r *ssh.Request, _ ssh.Channel) bool { _ = r.Reply(true, nil); return true }
		}},
		"SFTP of noise": {ask: listed, set: func(h *hostile) {
			h.request = sftpServer(h, func(w io.Writer, _ byte, _ uint32) { _, _ = w.Write([]byte("\xff\xff\xff\xff\xff\xff\xff")) })
		}},
		"a folder without an end": {want: "node-too-much-output", ask: listed, set: func(h *hostile) {
			name := []byte("f")
			var names []byte
			for range 1000 {
				names = binary.BigEndian.AppendUint32(names, uint32(len(name)))
				names = append(names, name...)
				names = binary.BigEndian.AppendUint32(names, 0) // the long name
				names = binary.BigEndian.AppendUint32(names, 0) // no attributes
			}
			h.request = sftpServer(h, func(w io.Writer, kind byte, id uint32) {
				switch kind {
				case sftpOpenDir:
					sftpSend(w, sftpHandle, binary.BigEndian.AppendUint32(nil, id), []byte("\x00\x00\x00\x01h"))
				case sftpReadDir:
					h.sent.Add(int64(len(names)))
					sftpSend(w, sftpName, binary.BigEndian.AppendUint32(nil, id), binary.BigEndian.AppendUint32(nil, 1000), names)
				}
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t)
			tt.set(h)
			h.start(t)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			ask := dial(h)
			if !tt.connect {
				n, err := Dial(ctx, h.ep, h.opts)
				if err != nil {
					t.Fatal(err)
				}
				defer n.Close()
				ask = func(ctx context.Context) error { return tt.ask(ctx, n) }
			}
			err := ask(ctx)
			if ctx.Err() != nil {
				t.Fatal("it was waited for without an end")
			}
			if err == nil {
				t.Fatal("it was believed")
			}
			var e *trouble.Error
			if errors.As(err, &e); tt.want != "" && (e == nil || e.ID != tt.want) {
				t.Errorf("got %v, want trouble %q", err, tt.want)
			}
			if len(err.Error()) > 64<<10 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if strings.Contains(err.Error(), hostileToken[20:]) {
				t.Errorf("a secret is in %q", err)
			}
			// What was taken from it is what bounds the memory: the limits, and
			// what SSH keeps on the way (2 MiB a channel).
			if sent := h.sent.Load(); sent > 64<<20 {
				t.Errorf("%d MiB were read of it", sent>>20)
			}
		})
	}
}

const (
	sftpInit    = 1
	sftpVersion = 2
	sftpOpenDir = 11
	sftpReadDir = 12
	sftpHandle  = 102
	sftpName    = 104
)

func sftpSend(w io.Writer, kind byte, parts ...[]byte) {
	body := append([]byte{kind}, slices.Concat(parts...)...)
	_, _ = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
}

// sftpServer answers the first packet, and leaves the others to answer.
func sftpServer(h *hostile, answer func(w io.Writer, kind byte, id uint32)) func(*ssh.Request, ssh.Channel) bool {
	return func(r *ssh.Request, ch ssh.Channel) bool {
		if r.Type != "subsystem" {
			return false
		}
		_ = r.Reply(true, nil)
		go func() {
			for {
				var head [5]byte
				if _, err := io.ReadFull(ch, head[:]); err != nil {
					return
				}
				body := make([]byte, binary.BigEndian.Uint32(head[:])-1)
				if _, err := io.ReadFull(ch, body); err != nil {
					return
				}
				if head[4] == sftpInit && h.sent.Load() == 0 {
					h.sent.Add(1)
					sftpSend(ch, sftpVersion, []byte{0, 0, 0, 3})
					continue
				}
				answer(ch, head[4], binary.BigEndian.Uint32(body))
			}
		}()
		return true
	}
}

// Names that lead out of the target, and sizes that are lies.
func TestHostileNamesStayInTheTarget(t *testing.T) {
	for _, name := range []string{"..", "../evil", "/etc/evil", "a/b", "x\x00y", ""} {
		var c Copy
		var skipped []string
		c.From = &Place{fileSystem: liar{name: name}, name: "node01", node: &Node{}}
		c.To, c.Recursive = Here(), true
		c.Skipped = func(path, _ string) { skipped = append(skipped, path) }
		root := t.TempDir()
		target := filepath.Join(root, "in", "target")
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := c.Run(t.Context(), "folder", target)
		var outside []string
		_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, _ error) error {
			if !e.IsDir() && !strings.HasPrefix(path, target+string(filepath.Separator)) {
				outside = append(outside, path)
			}
			return nil
		})
		if len(outside) > 0 {
			t.Errorf("%q came to %q (%v, left out: %q)", name, outside, err, skipped)
		}
		if _, err := os.Lstat("/etc/evil"); err == nil {
			t.Errorf("%q came to /etc", name)
		}
	}
}

// liar is a file system with one folder, in which one file has any name.
type liar struct {
	fileSystem
	name string
}

type liarInfo struct {
	name string
	dir  bool
}

func (i liarInfo) Name() string       { return i.name }
func (i liarInfo) Size() int64        { return 1 << 60 }
func (i liarInfo) ModTime() time.Time { return time.Time{} }
func (i liarInfo) IsDir() bool        { return i.dir }
func (i liarInfo) Sys() any           { return nil }
func (i liarInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return fs.ModeSetuid | 0o4777
}

func (l liar) Stat(path string) (fs.FileInfo, error) {
	return liarInfo{name: path, dir: path == "folder"}, nil
}
func (l liar) Lstat(path string) (fs.FileInfo, error) { return l.Stat(path) }
func (l liar) ReadDir(string) ([]fs.FileInfo, error) {
	return []fs.FileInfo{liarInfo{name: l.name}}, nil
}
func (l liar) Open(string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("evil")), nil
}
func (liar) Join(elem ...string) string { return strings.Join(elem, "/") }
func (liar) Base(path string) string    { return path[strings.LastIndexByte(path, '/')+1:] }
func (liar) Dir(string) string          { return "." }
func (liar) Slashes() string            { return "/" }

// Whoever wrote into known_hosts is told where, and it is not read without an
// end.
func TestKnownHostsThatCannotBeRead(t *testing.T) {
	f := newFaulty(t)
	f.start(t)
	for name, spoil := range map[string]func(path string) error{
		"noise":    func(path string) error { return os.WriteFile(path, []byte("# ours\n\x00\xffnoise\n"), 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"sparse, 64 GiB": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 64<<30))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := f.opts
			o.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
			if err := spoil(o.KnownHosts); err != nil {
				t.Fatal(err)
			}
			_, err := Dial(t.Context(), f.ep, o)
			e := wantTrouble(t, err, "known-hosts-unreadable")
			if name == "noise" && !strings.Contains(e.Why, "line 2") {
				t.Errorf("it does not say where: %s", e.Why)
			}
			if strings.Contains(fmt.Sprint(err), "nothing answers") {
				t.Errorf("it blames the node: %v", err)
			}
		})
	}
}
