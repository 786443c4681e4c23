package cmd

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// timed is a session of a command with --timeout.
func timed(t *testing.T, value string) (*session, *bytes.Buffer) {
	t.Helper()
	c := &cobra.Command{Use: "promote"}
	timeoutFlag(c, 0)
	if err := c.Flags().Set("timeout", value); err != nil {
		t.Fatal(err)
	}
	var story bytes.Buffer
	return &session{app: &app{called: c, settings: viper.New(), streams: ui.Streams{Err: &story}}}, &story
}

func untilOver(ctx context.Context, tell story) error {
	tell.Step("node01", "done soon")
	tell.Done("node01", "")
	tell.Step("node02", "joining raft")
	<-ctx.Done()
	tell.Fail("node02", ctx.Err())
	return ctx.Err()
}

func TestTimeoutIsOver(t *testing.T) {
	s, told := timed(t, "10ms")
	err := s.bounded(t.Context(), nil, untilOver)
	var e *trouble.Error
	if !errors.As(err, &e) || e.ID != "condition-unmet" || trouble.ExitStatus(err) != trouble.ExitUnfinished {
		t.Fatal(err)
	}
	if want := "promote (10ms): node02: joining raft"; err.Error() != want || !strings.Contains(strings.Join(e.Next, "\n"), "--timeout 20ms") {
		t.Errorf("%q, want %q\n%q", err, want, e.Next)
	}
	if !strings.Contains(told.String(), "the time of --timeout is over") {
		t.Errorf("it tells:\n%s", told)
	}
	// What comes after it, without a question between, has no time left.
	if err := s.bounded(t.Context(), nil, func(ctx context.Context, _ story) error { return ctx.Err() }); trouble.ExitStatus(err) != trouble.ExitUnfinished {
		t.Error(err)
	}
}

func TestNoTimeout(t *testing.T) {
	s, _ := timed(t, "0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.bounded(ctx, nil, untilOver); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	failed := errors.New("refused")
	s, _ = timed(t, "1h")
	if err := s.bounded(t.Context(), nil, func(context.Context, story) error { return failed }); err != failed { //nolint:errorlint // the very one
		t.Error(err)
	}
}

// A value that is none is refused before anything is touched.
func TestTimeoutValues(t *testing.T) {
	for _, command := range []string{"up", "start", "halt", "destroy", "reset", "promote node01", "demote node01", "join node01", "drain node01", "swarm bootstrap", "swarm dissolve", "snapshot save a", "snapshot restore a"} {
		for _, value := range []string{"-1s", "soon", "5"} {
			status, _, story := run(t, append(strings.Fields(command), "--timeout", value)...)
			if status != trouble.ExitUsage || !strings.Contains(story, "it is not a duration") {
				t.Errorf("%s --timeout %s: exit status %d\n%s", command, value, status, story)
			}
		}
	}
}
