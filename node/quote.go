package node

import (
	"strings"

	"github.com/dcalab/dcalab/runbook"
)

// Quote is runbook.Line for a shell that really reads the line: it sees exactly
// these words. An argument with a NUL byte cannot be carried by any command
// line, and loses it.
func Quote(args ...string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = strings.ReplaceAll(a, "\x00", "")
	}
	return runbook.Line(words...)
}
