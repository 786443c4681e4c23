package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// What bounds a labs.yaml, and with it the time that reading one takes: all far
// above any real one.
const (
	MaxSize = 1 << 18 // bytes
	// maxKeys is how many keys one mapping may have. Keys are looked up one after
	// the other.
	maxKeys = 1000
	// maxBackwards bounds lastGoodLine: how many bytes it gives to the YAML
	// library, all its tries together. A megabyte of brackets takes it a second.
	maxBackwards = 1 << 19
)

// readDocument reads the one YAML document of a labs.yaml. What YAML allows
// and labs.yaml does not (several documents, anchors' aliases, merge keys,
// duplicate keys, tags of one's own) is a problem. The node is nil where there
// is nothing to go on with.
func readDocument(data []byte) (*yaml.Node, []Problem) {
	if len(data) > MaxSize {
		return nil, []Problem{tooLong(int64(len(data)))}
	}
	if p, ok := badText(data); ok {
		return nil, []Problem{p}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && isEmpty(&doc) {
		return nil, []Problem{{1, 1, "the file is empty", "version: 1 and at least one lab; dcalab init writes a labs.yaml to start from"}}
	}
	if err != nil {
		return nil, syntaxProblems(data, err)
	}
	root := doc.Content[0]
	if n := crowded(root); n != nil {
		return nil, []Problem{{n.Line, n.Column, fmt.Sprintf("this mapping has %d keys", len(n.Content)/2), fmt.Sprintf("at most %d", maxKeys)}}
	}
	problems := unsupported(root, nil)

	var more yaml.Node
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		problems = append(problems, syntaxProblems(data, err)...)
	default:
		problems = append(problems, Problem{max(more.Line, 1), max(more.Column, 1), "a second YAML document begins", "one document in the file"})
	}
	return root, problems
}

// tooLong is the problem of a file with so many bytes.
func tooLong(size int64) Problem {
	return Problem{1, 1, fmt.Sprintf("the file has %d bytes", size), fmt.Sprintf("at most %d", MaxSize)}
}

// crowded finds a mapping with more keys than maxKeys; nil where there is none.
func crowded(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.MappingNode && len(n.Content)/2 > maxKeys {
		return n
	}
	for _, below := range n.Content {
		if found := crowded(below); found != nil {
			return found
		}
	}
	return nil
}

// isEmpty tells a document with nothing in it but, at most, comments.
func isEmpty(doc *yaml.Node) bool {
	return len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null"
}

// badText finds bytes that are not UTF-8 text, which the YAML library reports
// without a position.
func badText(data []byte) (Problem, bool) {
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return Problem{line, column, "this is not UTF-8 text", "the file saved as UTF-8"}, true
		}
		control := r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f
		switch r {
		case '\r':
			control = i+1 == len(data) || data[i+1] != '\n'
		case '\u0085', '\u2028', '\u2029':
			// YAML 1.1 begins a new line at these, and no editor counts it.
			control = true
		}
		if control {
			return Problem{line, column, fmt.Sprintf("control character %U", r), "plain text"}, true
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		i += size
	}
	return Problem{}, false
}

var yamlErrorLine = regexp.MustCompile(`^line (\d+): `)

// syntaxProblems turns the error of the YAML library into problems. Tabs in
// the indentation, the usual cause, are each pointed at.
func syntaxProblems(data []byte, err error) []Problem {
	lines := strings.Split(string(data), "\n")
	var problems []Problem
	for i, l := range lines {
		indent := l[:len(l)-len(strings.TrimLeft(l, " \t"))]
		if t := strings.IndexByte(indent, '\t'); t >= 0 && strings.TrimSpace(l) != "" {
			problems = append(problems, Problem{i + 1, t + 1, "a tab in the indentation", "spaces: YAML does not allow tabs there"})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlErrorLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	broke := lastGoodLine(lines, maxBackwards) + 1
	if strings.Contains(text, "end of stream") {
		// A quote or bracket is never closed. The end of the file is where
		// that shows, and not where anybody looks for it.
		text, line = "a quote or bracket that begins here is not closed", broke
	}
	line = min(max(line, broke, 1), len(lines))
	l := lines[line-1]
	column := 1 + len(l) - len(strings.TrimLeft(l, " "))
	return []Problem{{line, column, "YAML syntax: " + text, ""}}
}

// lastGoodLine is the length, in lines, of the longest beginning of the file
// that is YAML. The library names the line where the broken block began, which
// in labs.yaml is often the first; the line after this one is where it broke.
// Each try parses the beginning anew: budget is how many bytes all of them
// together may have. 0 where it is not found within that.
func lastGoodLine(lines []string, budget int) int {
	for n := len(lines) - 1; n > 0; n-- {
		beginning := strings.Join(lines[:n], "\n") + "\n"
		if budget -= len(beginning); budget < 0 {
			return 0
		}
		dec := yaml.NewDecoder(strings.NewReader(beginning))
		var err error
		for err == nil {
			var doc yaml.Node
			err = dec.Decode(&doc)
		}
		if errors.Is(err, io.EOF) {
			return n
		}
	}
	return 0
}

// unsupported walks the tree for the YAML that labs.yaml does without, and adds
// what it finds to problems.
func unsupported(n *yaml.Node, problems []Problem) []Problem {
	add := func(n *yaml.Node, what, expected string) {
		problems = append(problems, Problem{n.Line, n.Column, what, expected})
	}
	switch n.Kind {
	case yaml.DocumentNode: // never inside a document
	case yaml.AliasNode:
		// Without them every value is in one place, which is the place
		// that a message can name, and a small file stays small.
		add(n, "the alias *"+n.Value, "the value itself: labs.yaml has no aliases (a lab's box, cpus and memory are meant for all its nodes)")
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!merge":
		default:
			add(n, "the tag "+n.Tag, "a plain value")
		}
	case yaml.MappingNode:
		first := map[string]*yaml.Node{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			switch tag := key.ShortTag(); {
			case key.Kind == yaml.AliasNode:
				problems = unsupported(key, problems)
			case key.Kind != yaml.ScalarNode:
				add(key, "a key that is not text", "a word")
			case tag == "!!merge":
				add(key, "the merge key <<", "the keys themselves (a lab's box, cpus and memory are meant for all its nodes)")
			case first[key.Value] != nil:
				add(key, fmt.Sprintf("%q stands here a second time", key.Value), fmt.Sprintf("it once (the first is in line %d)", first[key.Value].Line))
			default:
				first[key.Value] = key
			}
			problems = unsupported(value, problems)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			problems = unsupported(item, problems)
		}
	}
	return problems
}

// instance gives a node as the values of encoding/json, for the JSON Schema.
// Of a duplicate key the first counts.
func instance(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i]; key.Kind == yaml.ScalarNode && key.ShortTag() != "!!merge" {
				if _, ok := m[key.Value]; !ok {
					m[key.Value] = instance(n.Content[i+1])
				}
			}
		}
		return m
	case yaml.SequenceNode:
		s := make([]any, len(n.Content))
		for i, item := range n.Content {
			s[i] = instance(item)
		}
		return s
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return nil
		case "!!bool":
			var b bool
			if n.Decode(&b) == nil {
				return b
			}
		case "!!int", "!!float":
			var i int64
			if n.ShortTag() == "!!int" && n.Decode(&i) == nil {
				return i
			}
			var f float64
			if n.Decode(&f) == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
				return f
			}
		}
	case yaml.AliasNode, yaml.DocumentNode:
	}
	return n.Value
}

// value finds the value of a key in a mapping; nil where there is no such
// key or n is no mapping.
func value(n *yaml.Node, key string) *yaml.Node {
	_, v := entry(n, key)
	return v
}

func entry(n *yaml.Node, key string) (k, v *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.Value == key && k.ShortTag() != "!!merge" {
			return k, n.Content[i+1]
		}
	}
	return nil, nil
}
