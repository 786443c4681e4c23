package node

import (
	"strings"

	"github.com/dcalab/dcalab/lesson"
)

// Quote is lesson.Line for a shell that really reads the line: it sees exactly
// these words. An argument with a NUL byte cannot be carried by any command
// line, and loses it.
func Quote(args ...string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = strings.ReplaceAll(a, "\x00", "")
	}
	return lesson.Line(words...)
}
