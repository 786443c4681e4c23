package release

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var long = flag.Bool("release.run", false, "also build twice, and install from a proxy; without it these are skipped")

// output runs a command in a folder, with variables beside this process's own,
// and gives what it printed.
func output(t *testing.T, dir string, environ []string, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), environ...)
	var story strings.Builder
	c.Stderr = &story
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", c, err, out, story.String())
	}
	return string(out)
}

// The modules that THIRD-PARTY-LICENSES lists are those of the program, on all
// systems that it is built for, and of its page.
func TestLicensesAreThoseOfTheModules(t *testing.T) {
	text, err := os.ReadFile("../THIRD-PARTY-LICENSES")
	if err != nil {
		t.Fatal(err)
	}
	var listed, used []string
	head, _, _ := strings.Cut(string(text), "\n-----")
	for line := range strings.Lines(head) {
		if module, ok := strings.CutPrefix(line, "    "); ok {
			listed = append(listed, strings.TrimSpace(module))
		}
	}
	const format = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}"
	for _, system := range []string{"linux", "darwin", "windows"} {
		out := output(t, "..", []string{"GOOS=" + system, "CGO_ENABLED=0"}, "go", "list", "-deps", "-f", format, ".")
		used = append(used, strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })...)
	}
	manifest, err := os.ReadFile("../web/vendor/manifest") // what the page's bundle has
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(manifest)) {
		if words := strings.Fields(line); len(words) > 2 && !strings.HasPrefix(line, "#") {
			used = append(used, words[0]+" "+words[1])
		}
	}
	slices.Sort(used)
	if diff := cmp.Diff(slices.Compact(used), listed); diff != "" {
		t.Errorf("make licenses writes THIRD-PARTY-LICENSES anew (-used +listed):\n%s", diff)
	}
}

// The client of the engine can be traced, with OpenTelemetry. What would send the
// traces anywhere is not in the program.
func TestNothingIsExported(t *testing.T) {
	for pkg := range strings.Lines(output(t, "..", []string{"CGO_ENABLED=0"}, "go", "list", "-deps", ".")) {
		if strings.Contains(pkg, "/exporters/") || strings.Contains(pkg, "/otel/sdk") {
			t.Errorf("the program contains %s", pkg)
		}
	}
}

// clone gives the committed state of this repository, in a folder.
func clone(t *testing.T, dir string) string {
	t.Helper()
	output(t, ".", nil, "git", "clone", "--quiet", "--no-hardlinks", "..", dir)
	return dir
}

// files gives what is in the files of a folder that match patterns.
func files(t *testing.T, dir string, patterns ...string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no %s in %s: %v", pattern, dir, err)
		}
		for _, file := range found {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(dir, file)
			got[name] = string(text)
		}
	}
	return got
}
