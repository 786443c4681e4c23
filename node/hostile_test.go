package node

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
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/node/nodetest"
)

// A node that misbehaves costs bounded time and bounded memory, and gives an
// error with an id, in which there is no secret.
func TestHostileNodes(t *testing.T) {
	t.Parallel()
	hands := func(h *hostile, after func(net.Conn)) {
		h.opts.Timeout = 100 * time.Millisecond
		h.Wire = after
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
	run := func(*hostile) func(context.Context, *Conn) error {
		return func(ctx context.Context, n *Conn) error { _, err := n.Run(ctx, "true", nil); return err }
	}
	listed := func(ctx context.Context, n *Conn) error {
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
			case <-h.Over:
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
		ask     func(context.Context, *Conn) error
		want    string // the id; empty for an error without one
	}{
		"says nothing":            {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(net.Conn) { h.Hang() }) }},
		"hangs up":                {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(net.Conn) {}) }},
		"greets for ever":         {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { h.Flood(c, "welcome\r\n") }) }},
		"one line of greeting":    {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { h.Flood(c, "welcome") }) }},
		"greets drop by drop":     {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { drip(h, c) }) }},
		"is a web server":         {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") }) }},
		"stops after its version": {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); h.Hang() }) }},
		"a packet of 4 GB": {connect: true, want: "node-unreachable", set: func(h *hostile) {
			hands(h, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n\xff\xff\xff\xff"); h.Flood(c, "x") })
		}},
		"noise after its version": {connect: true, want: "node-unreachable", set: func(h *hostile) {
			hands(h, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); h.Flood(c, "\x00\x01\xfe") })
		}},
		"a version with a bell": {connect: true, want: "node-unreachable", set: func(h *hostile) { hands(h, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-1.0-\x1b[2J\a\r\n") }) }},
		"takes for ever to let one in": {connect: true, want: "node-unreachable", set: func(h *hostile) {
			h.opts.Timeout = 100 * time.Millisecond
			h.Config.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { h.Hang(); return nil, nil }
		}},
		"refuses with many words": {connect: true, want: "key-refused", set: func(h *hostile) {
			h.Config.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, errors.New("no") }
			h.Config.BannerCallback = func(ssh.ConnMetadata) string { return strings.Repeat("\x1b[31mgo away ", 10_000) }
		}},
		"another host key": {connect: true, want: "host-key-changed", set: func(h *hostile) {
			other := newFaulty(t)
			signer, err := readIdentity(other.ep, other.opts)
			if err == nil {
				err = nodetest.LearnTo(h.opts.KnownHosts)(h.ep.HostKeyAlias, signer.PublicKey())
			}
			if err != nil {
				t.Fatal(err)
			}
		}},
		"a host key of another kind": {connect: true, want: "host-key-changed", set: func(h *hostile) {
			signer, err := readIdentity(h.ep, h.opts)
			if err == nil {
				err = nodetest.LearnTo(h.opts.KnownHosts)(h.ep.HostKeyAlias, signer.PublicKey())
			}
			key, errKey := rsa.GenerateKey(rand.Reader, 2048)
			if err = errors.Join(err, errKey); err != nil {
				t.Fatal(err)
			}
			other, err := ssh.NewSignerFromKey(key)
			if err != nil {
				t.Fatal(err)
			}
			h.Config = &ssh.ServerConfig{NoClientAuth: true}
			h.Config.AddHostKey(other)
		}},

		"refuses sessions with many words": {want: "session-refused", ask: run(nil), set: func(h *hostile) {
			h.Opened = func(c ssh.NewChannel) { _ = c.Reject(ssh.ResourceShortage, strings.Repeat("no ", 1000)) }
		}},
		"a session that is never opened": {want: "node-timeout", ask: run(nil), set: func(h *hostile) {
			h.impatient()
			h.Opened = func(ssh.NewChannel) { h.Hang() }
		}},
		"a command that is never answered": {want: "node-timeout", ask: run(nil), set: func(h *hostile) {
			h.impatient()
			h.Request = func(*ssh.Request, ssh.Channel) bool { h.Hang(); return true }
		}},
		"a command that is refused": {want: "connection-lost", ask: run(nil), set: func(h *hostile) {
			h.Request = func(r *ssh.Request, _ ssh.Channel) bool { _ = r.Reply(false, nil); return true }
		}},
		"a shell that sleeps": {want: "node-timeout", ask: run(nil), set: func(h *hostile) {
			h.impatient()
			h.Exec = func(string, ssh.Channel) int { h.Hang(); return 0 }
		}},
		"a shell that talks drop by drop": {want: "node-timeout", ask: run(nil), set: func(h *hostile) {
			h.impatient()
			h.Exec = func(_ string, ch ssh.Channel) int { drip(h, ch); return 0 }
		}},
		"a shell that prints for ever": {want: "node-too-much-output", ask: run(nil), set: func(h *hostile) {
			h.Exec = func(_ string, ch ssh.Channel) int { h.Flood(ch, "y\n"); return 0 }
		}},
		"a shell that complains for ever": {want: "node-too-much-output", ask: run(nil), set: func(h *hostile) {
			h.Exec = func(_ string, ch ssh.Channel) int { h.Flood(ch.Stderr(), "\x1b[5mno\n"); return 0 }
		}},
		"a shell that does both": {want: "node-too-much-output", ask: run(nil), set: func(h *hostile) {
			h.Exec = func(_ string, ch ssh.Channel) int {
				go h.Flood(ch.Stderr(), "no")
				h.Flood(ch, "y")
				return 0
			}
		}},
		"ends without a status": {want: "connection-lost", ask: run(nil), set: func(h *hostile) { h.Says("", -1) }},
		"hangs up in the middle": {want: "connection-lost", ask: run(nil), set: func(h *hostile) {
			h.Exec = func(_ string, ch ssh.Channel) int { _, _ = io.WriteString(ch, "half"); h.Cut(); return -1 }
		}},
		"ends by a signal with many words": {ask: run(nil), set: func(h *hostile) {
			h.Exec = func(_ string, ch ssh.Channel) int {
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
			h.Exec = func(_ string, ch ssh.Channel) int {
				_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
				h.Hang()
				return -1
			}
		}},
		"an error full of secrets": {ask: run(nil), set: func(h *hostile) {
			h.Exec = func(_ string, ch ssh.Channel) int {
				_, _ = io.WriteString(ch.Stderr(), nodetest.HostileToken+"\n\xff\xfe\x00"+nodetest.HostileToken)
				return 1
			}
		}},
		"floods with requests": {ask: run(nil), set: func(h *hostile) {
			h.Says("", 1)
			h.After = func(c ssh.Conn) {
				for range 10_000 {
					if _, _, err := c.SendRequest("hostkeys-00@openssh.com", false, make([]byte, 1024)); err != nil {
						return
					}
				}
			}
		}},
		"opens channels to this machine": {ask: run(nil), set: func(h *hostile) {
			h.Says("", 1)
			h.After = func(c ssh.Conn) {
				for _, kind := range []string{"forwarded-tcpip", "auth-agent@openssh.com", "x11", "session"} {
					if ch, _, err := c.OpenChannel(kind, nil); err == nil {
						t.Errorf("a channel of kind %s was opened to this machine", kind)
						_ = ch.Close()
					}
				}
			}
		}},

		"an engine's socket that hangs": {want: "node-timeout", ask: func(ctx context.Context, n *Conn) error {
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			_, err := n.DialEngine(ctx)
			return err
		}, set: func(h *hostile) { h.Opened = func(ssh.NewChannel) { h.Hang() } }},

		"no SFTP": {want: "sftp-absent", ask: listed, set: func(h *hostile) {
			h.Request = func(r *ssh.Request, _ ssh.Channel) bool { _ = r.Reply(false, nil); return true }
		}},
		"SFTP that is never answered": {want: "node-timeout", ask: listed, set: func(h *hostile) {
			h.impatient()
			h.Request = func(*ssh.Request, ssh.Channel) bool { h.Hang(); return true }
		}},
		"SFTP that says nothing": {want: "node-timeout", ask: listed, set: func(h *hostile) {
			h.impatient()
			h.Request = func(r *ssh.Request, _ ssh.Channel) bool { _ = r.Reply(true, nil); return true }
		}},
		"SFTP of noise": {ask: listed, set: func(h *hostile) {
			h.Request = sftpServer(h, func(w io.Writer, _ byte, _ uint32) { _, _ = w.Write([]byte("\xff\xff\xff\xff\xff\xff\xff")) })
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
			h.Request = sftpServer(h, func(w io.Writer, kind byte, id uint32) {
				switch kind {
				case sftpOpenDir:
					sftpSend(w, sftpHandle, binary.BigEndian.AppendUint32(nil, id), []byte("\x00\x00\x00\x01h"))
				case sftpReadDir:
					h.Sent.Add(int64(len(names)))
					sftpSend(w, sftpName, binary.BigEndian.AppendUint32(nil, id), binary.BigEndian.AppendUint32(nil, 1000), names)
				}
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t)
			tt.set(h)
			h.Start(t)
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
			h.WantBounded(t, err, tt.want)
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
				if head[4] == sftpInit && h.Sent.Load() == 0 {
					h.Sent.Add(1)
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
		c.From = &Place{fileSystem: liar{name: name}, name: "node01", node: &Conn{}}
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
	f.Start(t)
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
			e := nodetest.WantTrouble(t, err, "known-hosts-unreadable")
			if name == "noise" && !strings.Contains(e.Why, "line 2") {
				t.Errorf("it does not say where: %s", e.Why)
			}
			if strings.Contains(fmt.Sprint(err), "nothing answers") {
				t.Errorf("it blames the node: %v", err)
			}
		})
	}
}
