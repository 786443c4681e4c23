package cmd

import (
	"strings"
	"testing"

	"github.com/dcalab/dcalab/trouble"
)

func TestMistakesOnNodesAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		story string
	}{
		"exec without --":          {[]string{"exec", "master", "ls"}, "dcalab exec NODE... -- COMMAND"},
		"exec without a command":   {[]string{"exec", "--all", "--"}, "see dcalab exec --help"},
		"exec on nobody":           {[]string{"exec", "--", "ls"}, "--all, --managers or --workers"},
		"cp of one thing":          {[]string{"cp", "x"}, "see dcalab cp --help"},
		"cp from here to here":     {[]string{"cp", "a", "b"}, "dcalab cp a NODE:b"},
		"cp all from here to here": {[]string{"cp", "--all", "a", "b"}, "dcalab cp --all a :b"},
		"cp to which node?":        {[]string{"cp", "a", ":b"}, "NODE:b, or --all"},
		"cp to one node and all":   {[]string{"cp", "--all", "a", "master:b"}, "for each of the selected nodes: :b"},
		"logs of nobody":           {[]string{"logs"}, "see dcalab logs --help"},
		"logs of no lines":         {[]string{"logs", "master", "-n", "-4"}, "--lines 20, or --lines all"},
		"logs of the future":       {[]string{"logs", "master", "--since=-4s"}, "--since 10m"},
		"a bundle of no tar.gz":    {[]string{"logs", "--bundle", "x.zip"}, "x.zip.tar.gz"},
		"a bundle that follows":    {[]string{"logs", "--bundle", "x.tar.gz", "-f"}, "do not go with it"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, story := run(t, c.args...)
			if status != trouble.ExitUsage || out != "" || !strings.HasPrefix(story, "error: ") || !strings.Contains(story, c.story) {
				t.Errorf("exit status %d, %q:\n%s", status, out, story)
			}
		})
	}
}
