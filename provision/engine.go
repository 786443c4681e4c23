package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// askEngine gets an answer of the engine's API, JSON of at most limit bytes,
// into v, and gives its HTTP status line.
func askEngine(ctx context.Context, c *node.Conn, path string, limit int64, v any) (status string, err error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 64 << 10,
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return c.DialEngine(ctx) },
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil && strings.Contains(err.Error(), "%!") { // net/http's own slip
		err = fmt.Errorf("%s: what listens on %s answers before it is asked: is it a Docker Engine?", c.Name(), node.EngineSocket)
	}
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body := &io.LimitedReader{R: resp.Body, N: limit}
	if err := json.NewDecoder(body).Decode(v); err != nil {
		if body.N <= 0 {
			err = trouble.TooMuch(c.Name(), "ask the engine for "+path, limit)
		}
		return "", fmt.Errorf("%s: read the engine's answer to %s: %w", c.Name(), path, err)
	}
	return resp.Status, nil
}

// engineVersion asks the engine for its version. The engine accepts
// connections before it can answer, so this is also how to wait for one that
// starts.
func engineVersion(ctx context.Context, c *node.Conn) (string, error) {
	var v struct{ Version string }
	status, err := askEngine(ctx, c, "/version", 1<<20, &v)
	if err != nil {
		return "", err
	}
	if v.Version == "" {
		return "", fmt.Errorf("%s: the engine answered %s and no version", c.Name(), status)
	}
	return v.Version, nil
}

// awaitEngine waits until the engine answers, for as long as enginePatience.
func awaitEngine(ctx context.Context, c *node.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, enginePatience)
	defer cancel()
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 20 * time.Millisecond
	b.MaxInterval = 500 * time.Millisecond
	var last error
	ends := "" // how often the engine had ended before
	version, err := backoff.Retry(ctx, func() (string, error) {
		v, err := engineVersion(ctx, c)
		var t *trouble.Error
		if errors.As(err, &t) && !trouble.IsAny(err, trouble.ErrEngineDown, trouble.ErrNodeTimeout) {
			return "", backoff.Permanent(err)
		}
		if err != nil && ctx.Err() == nil {
			last = err
			// The node watches its socket by itself, which costs no round trips;
			// a failure is the next attempt's to tell, but for one.
			r, waited := c.Script(ctx, script(c, "await.sh"), node.EngineSocket, "200", ends)
			if ends == "" {
				ends = strings.TrimSpace(string(r.Stdout))
			}
			if dies(waited) {
				return "", backoff.Permanent(engineDies(ctx, c))
			}
		}
		if err == nil {
			if _, steady := c.Script(ctx, script(c, "steady.sh")); dies(steady) {
				last = engineDies(ctx, c)
				return "", errors.New("the engine answered, and ended") // it may be the last time
			}
		}
		return v, err
	}, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0))
	if err == nil {
		return version, nil
	}
	var t *trouble.Error
	switch {
	case errors.As(err, &t):
		return "", t
	case errors.As(last, &t):
		return "", t
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return "", &trouble.Error{
			ID: "engine-down", Where: c.Name(), What: "wait for the engine",
			Why:  fmt.Sprintf("it did not answer within %v", enginePatience),
			Next: []string{"dcalab ssh " + c.Name() + " -- sudo service docker status"},
			Err:  errors.Join(err, last),
		}
	}
	return "", err
}

// dies tells whether a script saw the engine end at each start.
func dies(err error) bool {
	var failed *node.RunError
	return errors.As(err, &failed) && failed.Exit == 2
}

// engineDies says why the engine ends at each start, as far as its log does.
func engineDies(ctx context.Context, c *node.Conn) error {
	why, _ := c.Root(ctx, script(c, "last-words.sh"), nil)
	e := &trouble.Error{
		ID: "engine-dies", Where: c.Name(), What: "wait for the engine", Why: "it exits each time it is started",
		Next: []string{
			"fix /etc/docker/daemon.json on the node, or what else its log names: dcalab logs " + c.Name(),
			"then: dcalab up " + c.Name(),
		},
	}
	if word := lastWord(why); word != "" {
		e.Why += ": " + word
	}
	return e
}

// lastWord picks the line of an engine's log that says why it ended: the last
// that is fatal, or without a level; else the last.
func lastWord(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	word := lines[len(lines)-1]
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimSpace(lines[i])
		_, level, leveled := strings.Cut(line, "level=")
		if line != "" && (!leveled || strings.HasPrefix(level, "fatal") || strings.HasPrefix(level, "panic")) &&
			!strings.HasPrefix(line, "docker.service:") && !strings.Contains(line, "Docker Application Container Engine") {
			word = line
			break
		}
	}
	const most = 500
	return strings.ToValidUTF8(word[:min(len(word), most)], "")
}
