package engine

import (
	"context"
	"errors"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// Life is whether an engine answers.
type Life string

// The lives of an engine.
const (
	LifeUp    Life = "up"    // it answers
	LifeDown  Life = "down"  // it does not run
	LifeHangs Life = "hangs" // it runs, and does not answer a ping; one that waits for a leader does
)

// Container is one that has started or ended, and that no service asked for.
type Container struct {
	Name   string
	Action string // "start", "die", "oom"
	Exit   string // the exit status of one that ended
}

// Follower is told what Follow finds.
type Follower struct {
	// Process names the engine's process, and is empty where none runs. The engine is
	// only connected to where there is one: where systemd holds its socket, a
	// connection would start an engine that somebody has stopped.
	Process func(context.Context) (string, error)
	// Life is told first how the engine is, and then each change. version is that of
	// one that is up, where it tells it.
	Life func(life Life, version string)
	// Container is told of each.
	Container func(Container)
}

const (
	// pingPause is between two pings, and pingTimeout how long one may take, before the
	// engine is said to hang.
	pingPause   = 3 * time.Second
	pingTimeout = 3 * time.Second
	// soonPause grows to latePause between looks for an engine that is gone.
	soonPause = 250 * time.Millisecond
	latePause = 3 * time.Second
)

// Follow tells whether the engine answers, and each change of that, until ctx ends. It
// holds a stream of the engine's events, whose end is the engine's, and pings now and
// then.
func (c *Client) Follow(ctx context.Context, to Follower) {
	told := Life("")
	say := func(life Life) {
		if life == told || ctx.Err() != nil {
			return
		}
		told = life
		version := ""
		if life == LifeUp {
			version, _ = c.Version(ctx)
		}
		to.Life(life, version)
	}
	pause, was := soonPause, ""
	for ctx.Err() == nil {
		process, err := to.Process(ctx)
		if err == nil {
			if process == "" || was != "" && process != was { // gone, or started anew meanwhile
				say(LifeDown)
			}
			was = process
			if process != "" && c.attend(ctx, say, to.Container) {
				pause = soonPause
				continue // its end may be that of the stream alone
			}
		}
		sleep(ctx, pause)
		pause = min(2*pause, latePause)
	}
}

// attend follows an engine whose process runs, until its stream ends; opened tells
// whether there was one.
func (c *Client) attend(ctx context.Context, say func(Life), container func(Container)) (opened bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type stream struct {
		messages <-chan events.Message
		failed   <-chan error
	}
	opening := make(chan stream, 1)
	go func() { // it is there once the engine has answered
		if err := c.negotiate(ctx); err != nil {
			failed := make(chan error, 1)
			failed <- err
			opening <- stream{failed: failed}
			return
		}
		messages, failed := c.api.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
			filters.Arg("type", "container"), filters.Arg("event", "start"), filters.Arg("event", "die"), filters.Arg("event", "oom"))})
		opening <- stream{messages, failed}
	}()
	var s stream
	tick := time.NewTicker(pingPause)
	defer tick.Stop()
	ping := func() {
		err := c.ping(ctx, pingTimeout)
		switch {
		case err == nil && s.messages != nil:
			say(LifeUp)
		case errors.Is(err, context.DeadlineExceeded):
			say(LifeHangs)
		}
	}
	for {
		select {
		case s = <-opening:
			opened = true
			select {
			case err := <-s.failed:
				_ = err // whether its process is there tells more
				return false
			default:
				say(LifeUp)
			}
		case m := <-s.messages:
			if found, ok := containerOf(m); ok {
				container(found)
			}
		case err := <-s.failed:
			_ = err
			return opened
		case <-tick.C:
			ping()
		case <-ctx.Done():
			return opened
		}
	}
}

// containerOf reads an event; not one of a task's container, of which the swarm tells.
// Nothing but the name is kept of what a container has.
func containerOf(m events.Message) (Container, bool) {
	has := m.Actor.Attributes
	if has["com.docker.swarm.task.id"] != "" || has["name"] == "" {
		return Container{}, false
	}
	return Container{Name: has["name"], Action: string(m.Action), Exit: has["exitCode"]}, true
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
