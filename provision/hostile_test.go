package provision

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/node/nodetest"
)

// A node whose answers are lies costs bounded time and bounded memory, and
// gives an error in which there is no secret.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	probed := func(ctx context.Context, c *node.Conn) error { _, err := probeNode(ctx, c, Want{}); return err }
	certified := func(ctx context.Context, c *node.Conn) error { _, err := (SwarmData{c}).Certificate(ctx); return err }
	clocked := func(ctx context.Context, c *node.Conn) error { _, err := Clock(ctx, c); return err }
	version := func(ctx context.Context, c *node.Conn) error { _, err := engineVersion(ctx, c); return err }
	// An engine answers a request. Whether net/http reads an answer that comes
	// before the request was sent depends on the timing.
	asked := func(ch ssh.Channel) { _, _ = http.ReadRequest(bufio.NewReader(ch)) }
	for name, tt := range map[string]struct {
		set  func(h *hostile)
		ask  func(context.Context, *node.Conn) error
		want string // the id; empty for an error without one
	}{
		"a shell that sleeps, for root": {want: "node-timeout", ask: certified, set: func(h *hostile) {
			h.impatient()
			h.Exec = func(string, ssh.Channel) int { h.Hang(); return 0 }
		}},
		"a probe of noise": {ask: probed, set: func(h *hostile) { h.Says("uid\x00=\xff\n"+nodetest.HostileToken, 0) }},
		"a probe without an end": {want: "node-too-much-output", ask: probed, set: func(h *hostile) {
			h.Exec = func(_ string, ch ssh.Channel) int { h.Flood(ch, "groups=docker "); return 0 }
		}},
		"a daemon.json that is none":  {ask: probed, set: func(h *hostile) { h.Says("uid=0\ndaemon.json=%%%\n", 0) }},
		"a clock of noise":            {ask: clocked, set: func(h *hostile) { h.Says("99999999999999999999999", 0) }},
		"a certificate that is a key": {ask: certified, set: func(h *hostile) { h.Says("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0) }},
		"a certificate without an end": {want: "node-too-much-output", ask: certified, set: func(h *hostile) {
			h.Exec = func(_ string, ch ssh.Channel) int { h.Flood(ch, "-----BEGIN CERTIFICATE-----\n"); return 0 }
		}},
		"no socket, and a shell that hangs": {want: "node-timeout", ask: version, set: func(h *hostile) {
			h.impatient()
			h.Exec = func(string, ssh.Channel) int { h.Hang(); return 0 }
		}},
		"an engine of endless JSON": {want: "node-too-much-output", ask: version, set: func(h *hostile) {
			h.Forward = func(ch ssh.Channel) {
				asked(ch)
				_, _ = io.WriteString(ch, "HTTP/1.1 200 OK\r\n\r\n{\"Version\":\"")
				h.Flood(ch, "1")
			}
		}},
		"an engine of endless heads": {ask: version, set: func(h *hostile) {
			h.Forward = func(ch ssh.Channel) {
				asked(ch)
				_, _ = io.WriteString(ch, "HTTP/1.1 200 OK\r\n")
				h.Flood(ch, "X-A: b\r\n")
			}
		}},
		"an engine of noise": {ask: version, set: func(h *hostile) { h.Forward = func(ch ssh.Channel) { _, _ = io.WriteString(ch, "\x00\xff") } }},
		"an engine without a version": {ask: version, set: func(h *hostile) {
			h.Forward = func(ch ssh.Channel) {
				asked(ch)
				_, _ = io.WriteString(ch, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t)
			tt.set(h)
			h.Start(t)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			c, err := node.Dial(ctx, h.ep, h.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			err = tt.ask(ctx, c)
			if ctx.Err() != nil {
				t.Fatal("it was waited for without an end")
			}
			h.WantBounded(t, err, tt.want)
		})
	}
}
