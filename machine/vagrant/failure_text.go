package vagrant

import (
	"regexp"
	"slices"
	"strings"
)

func fold(text string) string { return strings.Join(strings.Fields(text), " ") }

// longest is how many characters of Vagrant's text a failure's reason has.
const longest = 200

// telling is the sentence of a text that the pattern matches, else the first
// that says more than that there was an error. One that is too long begins
// close before what matches.
func telling(text string, pattern *regexp.Regexp) string {
	all := sentences(text)
	says := func(s string) bool { return !preamble.MatchString(s) }
	at, whole := -1, fold(text)
	if pattern != nil {
		at = slices.IndexFunc(all, pattern.MatchString)
	}
	switch {
	case at >= 0:
		if more := slices.IndexFunc(all[at:], says); more > 0 {
			at += more
		}
	case pattern != nil && pattern.MatchString(whole):
		return shorten(whole, pattern)
	default:
		if at = slices.IndexFunc(all, says); at < 0 {
			return ""
		}
	}
	return shorten(strings.TrimPrefix(all[at], "Stderr: "), pattern)
}

func shorten(s string, pattern *regexp.Regexp) string {
	if len(s) > longest && pattern != nil {
		if m := pattern.FindStringIndex(s); m != nil {
			start := max(strings.LastIndex(s[:m[0]], ": "), strings.LastIndex(s[:m[0]], ". "))
			s = strings.TrimLeft(s[max(0, start):], ":. ")
		}
	}
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest-1]) + "…"
	}
	return s
}

// preamble matches the sentences with which Vagrant introduces what another
// program, or Ruby, said.
var preamble = regexp.MustCompile("^(There was an error (while executing `VBoxManage`|talking to Libvirt|while command execution|while downloading the metadata|loading a Vagrantfile)|" +
	"The command and stderr is shown below|Command: \\[|The (exact )?error (message )?is shown below|" +
	"The provider '[^']+' that was requested|The reason is shown below|" +
	"An error occurred while (downloading the remote file|executing (multiple actions|a PowerShell))|The error message, if any|Please fix this error|" +
	"Vagrant failed to initialize at a very early stage|Any errors that occurred|" +
	"There is a syntax error in|The syntax error message is|The file being loaded|This is usually caused by|" +
	"There are errors in the configuration|Please fix the following|" +
	"The plugins failed to|This may be due to manual|Vagrant can attempt to|vagrant plugin |If Vagrant was recently|To fix this problem|Or you may want|The error message given is|" +
	"Vagrant failed to properly resolve|These errors can commonly|The reported error is|The metadata for the box was malformed)")

var (
	toolLine    = regexp.MustCompile(`(?m)error: |^(==> |\s|URL: |\S+\.rb:\d+:|\S*Vagrantfile:\d+:in )`)
	sentenceEnd = regexp.MustCompile(`[.!?] [A-Z]`)
)

// sentences takes a text apart: Vagrant's paragraphs into sentences, what other
// programs said into lines.
func sentences(text string) []string {
	var all []string
	for paragraph := range strings.SplitSeq(strings.ReplaceAll(text, "\r", ""), "\n\n") {
		if toolLine.MatchString(paragraph) {
			for line := range strings.Lines(paragraph) {
				if line = fold(line); line != "" && !noise(line) {
					all = append(all, line)
				}
			}
			continue
		}
		rest := fold(paragraph)
		for m := sentenceEnd.FindStringIndex(rest); m != nil; m = sentenceEnd.FindStringIndex(rest) {
			all, rest = append(all, rest[:m[0]+1]), rest[m[0]+2:]
		}
		if rest != "" {
			all = append(all, rest)
		}
	}
	return all
}
