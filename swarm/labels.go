package swarm

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// CheckLabelKey says what is wrong with the key of a node's label, if anything
// is. Engines take nearly any; this is what can be typed and read again.
func CheckLabelKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("a label needs a key")
	case strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '=' }):
		return fmt.Errorf("the key %q has a space, a control character or = in it", key)
	case strings.HasPrefix(key, "-"):
		return fmt.Errorf("the key %q begins with a dash", key)
	}
	return nil
}

// constrainable is what swarmkit reads as a key and as a value in a placement
// constraint (manager/constraint/constraint.go, alphaNumeric and valuePattern).
var (
	constrainableKey   = regexp.MustCompile(`^(?i)[a-z_][a-z0-9\-_.]+$`)
	constrainableValue = regexp.MustCompile(`^(?i)[a-z0-9:\-_\s\.\*\(\)\?\+\[\]\\\^\$\|\/]+$`)
)

// LabelWarning says why services could not be placed by a label, if so; empty
// where they can.
func LabelWarning(key, value string) string {
	switch {
	case !constrainableKey.MatchString("node.labels." + key):
		return fmt.Sprintf("no placement constraint can name the label %s: a key has letters, digits, dashes, dots and underscores", key)
	case !constrainableValue.MatchString(value):
		return fmt.Sprintf("no placement constraint can name the value %q of the label %s", value, key)
	}
	return ""
}
