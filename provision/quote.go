package provision

import "strings"

// Quote makes a command line of arguments: a POSIX shell that reads the line
// sees exactly these words. An argument with a NUL byte cannot be carried by
// any command line, and loses it.
func Quote(args ...string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = quoteWord(strings.ReplaceAll(a, "\x00", ""))
	}
	return strings.Join(words, " ")
}

// quoteWord leaves plain words as they are, for the reader's sake, and puts
// the rest into single quotes, in which only the single quote means anything.
func quoteWord(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(r rune) bool {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return false
		}
		return !strings.ContainsRune("-_./:@%+,", r)
	}) < 0
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
