package release

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// The module is installed at a version from a proxy: what is embedded is in its
// archive, and the program knows its version.
func TestGoInstall(t *testing.T) {
	if !*long {
		t.Skip("make test-release installs from a proxy")
	}
	const version = "v0.0.1-test"
	this := module.Version{Path: "github.com/dcalab/dcalab", Version: version}
	base := t.TempDir()
	proxy, bin := filepath.Join(base, "proxy"), filepath.Join(base, "bin")
	place := filepath.Join(proxy, filepath.FromSlash(this.Path), "@v")
	if err := os.MkdirAll(place, 0o755); err != nil {
		t.Fatal(err)
	}
	archive, err := os.Create(filepath.Join(place, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	// As a proxy makes it: of what is committed.
	if err := zip.CreateFromVCS(archive, this, clone(t, filepath.Join(base, "clone")), "HEAD", ""); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		version + ".info": `{"Version":"` + version + `","Time":"2026-11-26T00:00:00Z"}`,
		version + ".mod":  output(t, filepath.Join(base, "clone"), nil, "cat", "go.mod"),
		"list":            version + "\n",
	} {
		if err := os.WriteFile(filepath.Join(place, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// What this module needs was downloaded for building it: the cache of modules
	// is a proxy too.
	setting := func(name string) string { return strings.TrimSpace(output(t, ".", nil, "go", "env", name)) }
	environ := []string{
		"GOPROXY=file://" + proxy + ",file://" + setting("GOMODCACHE") + "/cache/download," + setting("GOPROXY"),
		"GOMODCACHE=" + filepath.Join(base, "modules"), "GOBIN=" + bin, "CGO_ENABLED=0",
		"GOFLAGS=-trimpath -modcacherw", "GOSUMDB=off", "GOPRIVATE=", "GONOPROXY=none", "GOWORK=off",
	}
	output(t, base, environ, "go", "install", this.String())
	var told struct{ Version, Commit string }
	if err := json.Unmarshal([]byte(output(t, base, nil, filepath.Join(bin, "dcalab"), "version", "-o", "json")), &told); err != nil {
		t.Fatal(err)
	}
	if told.Version != version || told.Commit != "" {
		t.Errorf("version -o json tells of %+v", told)
	}
	if out := output(t, base, []string{"HOME=" + base}, filepath.Join(bin, "dcalab"), "config", "view"); !strings.Contains(out, "docker-dca.example") {
		t.Errorf("the built-in labs.yaml is not there:\n%s", out)
	}
}
