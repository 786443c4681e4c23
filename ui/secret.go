package ui

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// maxSecret is how much is read of a secret.
const maxSecret = 1 << 12

// ReadSecret reads a secret: from a terminal, where prompt asks for it, without
// showing it; else from a pipe, to its end.
func ReadSecret(ctx context.Context, s Streams, prompt string) (string, error) {
	read := func() ([]byte, error) { return io.ReadAll(io.LimitReader(s.In, maxSecret)) }
	restore := func() {}
	if f, ok := s.In.(*os.File); ok && s.InTerminal() {
		before, err := term.GetState(int(f.Fd()))
		if err != nil {
			return "", err
		}
		// Ctrl-C must not leave a terminal without echo behind.
		restore = func() { _ = term.Restore(int(f.Fd()), before) }
		fmt.Fprint(s.Err, prompt)
		read = func() ([]byte, error) {
			text, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(s.Err)
			return text, err
		}
	}
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := read()
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		return string(a.text), a.err
	case <-ctx.Done():
		restore()
		return "", ctx.Err()
	}
}
