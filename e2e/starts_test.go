package e2e

import (
	"strings"
	"testing"
)

func TestJudgeStarts(t *testing.T) {
	const waited = "master: no answer after 5.0s\nvagrant status master\n"
	for name, c := range map[string]struct {
		starts, want, log string
		excused           int
		fails             bool
	}{
		"none":                               {"", "", "", 0, false},
		"as wanted":                          {"up --machine-readable", "up", "", 0, false},
		"one is missing":                     {"", "up", "", 0, true},
		"one too many":                       {"status master --machine-readable", "", "", 0, true},
		"in the wrong order":                 {"up\nstatus", "status up", "", 0, true},
		"a node that was late":               {"status master\nssh-config master", "", waited, 2, false},
		"late between others":                {"status master\nup\nhalt", "up halt", waited, 1, false},
		"all answered":                       {"status master", "", "vagrant status master\n", 0, true},
		"another was late":                   {"status node01", "", waited, 0, true},
		"one of two was late":                {"status master node01", "", waited, 0, true},
		"refused at once":                    {"status master", "", "master: no answer after 0.0s\n", 0, true},
		"once late, asked twice":             {"status master\nstatus master", "", waited, 0, true},
		"wanted once, and late once":         {"status master\nstatus master", "status", waited, 0, true},
		"where it is, without having waited": {"ssh-config master", "", "", 0, true},
		"late is no reason to boot":          {"up master", "", waited, 0, true},
		"late is no reason to ask of all":    {"status", "", waited, 0, true},
		"what is wanted is not what is late": {"status node01\nstatus master", "status", "master: no answer after 1.3s\n", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			excused, wrong := judgeStarts(strings.Split(c.starts, "\n"), strings.Fields(c.want), c.log)
			if (wrong != "") != c.fails || len(excused) != c.excused {
				t.Errorf("excused %q, wrong %q", excused, wrong)
			}
		})
	}
}
