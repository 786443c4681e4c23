package ui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/muesli/cancelreader"

	"github.com/dcalab/dcalab/trouble"
)

// Confirm asks a yes-or-no question on Err and reads the answer from In.
// Anything but y or yes, in any case, is no; so is the end of the input.
// Where In is not a terminal nobody can answer: that is an error that names
// --yes, the flag that every asking command has. It ends early with ctx's
// error.
func Confirm(ctx context.Context, s Streams, question string) (bool, error) {
	f, ok := s.In.(*os.File)
	if !ok || !s.InTerminal() {
		return false, &trouble.Error{
			ID:   "cannot-ask",
			What: strings.TrimSuffix(plainText(question), "?"),
			Why:  "the input is not a terminal, so nobody can be asked",
			Next: []string{"to skip the question, pass --yes"},
			Exit: trouble.ExitRefused,
		}
	}
	// A plain Read would outlive ctx: the caller turned Ctrl-C into a
	// cancelled context, so it no longer ends the program.
	in, err := cancelreader.NewReader(f)
	if err != nil {
		return false, fmt.Errorf("ask %q: %w", question, err)
	}
	defer in.Close()
	defer context.AfterFunc(ctx, func() { in.Cancel() })()

	if _, err := fmt.Fprintf(s.Err, "%s [y/N] ", plainText(question)); err != nil {
		return false, fmt.Errorf("ask %q: %w", question, err)
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if ctx.Err() != nil {
		fmt.Fprintln(s.Err)
		return false, context.Cause(ctx)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("ask %q: %w", question, err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}
