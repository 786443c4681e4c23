package ui

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// PrintError shows err as a person reads it:
//
//	error: demote node01: the quorum would be lost
//	  dcalab promote node02
//
// Errors that were joined stand each on a line; what to do now (trouble.Advice)
// follows once for all of them. With verbose, the id of each trouble and the
// cause that its explanation replaced are shown too. hint, where there is one,
// gets each line of advice and gives it as it is shown. Nothing is written for
// nil.
func PrintError(w io.Writer, err error, color, verbose bool, hint func(string) string) {
	if err == nil {
		return
	}
	var b strings.Builder
	for _, e := range joined(err) {
		writeError(&b, e, color, verbose)
	}
	for _, line := range trouble.Advice(err) {
		if hint != nil {
			line = hint(line)
		}
		fmt.Fprintf(&b, "  %s\n", plainText(line))
	}
	// There is nowhere left to tell of an error stream that is closed.
	_, _ = io.WriteString(w, b.String())
}

// PrintWarning shows one thing that the reader should know and that stopped
// nothing; on a terminal, broken between words.
func PrintWarning(w io.Writer, text string, color bool) {
	_, _ = io.WriteString(w, Wrap(warning(text, color)+"\n", fitOf(w)))
}

func warning(text string, color bool) string {
	return paint("warning:", toneWarn, color) + " " + plainText(text)
}

func writeError(b *strings.Builder, err error, color, verbose bool) {
	label := paint("error:", toneBad, color)
	lines := strings.Split(strings.TrimRight(err.Error(), "\n"), "\n")
	fmt.Fprintf(b, "%s %s\n", label, plainText(lines[0]))
	for _, line := range lines[1:] {
		fmt.Fprintf(b, "  %s\n", plainText(line))
	}
	var t *trouble.Error
	if verbose && errors.As(err, &t) {
		if t.ID != "" {
			fmt.Fprintf(b, "  %s %s\n", paint("id:", toneFaint, color), plainText(t.ID))
		}
		if t.Why != "" && t.Err != nil {
			fmt.Fprintf(b, "  %s %s\n", paint("cause:", toneFaint, color), plainText(t.Err.Error()))
		}
	}
}

// joined gives the errors that errors.Join put together, however deep, or err
// itself. An error that only mentions several (two %w) has words of its own
// between them and is left whole.
func joined(err error) []error {
	u, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	parts := u.Unwrap()
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.Error()
	}
	if err.Error() != strings.Join(texts, "\n") {
		return []error{err}
	}
	var all []error
	for _, p := range parts {
		all = append(all, joined(p)...)
	}
	return all
}
