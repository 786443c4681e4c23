package vagrant

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// rubyLiteral writes a value as a literal of Ruby, always on one line: it is
// the only way by which anything of a lab enters a Vagrantfile, comments
// included. Strings, integers, booleans, addresses and lists of strings can
// be written. Text that is not UTF-8 is an error, as is any other type.
func rubyLiteral(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return rubyString(v)
	case int:
		return strconv.Itoa(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case netip.Addr:
		return rubyString(v.String())
	case []string:
		parts := make([]string, len(v))
		for i, s := range v {
			p, err := rubyString(s)
			if err != nil {
				return "", err
			}
			parts[i] = p
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	}
	return "", fmt.Errorf("a %T cannot be written in Ruby", v)
}

// rubyString quotes s. Between single quotes only \ and ' mean anything to
// Ruby; #{ does not. Line ends and other invisible characters are written as
// \u{…}, which takes double quotes: there, whatever is not a plain letter or
// digit is written that way too, so that nothing is left to mean anything.
func rubyString(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%q is not UTF-8", s)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'", nil
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	b.WriteByte('"')
	return b.String(), nil
}
