package cmd

import (
	"strings"
	"testing"

	"github.com/dcalab/dcalab/trouble"
)

func TestMistakesWithSnapshotsAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		status int
		story  string
	}{
		"a bad name":                 {[]string{"snapshot", "save", "../x"}, trouble.ExitUsage, "cannot be the name of a snapshot"},
		"no name":                    {[]string{"snapshot", "save"}, trouble.ExitUsage, "see dcalab snapshot save --help"},
		"unknown subcommand":         {[]string{"snapshot", "lsit"}, trouble.ExitUsage, "did you mean: dcalab snapshot list"},
		"unknown output":             {[]string{"snapshot", "list", "-o", "xml"}, trouble.ExitUsage, "the formats are table, wide, json, yaml, name"},
		"save before up":             {[]string{"snapshot", "save", "a"}, trouble.ExitFailure, "bring it up: dcalab up"},
		"restore before up":          {[]string{"snapshot", "restore", "a", "--yes"}, trouble.ExitFailure, "bring it up: dcalab up"},
		"export of nothing":          {[]string{"snapshot", "export"}, trouble.ExitUsage, "needs a snapshot and a file"},
		"export without a file":      {[]string{"snapshot", "export", "a"}, trouble.ExitUsage, "needs a file"},
		"export of two":              {[]string{"snapshot", "export", "a", "b", "c.tar"}, trouble.ExitUsage, "one at a time: dcalab snapshot export a FILE"},
		"export before up":           {[]string{"snapshot", "export", "a", "a.tar"}, trouble.ExitFailure, "bring it up: dcalab up"},
		"export, forced":             {[]string{"snapshot", "export", "a", "a.tar", "--force"}, trouble.ExitUsage, "see dcalab snapshot export --help"},
		"import of nothing":          {[]string{"snapshot", "import"}, trouble.ExitUsage, "needs a file that dcalab snapshot export wrote"},
		"import under two names":     {[]string{"snapshot", "import", "a.tar", "b", "c"}, trouble.ExitUsage, "takes one file and one name"},
		"import under a bad name":    {[]string{"snapshot", "import", "a.tar", "../b"}, trouble.ExitUsage, "cannot be the name of a snapshot"},
		"import before up":           {[]string{"snapshot", "import", "a.tar"}, trouble.ExitFailure, "bring it up: dcalab up"},
		"reset before up":            {[]string{"reset", "--yes"}, trouble.ExitFailure, "bring it up: dcalab up"},
		"reset of some of the nodes": {[]string{"reset", "node01"}, trouble.ExitUsage, "see dcalab reset --help"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, story := run(t, c.args...)
			if status != c.status || out != "" || !strings.Contains(story, c.story) {
				t.Errorf("exit status %d, %q, %s; want %d and %q", status, out, story, c.status, c.story)
			}
		})
	}
}

func TestALabThatWasNeverMadeHasNoSnapshots(t *testing.T) {
	if status, out, story := run(t, "snapshot", "list"); status != 0 || out != "" || !strings.Contains(story, "has no snapshots") {
		t.Errorf("exit status %d, %q, %s", status, out, story)
	}
	if status, out, _ := run(t, "snapshot", "list", "-o", "json"); status != 0 || !strings.Contains(out, `"snapshots": []`) {
		t.Errorf("exit status %d, %s", status, out)
	}
}
