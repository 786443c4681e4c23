package lab

import (
	"strings"
	"testing"
)

// What people of other tools write is answered with what is then accepted.
func TestWordsOfOtherTools(t *testing.T) {
	with := func(role, swarm, engine string) string {
		return "version: 1\nlabs:\n  dca:\n    subnet: 10.20.20.0/24\n    swarm: {" + swarm + "}\n    engine: {" + engine +
			"}\n    nodes:\n      - {name: m, ip: 10.20.20.100, role: manager}\n      - {name: w, ip: 10.20.20.101, role: " + role + "}\n"
	}
	for wrong, tc := range map[string]struct{ want, right string }{
		with("node", "", ""):                                    {"(did you mean worker?)", with("worker", "", "")},
		with("Slave", "", ""):                                   {"(did you mean worker?)", with("worker", "", "")},
		with("master", "", ""):                                  {"(did you mean manager?)", with("manager", "", "")},
		with("non", "", ""):                                     {"(did you mean none?)", with("none", "", "")},
		with("none", "cert_expiry: 90", ""):                     {"expected a duration with its unit: 90d for days, 90h for hours", with("none", "cert_expiry: 90d", "")},
		with("none", "cert_expiry: 7300", ""):                   {"7300h for hours", with("none", "cert_expiry: 7300h", "")},
		with("none", "", `insecure_registries: ["http://r:5"]`): {`an entry of insecure_registries is "http://r:5"; expected a registry without a scheme`, with("none", "", `insecure_registries: ["r:5"]`)},
		with("none", "", `registry_mirrors: ["r:5"]`):           {`an entry of registry_mirrors is "r:5"`, with("none", "", `registry_mirrors: ["http://r:5"]`)},
	} {
		if got := problemsOf(t, wrong); len(got) != 1 || !strings.Contains(got[0], tc.want) {
			t.Errorf("%s\ngives %q, want one with %q", wrong, got, tc.want)
		}
		if got := problemsOf(t, tc.right); len(got) > 0 {
			t.Errorf("what was advised is not accepted: %q\n%s", got, tc.right)
		}
	}
	// A label whose key is a number is no entry of a list.
	if got := problemsOf(t, strings.Replace(with("none", "", ""), "role: none", `role: none, labels: {"7": [x]}`, 1)); len(got) != 1 || !strings.Contains(got[0], "7 is a list") {
		t.Errorf("a label with the key 7: %q", got)
	}
}
