package lab

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
)

//go:embed schema.json
var schemaJSON []byte

// Schema is the JSON Schema (draft 2020-12) of labs.yaml, for editors. It is
// also what Parse uses: the keys, their types and their limits are said
// there and nowhere else. Its own annotation x-expected is what a message
// names as expected.
func Schema() []byte { return bytes.Clone(schemaJSON) }

// structure holds a document against the schema. Problems come with the nodes
// that have them, which are not to be looked at further.
type structure struct {
	raw      map[string]any // the schema, for its annotations
	root     *yaml.Node
	problems []Problem
	bad      map[*yaml.Node]bool
	// keys that are held against a propertyNames and were not told of yet, by
	// its place in the schema and by their text.
	keys map[string]map[string][]*yaml.Node
	// guesses is how many words were compared with what they may be meant for.
	guesses int
}

func checkStructure(root *yaml.Node) (*structure, error) {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaJSON))
	if err != nil {
		return nil, fmt.Errorf("read the schema of labs.yaml: %w", err)
	}
	raw, _ := parsed.(map[string]any)
	id, _ := raw["$id"].(string)
	c := jsonschema.NewCompiler()
	if err := c.AddResource(id, parsed); err != nil {
		return nil, fmt.Errorf("read the schema of labs.yaml: %w", err)
	}
	schema, err := c.Compile(id)
	if err != nil {
		return nil, fmt.Errorf("compile the schema of labs.yaml: %w", err)
	}
	s := &structure{raw: raw, root: root, bad: map[*yaml.Node]bool{}}
	var wrong *jsonschema.ValidationError
	switch err := schema.Validate(instance(root)); {
	case err == nil:
	case errors.As(err, &wrong):
		s.walk(wrong)
	default:
		return nil, fmt.Errorf("hold labs.yaml against its schema: %w", err)
	}
	return s, nil
}

func (s *structure) add(n *yaml.Node, what, expected string) {
	s.problems = append(s.problems, Problem{max(n.Line, 1), max(n.Column, 1), what, expected})
	s.bad[n] = true
}

// walk turns one error of the validator, and those below it, into problems.
func (s *structure) walk(e *jsonschema.ValidationError) {
	n := s.at(e.InstanceLocation)
	if n.Kind == yaml.AliasNode {
		return // already a problem, and no value
	}
	rules := s.rules(e.SchemaURL)
	expected, _ := rules["x-expected"].(string)
	name := label(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known, _ := rules["properties"].(map[string]any)
		keys := slices.Sorted(maps.Keys(known))
		for _, p := range k.Properties {
			key, _ := entry(n, p)
			if key == nil {
				key = n
			}
			s.add(key, "unknown key "+strconv.Quote(p), s.meant(p, keys))
		}
		return
	case *kind.PropertyNames:
		for _, cause := range leaves(e) {
			expected, _ = s.rules(cause.SchemaURL)["x-expected"].(string)
		}
		s.badKey(e.SchemaURL, k.Property, expected)
		return
	case *kind.Required:
		for _, m := range k.Missing {
			s.add(n, fmt.Sprintf("%s has no %s", orFile(name), m), s.expectedOf(rules, m))
		}
		return
	case *kind.Type:
		s.wrongType(n, name, k, expected)
		return
	case *kind.Const:
		s.add(n, fmt.Sprintf("%s %s is not supported", name, shown(n)), expected)
		return
	case *kind.Enum:
		var words []string
		for _, w := range k.Want {
			words = append(words, fmt.Sprint(w))
		}
		expected = s.meant(n.Value, words)
		if role := roleMeant(n.Value); name == "role" && role != "" {
			// "node" is but two letters from none, which is never meant by it.
			expected = fmt.Sprintf("%s (did you mean %s?)", oneOf(words), role)
		} else if Nearest(n.Value, words) == "" {
			expected += s.providerMeant(e.InstanceLocation, n.Value)
		}
		s.add(n, fmt.Sprintf("%s is %s", name, shown(n)), expected)
		return
	case *kind.MinItems, *kind.MinProperties:
		s.add(n, name+" is empty", expected)
		return
	case *kind.MaxItems:
		s.add(n, fmt.Sprintf("%s has %d entries", name, k.Got), expected)
		return
	case *kind.Minimum, *kind.Maximum, *kind.MaxLength, *kind.Pattern:
		s.add(n, fmt.Sprintf("%s is %s", name, shown(n)), expected)
		return
	}
	for _, cause := range e.Causes {
		s.walk(cause)
	}
}

// providerMeant advises who names a provider by its product, or as the driver;
// empty where that is not meant.
func (s *structure) providerMeant(location []string, word string) string {
	var providers []string
	known, _ := s.rules("#/$defs/lab/properties/provider")["enum"].([]any)
	for _, p := range known {
		providers = append(providers, fmt.Sprint(p))
	}
	provider := ProviderMeant(word, providers)
	switch name := label(location); {
	case provider == "":
	case name == "provider":
		return " (did you mean " + provider + "?)"
	case name == "driver" && len(location) == 1: // of the file, which has no provider
		return fmt.Sprintf(" (%s is a provider of Vagrant's: write driver: vagrant here and provider: %s in the lab)", provider, provider)
	case name == "driver":
		return fmt.Sprintf(" (%s is a provider of Vagrant's: write driver: vagrant and provider: %s)", provider, provider)
	}
	return ""
}

// wrongType says what is there instead. A number or a boolean where text
// belongs only needs quotes, and the message says so.
func (s *structure) wrongType(n *yaml.Node, name string, k *kind.Type, expected string) {
	got := map[string]string{"null": "empty", "array": "a list", "object": "a mapping"}[k.Got]
	switch {
	case k.Got == "number" && n.ShortTag() != "!!str":
		got = "the number " + n.Value
	case k.Got == "boolean":
		got = n.Value
	case got == "" && isText(n):
		got = "the text " + shown(n)
	case got == "":
		got = shown(n)
	}
	if number, err := strconv.ParseUint(n.Value, 10, 16); name == "cert_expiry" && err == nil && number > 0 && number <= maxCertDays {
		expected = fmt.Sprintf("a duration with its unit: %dd for days, %dh for hours", number, number)
	} else if k.Want[0] == "string" && (k.Got == "number" || k.Got == "boolean") {
		expected = fmt.Sprintf("text: quote it, %q", n.Value)
	}
	if expected == "" {
		expected = map[string]string{"boolean": "true or false", "string": "text", "object": "a mapping"}[k.Want[0]]
	}
	s.add(n, fmt.Sprintf("%s is %s", orFile(name), got), expected)
}

// at finds the node of an instance location, or the nearest that there is.
func (s *structure) at(location []string) *yaml.Node {
	n := s.root
	for _, token := range location {
		var next *yaml.Node
		if n.Kind == yaml.MappingNode {
			next = value(n, token)
		} else if i, err := strconv.Atoi(token); err == nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
			next = n.Content[i]
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// badKey tells of a key that is not a good name wherever it is one. The
// validator (v6.0.3) does not reliably say in which mapping a bad key is
// (santhosh-tekuri/jsonschema pull request 269), but a key that is bad in one
// is bad in all of them.
func (s *structure) badKey(url, property, expected string) {
	if s.keys == nil {
		s.keys = map[string]map[string][]*yaml.Node{}
	}
	_, pointer, _ := strings.Cut(url, "#")
	if s.keys[pointer] == nil {
		s.keys[pointer] = s.named(pointer)
	}
	for _, key := range s.keys[pointer][property] {
		s.add(key, strconv.Quote(property)+" is not a good name", expected)
	}
	delete(s.keys[pointer], property) // told
}

// named gives the keys, by their text, of the mappings whose keys are held
// against a propertyNames.
func (s *structure) named(pointer string) map[string][]*yaml.Node {
	keys := map[string][]*yaml.Node{}
	of := func(m *yaml.Node) {
		if m == nil || m.Kind != yaml.MappingNode {
			return
		}
		here := map[string]bool{} // of a key that is there twice the first counts
		for i := 0; i+1 < len(m.Content); i += 2 {
			if k := m.Content[i]; k.Kind == yaml.ScalarNode && k.ShortTag() != "!!merge" && !here[k.Value] {
				here[k.Value] = true
				keys[k.Value] = append(keys[k.Value], k)
			}
		}
	}
	labs := value(s.root, "labs")
	if strings.HasSuffix(pointer, "/properties/labs/propertyNames") {
		of(labs)
		return keys
	}
	if labs == nil || labs.Kind != yaml.MappingNode {
		return keys
	}
	for i := 1; i < len(labs.Content); i += 2 {
		nodes := value(labs.Content[i], "nodes")
		if nodes == nil || nodes.Kind != yaml.SequenceNode {
			continue
		}
		for _, n := range nodes.Content {
			of(value(n, "labels"))
			of(value(n, "engine_labels"))
		}
	}
	return keys
}

// rules looks up the part of the schema that an error comes from.
func (s *structure) rules(url string) map[string]any {
	_, pointer, _ := strings.Cut(url, "#")
	here := s.raw
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if token == "" {
			continue
		}
		next, ok := here[token].(map[string]any)
		if !ok {
			return nil
		}
		here = next
	}
	return here
}

// expectedOf is what a property of an object should be, through its $ref.
func (s *structure) expectedOf(rules map[string]any, property string) string {
	properties, _ := rules["properties"].(map[string]any)
	p, _ := properties[property].(map[string]any)
	expected, ok := p["x-expected"].(string)
	if !ok {
		ref, _ := p["$ref"].(string)
		expected, _ = s.rules(ref)["x-expected"].(string)
	}
	return expected
}

// leaves are the errors below e that have none below them.
func leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var out []*jsonschema.ValidationError
	for _, c := range e.Causes {
		out = append(out, leaves(c)...)
	}
	return out
}

// label names a value by its key, and an item of a list by the list's. A key may
// be a number too: those of labels.
func label(location []string) string {
	if len(location) == 0 {
		return ""
	}
	last := location[len(location)-1]
	if _, err := strconv.Atoi(last); err == nil && len(location) > 1 {
		switch list := location[len(location)-2]; list {
		case "nodes", "default_addr_pool", "registry_mirrors", "insecure_registries":
			return "an entry of " + list
		}
	}
	return last
}

func orFile(name string) string {
	if name == "" {
		return "the file"
	}
	return name
}

// maxGuesses bounds the words of one file that are compared with what they may
// be meant for. Of the first 20 problems no more are shown (shownProblems), and
// the validator does not give them in the order of the file.
const maxGuesses = 2000

// meant is meant for the first maxGuesses words.
func (s *structure) meant(word string, possible []string) string {
	if s.guesses++; s.guesses > maxGuesses {
		return oneOf(possible)
	}
	return meant(word, possible)
}

// oneOf lists what is possible.
func oneOf(possible []string) string { return firstOf(possible, " or ") }

// firstOf joins a list, its last by a word of its own. Of a long one it gives the
// beginning.
func firstOf(list []string, last string) string {
	const most = 20
	switch n := len(list); {
	case n == 0:
		return ""
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), n-most)
	case n == 1:
		return list[0]
	default:
		return strings.Join(list[:n-1], ", ") + last + list[n-1]
	}
}

// meant lists what is possible, led by what was probably meant.
func meant(word string, possible []string) string {
	list := oneOf(possible)
	if near := Nearest(word, possible); near != "" {
		return fmt.Sprintf("%s (did you mean %s?)", list, near)
	}
	return list
}

func isText(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" }

// shown is a scalar as a message quotes it, cut where it is long.
func shown(n *yaml.Node) string {
	v := n.Value
	if r := []rune(v); len(r) > 80 {
		v = string(r[:77]) + "..."
	}
	if n.Kind == yaml.ScalarNode && !isText(n) {
		return v
	}
	return strconv.Quote(v)
}
