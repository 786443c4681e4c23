package bundle

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCleaned(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"a token":              {"a SWMTKN-1-abc-def b", "a SWMTKN-*** b"},
		"a key":                {"a\n# -----BEGIN PRIVATE KEY-----\n# MHcC\n# -----END PRIVATE KEY-----\nb", "a\n# -----PRIVATE KEY REMOVED-----\nb"},
		"the end of a key":     {"MHcC\nMHcD\n-----END EC PRIVATE KEY-----\nb", "-----PRIVATE KEY REMOVED-----\nb"},
		"a certificate":        {"-----END CERTIFICATE-----\nb", "-----END CERTIFICATE-----\nb"},
		"a proxy's password":   {" HTTP Proxy: http://me:pa55@proxy:3128/", " HTTP Proxy: http://***@proxy:3128/"},
		"an address with port": {"https://mirror:5000/v2/ and a@b", "https://mirror:5000/v2/ and a@b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := cleaned(c.in); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// Wherever a long text is cut, no part of a secret in it is packed.
func TestABundleLeavesNoSecret(t *testing.T) {
	const limit = 600
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[0-9a-z]{25}`).Draw(t, "secret")
		shape := rapid.SampledFrom([]string{
			"SWMTKN-1-" + strings.Repeat("d", 50) + "-" + secret,
			"-----BEGIN PRIVATE KEY-----\n" + secret + "\n" + secret + "\n-----END PRIVATE KEY-----",
		}).Draw(t, "shape")
		filler := strings.Repeat("nothing secret\n", limit/15)
		text := filler + shape + "\n" + filler[rapid.IntRange(0, 400).Draw(t, "cut"):]
		end := tail{limit: limit}
		for rest := text; len(rest) > 0; {
			n := min(len(rest), 100)
			_, _ = end.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if len(end.buf) > 2*limit {
			t.Fatalf("%d bytes are kept", len(end.buf))
		}
		for _, text := range []string{text, end.String(), text[len(filler)+rapid.IntRange(0, len(shape)).Draw(t, "line"):]} {
			if i := strings.IndexByte(text, '\n'); strings.HasPrefix(shape, "SWM") && i < len(shape) {
				text = text[i+1:] // nodes give whole lines
			}
			a := newArchive(limit)
			a.put("x", text)
			if got := a.files["x"]; strings.Contains(got, secret) || len(got) > limit {
				t.Fatalf("%d bytes, with the secret: %v", len(got), strings.Contains(got, secret))
			}
		}
	})
}
