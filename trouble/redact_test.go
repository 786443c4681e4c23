package trouble

import (
	"encoding/pem"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRedact(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"nothing secret":   {"docker node ls", "docker node ls"},
		"a join token":     {"join --token SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx 10.20.20.100:2377", "join --token SWMTKN-*** 10.20.20.100:2377"},
		"in JSON":          {`{"Worker":"SWMTKN-1-abc-def","Manager":"SWMTKN-1-abc-ghi"}`, `{"Worker":"SWMTKN-***","Manager":"SWMTKN-***"}`},
		"an unlock key":    {"SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8", "SWMKEY-***"},
		"a private key":    {"a\n-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\nb", "a\n-----PRIVATE KEY REMOVED-----\nb"},
		"a key cut off":    {"-----BEGIN PRIVATE KEY-----\nMHcC", "-----PRIVATE KEY REMOVED-----"},
		"a certificate":    {"-----BEGIN CERTIFICATE-----\nMHcC\n-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nMHcC\n-----END CERTIFICATE-----"},
		"the word in docs": {"tokens begin with SWMTKN-", "tokens begin with SWMTKN-"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Redact(c.in); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// Whatever stands around a secret, no part of it is left.
func TestRedactLeavesNoSecret(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[0-9a-z]{25}`).Draw(t, "secret")
		shape := rapid.SampledFrom([]string{
			"SWMTKN-1-" + strings.Repeat("d", 50) + "-" + secret,
			"SWMTKN-2-1-" + strings.Repeat("d", 50) + "-" + secret,
			"SWMKEY-1-" + secret,
			string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte(secret)})),
			"-----BEGIN OPENSSH PRIVATE KEY-----\n" + secret + "\n",
		}).Draw(t, "shape")
		text := rapid.String().Draw(t, "before") + shape + rapid.SampledFrom([]string{"", " ", "\n", `"`, ",", "\x1b[0m"}).Draw(t, "after")
		got := Redact(text)
		if strings.Contains(got, secret) {
			t.Fatalf("%q came out of %q", got, text)
		}
		if again := Redact(got); again != got {
			t.Fatalf("not the same a second time: %q, then %q", got, again)
		}
	})
}

func FuzzRedact(f *testing.F) {
	f.Add("SWMTKN-1-abc-def")
	f.Add("-----BEGIN PRIVATE KEY-----SWMKEY-1-x-----END PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, s string) {
		got := Redact(s)
		if joinToken.MatchString(got) || unlockKey.MatchString(got) || privateKey.MatchString(got) {
			t.Fatalf("a secret's shape is left in %q", got)
		}
	})
}
