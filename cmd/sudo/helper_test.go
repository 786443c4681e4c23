package sudo

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/web"
)

// helping connects to a helper of this same process.
func helping(ctx context.Context, serve func(in io.Reader, out io.Writer) error) (*Helper, error) {
	in, requests := io.Pipe()
	answers, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- serve(in, out)
		_, _ = in.Close(), out.Close()
	}()
	return connect(ctx, requests, answers, func() error { return <-ended })
}

// TestHelper: each request has its own answer, whichever comes first; what is under way when
// it is told to end ends gracefully, and has its answer, too.
func TestHelper(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	slow, last := make(chan struct{}), make(chan web.Done, 1)
	h, err := helping(ctx, func(in io.Reader, out io.Writer) error {
		Serve(t.Context(), in, out, func(ctx context.Context, words []string) web.Done {
			if words[0] == "slow" {
				close(slow)
				<-ctx.Done()
				return web.Done{Exit: trouble.ExitInterrupted}
			}
			return web.Done{Exit: len(words), Text: strings.Join(words, " "), Question: "sure?"}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		done, _ := h.Do([]string{"slow"})
		last <- done
	}()
	<-slow
	for _, line := range []string{"halt m1", "halt m1 --yes"} {
		words := strings.Fields(line)
		if done, err := h.Do(words); err != nil || done != (web.Done{Exit: len(words), Text: line, Question: "sure?"}) {
			t.Errorf("%s: %+v, %v", line, done, err)
		}
	}
	cancel()
	<-h.ended
	if done := <-last; done.Exit != trouble.ExitInterrupted {
		t.Errorf("what was under way: %+v", done)
	}
	h.End()
}

// TestHelperEnds: one that ends by itself leaves nobody waiting, be it before it was ready.
func TestHelperEnds(t *testing.T) {
	status := errors.New("exit status 3")
	for name, c := range map[string]struct {
		says      string
		end, want error
	}{
		"it says nothing": {"", nil, errEnded},
		"a stranger":      {"hello\n", status, status},
		"it is ready":     {`{"id":0,"exit":0,"text":""}` + "\n", status, nil},
	} {
		h, err := helping(t.Context(), func(in io.Reader, out io.Writer) error {
			_, err := io.WriteString(out, c.says)
			if c.want == nil {
				_, err = bufio.NewReader(in).ReadString('\n')
			}
			return errors.Join(err, c.end)
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if h != nil {
			if done, err := h.Do([]string{"halt", "gone"}); !errors.Is(err, errEnded) {
				t.Errorf("%s: it answers %+v, %v", name, done, err)
			}
			h.End()
		}
	}
}
