package trouble

import (
	"regexp"
	"strings"
)

// A secret's mask says what was there.
const (
	maskToken = "SWMTKN-***"
	maskKey   = "SWMKEY-***"
	maskPEM   = "-----PRIVATE KEY REMOVED-----"
)

// The shapes are swarmkit's (ca/certificates.go, ca/config.go: prefix,
// version, digest in base 36, secret in base 36; "SWMKEY-1-" and base64) and
// RFC 7468's. Each is taken wider than it is, so that a version yet to come is
// masked too; a block that was cut off is masked to the end of the text.
var (
	joinToken  = regexp.MustCompile(`(?i)SWMTKN-[0-9A-Za-z+/=_-]+`)
	unlockKey  = regexp.MustCompile(`(?i)SWMKEY-[0-9A-Za-z+/=_-]+`)
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----|\z)`)
)

// Redact masks what must not be kept or shown: swarm join tokens (SWMTKN-…),
// unlock keys (SWMKEY-…) and private keys in PEM. Everything that is logged
// or put into an error goes through it. It must be given a whole text: a
// secret cut in two by the caller is not one any more.
func Redact(s string) string {
	s = privateKey.ReplaceAllString(s, maskPEM)
	s = joinToken.ReplaceAllString(s, maskToken)
	return unlockKey.ReplaceAllString(s, maskKey)
}

// LastLines is the tail of an output as an error shows it: its last n lines,
// redacted.
func LastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(Redact(s)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
