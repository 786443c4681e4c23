package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/trouble"
)

// An engine that misbehaves costs bounded time and bounded memory, and what it
// says of itself is taken for a word, not for the truth.
func TestHostileEngines(t *testing.T) {
	t.Parallel()
	log.SetOutput(io.Discard) // net/http tells there what came out of turn
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	const head = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n"
	body := func(text string) string { return head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(text), text) }
	const ping = head + "Content-Length: 0\r\n\r\n"
	info := func(ctx context.Context, c *engine.Client) error { _, err := c.Swarm.Info(ctx); return err }
	nodes := func(ctx context.Context, c *engine.Client) error { _, err := c.Swarm.Nodes(ctx); return err }
	images := func(ctx context.Context, c *engine.Client) error { _, err := c.Images.List(ctx); return err }
	tasks := func(ctx context.Context, c *engine.Client) error { _, err := c.Swarm.Tasks(ctx); return err }
	load := func(ctx context.Context, c *engine.Client) error { return c.Images.Load(ctx, strings.NewReader("tar")) }
	const (
		tooMuch = "node-too-much-output"
		fine    = "fine"
	)
	for name, tt := range map[string]struct {
		ask    func(context.Context, *engine.Client) error
		answer string // after the ping's
		flood  string // said for ever after it
		hang   bool   // after it, in place of an end
		ping   string // in place of a proper one
		short  bool   // the caller's patience is short
		want   string
	}{
		"endless JSON":               {ask: info, answer: head + "\r\n{\"Name\":\"", flood: "a", want: tooMuch},
		"endless white space":        {ask: info, answer: head + "\r\n", flood: " ", want: tooMuch},
		"endless list of nodes":      {ask: nodes, answer: head + "\r\n[", flood: "{},", want: tooMuch},
		"endless list of nulls":      {ask: nodes, answer: head + "\r\n[", flood: "null,", want: tooMuch},
		"endless list of images":     {ask: images, answer: head + "\r\n[", flood: `{"RepoTags":["a:b"]},`, want: tooMuch},
		"endless list of tasks":      {ask: tasks, answer: head + "\r\n[", flood: "{},", want: tooMuch},
		"endless list in a task":     {ask: tasks, answer: head + "\r\n[{\"NetworksAttachments\":[", flood: "{},", want: tooMuch},
		"endless depth":              {ask: info, answer: head + "\r\n", flood: "[", want: tooMuch},
		"endless depth of objects":   {ask: info, answer: head + "\r\n", flood: `{"a":`, want: tooMuch},
		"endless progress of a load": {ask: load, answer: head + "\r\n", flood: `{"stream":"x"}`, want: tooMuch},
		"endless line of a load":     {ask: load, answer: head + "\r\n{\"stream\":\"", flood: "x", want: tooMuch},
		"a braces' quarrel":          {ask: info, answer: body(`]]]]}}}}{"a":"\"]`)},
		"endless headers":            {ask: info, answer: "HTTP/1.1 200 OK\r\n", flood: "X-A: b\r\n"},
		"one endless header":         {ask: info, answer: "HTTP/1.1 200 OK\r\nX-A: ", flood: "b"},
		"endless error":              {ask: info, answer: "HTTP/1.1 500 no\r\nContent-Type: application/json\r\n\r\n{\"message\":\"", flood: "x"},
		"endless 1xx":                {ask: info, answer: "", flood: "HTTP/1.1 103 Early Hints\r\n\r\n"},
		"a ping without an end":      {ask: info, ping: head + "\r\n", flood: "x", short: true},
		"another type":               {ask: info, answer: "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"},
		"no HTTP":                    {ask: info, answer: "\x00\xff\x1b[2J\r\n"},
		"a redirect":                 {ask: info, answer: "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"},
		"a protocol that is changed": {ask: info, answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"},
		"closes in the middle":       {ask: info, answer: head + "Content-Length: 100\r\n\r\n{\"Name\":"},
		"hangs in the middle":        {ask: info, answer: head + "Content-Length: 100\r\n\r\n{\"Name\":", hang: true, short: true},
		"never answers":              {ask: info, hang: true, short: true},
		"numbers out of reach":       {ask: info, answer: body(`{"Swarm":{"Cluster":{"SubnetSize":1e400}}}`)},
		"numbers below nothing":      {ask: info, answer: body(`{"Swarm":{"Cluster":{"SubnetSize":-1}}}`)},
		"a list that is an object":   {ask: nodes, answer: body(`{"ID":"x"}`)},
		"a node that is a number":    {ask: nodes, answer: body(`[7]`)},
		"half a secret in an error":  {ask: info, answer: "HTTP/1.1 500 no\r\nContent-Type: application/json\r\nContent-Length: " + fmt.Sprint(len(token)+14) + "\r\n\r\n{\"message\":\"" + token + "\"}"},
		"negative sizes":             {ask: images, answer: body(`[{"Id":"sha256:x","Size":-9223372036854775808,"RepoTags":null}]`), want: fine},
		"nodes of one id":            {ask: nodes, answer: body(`[{"ID":"x"},{"ID":"x"},{"ID":""}]`), want: fine},
		"null for a list":            {ask: nodes, answer: body(`null`), want: fine},
		"a name that is no text":     {ask: info, answer: body("{\"Name\":\"\xff\xfe\\u0000\\u001b[31m\"}"), want: fine},
		"a very long name":           {ask: info, answer: body(`{"Name":"` + strings.Repeat("x", 1<<20) + `"}`), want: fine},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int64
			over := make(chan struct{})
			serve := func(c net.Conn) {
				defer c.Close()
				pinged := false
				for {
					text, err := readRequest(c)
					if err != nil {
						return
					}
					if strings.Contains(text, "/_ping") && !pinged && tt.ping == "" {
						pinged = true
						_, _ = io.WriteString(c, ping)
						continue
					}
					_, _ = io.WriteString(c, tt.ping+tt.answer)
					if tt.flood != "" {
						chunk := []byte(strings.Repeat(tt.flood, 1+(32<<10)/len(tt.flood)))
						for err == nil {
							var n int
							n, err = c.Write(chunk)
							sent.Add(int64(n))
						}
					}
					if tt.hang {
						<-over
					}
					return
				}
			}
			c, err := engine.New("node01", func(context.Context) (net.Conn, error) {
				near, far := net.Pipe()
				go serve(far)
				return near, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			defer close(over)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			if tt.short {
				ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			}
			defer cancel()
			err = tt.ask(ctx, c)
			if tt.want == fine {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("it was believed")
			}
			if ctx.Err() != nil && !tt.short {
				t.Fatal("it was waited for without an end")
			}
			var e *trouble.Error
			// On a busy machine the call's own 5 s may be over first.
			late := errors.Is(err, engine.ErrUnreachable) && errors.Is(err, context.DeadlineExceeded)
			if errors.As(err, &e); tt.want != "" && !late && (e == nil || e.ID != tt.want) {
				t.Errorf("got %.200v, want trouble %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "context deadline exceeded") {
				t.Errorf("%q is in Go's words", err)
			}
			if strings.Contains(err.Error(), token[20:]) {
				t.Errorf("a secret is in %q", err)
			}
			if len(err.Error()) > 2<<20 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if sent.Load() > 20<<20 {
				t.Errorf("%d MiB were read of it", sent.Load()>>20)
			}
		})
	}
}

// readRequest reads a request's head; bodies are left unread.
func readRequest(c net.Conn) (string, error) {
	var text strings.Builder
	b := make([]byte, 1)
	for !strings.HasSuffix(text.String(), "\r\n\r\n") {
		if _, err := c.Read(b); err != nil {
			return "", err
		}
		text.WriteByte(b[0])
	}
	return text.String(), nil
}
