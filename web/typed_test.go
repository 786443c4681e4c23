package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"
)

// TestShellThatDoesNotRead: sizes come to it all the same; what is typed waits, some of it
// at the page, and nothing is lost.
func TestShellThatDoesNotRead(t *testing.T) {
	sizes, reads, got := make(chan size), make(chan struct{}), make(chan string)
	s := withTerminals(t, func(ctx context.Context, _ string, t *Terminal) int {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go t.Sizes(ctx, func(columns, rows int) { sizes <- size{columns, rows} })
		<-reads
		var all strings.Builder
		for p := make([]byte, 1000); !strings.HasSuffix(all.String(), "end"); {
			n, err := t.Read(p)
			t.typed.mu.Lock()
			waits := len(t.typed.text)
			t.typed.mu.Unlock()
			if err != nil || waits >= typedRoom+typedMax {
				fmt.Fprintf(&all, "%d bytes wait, %v, end", waits, err)
			}
			all.Write(p[:n])
		}
		got <- all.String()
		return 0
	})
	c, _ := dial(t, s, askTerminals(t, s, `{"node":"m1"}`, 200).Ticket, nil)
	send(t, c, websocket.MessageBinary, "typed ")
	send(t, c, websocket.MessageText, `{"columns":99,"rows":33}`)
	if is := <-sizes; is != (size{99, 33}) {
		t.Errorf("its size is %v", is)
	}
	go func() {
		for range 10 {
			_ = c.Write(t.Context(), websocket.MessageBinary, bytes.Repeat([]byte("x"), typedMax-100))
		}
		_ = c.Write(t.Context(), websocket.MessageText, []byte(`{"columns":80,"rows":24}`))
		_ = c.Write(t.Context(), websocket.MessageBinary, []byte("end"))
	}()
	close(reads)
	if is := <-sizes; is != (size{80, 24}) {
		t.Errorf("then its size is %v", is)
	}
	if text, want := <-got, "typed "+strings.Repeat("x", 10*(typedMax-100))+"end"; text != want {
		t.Errorf("it has read %d bytes of %d, to %q", len(text), len(want), text[max(0, len(text)-80):])
	}
}

// TestPaste: a shell that repeats what it reads waits for the page, which says what it has
// shown behind all that was pasted.
func TestPaste(t *testing.T) {
	s := withTerminals(t, func(_ context.Context, _ string, t *Terminal) int {
		_, _ = io.Copy(t, io.LimitReader(t, 40*typedMax))
		return 0
	})
	c, _ := dial(t, s, askTerminals(t, s, `{"node":"m1"}`, 200).Ticket, nil)
	for range 40 {
		send(t, c, websocket.MessageBinary, strings.Repeat("x", typedMax))
	}
	said := 0
	for {
		_, text, err := c.Read(t.Context())
		if err != nil {
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Error(err)
			}
			break
		}
		said += len(text)
		if c.Write(t.Context(), websocket.MessageText, []byte(`{"shown":true}`)) != nil {
			break
		}
	}
	if said != 40*typedMax {
		t.Errorf("%d bytes of %d are shown", said, 40*typedMax)
	}
}

// TestTyped: what a shell reads is what was typed, in its order; there is room while less
// waits than fits, where a page has to be listened to, and when the shell has ended.
func TestTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, waits := newTyped(), 0
		room := func() {
			waits++
			_ = q.Room(t.Context())
			waits--
		}
		is := func(what string, want int) {
			t.Helper()
			synctest.Wait()
			if waits != want || q.Full() != (want > 0) {
				t.Errorf("%s: %d wait, want %d", what, waits, want)
			}
		}
		q.Add(make([]byte, typedRoom-1))
		go room()
		is("less than fits", 0)
		q.Add([]byte("xyz"))
		go room()
		is("more than fits", 1)
		if _, err := io.ReadFull(q, make([]byte, 10)); err != nil {
			t.Error(err)
		}
		is("some was read", 0)
		q.Add(make([]byte, 10))
		go room()
		is("full again", 1)
		q.Urge(true)
		is("the page has to be listened to", 0)
		q.Add(make([]byte, typedMost))
		if q.Room(t.Context()) == nil {
			t.Error("it has no end")
		}
		q.Close()
		q.Add([]byte("late"))
		if all, err := io.ReadAll(q); err != nil || len(all) != typedRoom+2+typedMost {
			t.Errorf("%d bytes were read, %v", len(all), err)
		}
	})
}
