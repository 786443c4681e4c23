package ui

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// watchBreath is between two pictures at the least, whatever happens.
const watchBreath = 500 * time.Millisecond

// Watch shows what render gives, again and again with interval between, and as soon
// as happened tells of something (nil: nothing does), until ctx ends, which is no error: Ctrl-C is how one leaves. On a terminal each
// picture takes the place of the one before, and the last stays; elsewhere
// they follow each other with an empty line between. render is given the
// width in columns that it has, and is called by one goroutine only; its
// error ends the watch and is returned.
func Watch(ctx context.Context, s Streams, interval time.Duration, happened <-chan struct{}, render func(ctx context.Context, width int) (string, error)) error {
	if !s.canRedraw(s.Out) {
		first := true
		return repeat(ctx, interval, happened, func() error {
			text, err := render(ctx, s.OutWidth())
			if err != nil {
				return err
			}
			if !first {
				text = "\n" + text
			}
			first = false
			if _, err := io.WriteString(s.Out, endLine(text)); err != nil {
				return fmt.Errorf("watch: %w", err)
			}
			return nil
		})
	}

	var mu sync.Mutex
	var picture string
	d := newDisplay(s.Out, s.environ(), func(columns, rows, _ int) string {
		mu.Lock()
		defer mu.Unlock()
		return fit(picture, columns, rows)
	})
	defer d.keep()
	return repeat(ctx, interval, happened, func() error {
		text, err := render(ctx, s.OutWidth())
		if err != nil {
			return err
		}
		mu.Lock()
		picture = endLine(text)
		mu.Unlock()
		d.redraw()
		return nil
	})
}

// repeat calls turn until it fails or ctx ends; the end of ctx is no error.
func repeat(ctx context.Context, interval time.Duration, happened <-chan struct{}, turn func() error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	quiet := time.NewTimer(0) // what happens at nearly the same time is one turn
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-happened:
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			case <-quiet.C:
			}
		}
		if err := turn(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		timer.Reset(interval)
		quiet.Reset(watchBreath)
	}
}

// fit cuts a picture to a screen, keeping its top: that is where a table has
// its header.
func fit(picture string, columns, rows int) string {
	if picture == "" {
		return ""
	}
	lines := strings.Split(strings.TrimSuffix(picture, "\n"), "\n")
	if room := max(1, rows-1); len(lines) > room {
		left := len(lines) - room + 1
		lines = append(lines[:room-1:room-1], fmt.Sprintf("… %d more lines", left))
	}
	for i, l := range lines {
		lines[i] = cut(l, columns)
	}
	return strings.Join(lines, "\n") + "\n"
}

func endLine(s string) string { return strings.TrimRight(s, "\n") + "\n" }
