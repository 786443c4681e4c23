package engine

import "fmt"

// Secret is a join token or an unlock key. However it is printed, formatted
// or marshalled, "(redacted)" is what comes out; Reveal gives the text, for
// the two places that need it: the Engine API, and a user who asked.
type Secret string

const redacted = "(redacted)"

// Reveal gives the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string { return redacted }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return redacted }

// Format hides the secret from every verb of package fmt, %x and %d included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText hides the secret. (encoding/json does not ask it about the keys
// of a map: a Secret is no key.)
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON hides the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
