package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What people download does not depend on the folder that it is built in,
// nor on the time: checksums.txt has the digests of all archives, packages and
// SBOMs. One program is compiled with an empty build cache too, so that nothing
// is equal only because it was kept from the first build.
func TestBuiltTwice(t *testing.T) {
	if !*long {
		t.Skip("make test-release builds twice")
	}
	base := t.TempDir()
	var built []map[string]string
	for _, folder := range []string{"here", "there/with a long name"} {
		dir := clone(t, filepath.Join(base, folder))
		output(t, dir, nil, "make", "snapshot")
		built = append(built, files(t, filepath.Join(dir, "dist"), "checksums.txt", "homebrew/*.rb", "scoop/*.json"))
		// Those of winget have the day of the build.
		files(t, filepath.Join(dir, "dist"), "winget/manifests/*/*/*/*/*.installer.yaml")
	}
	t.Logf("checksums.txt:\n%s", built[0]["checksums.txt"])
	if diff := cmp.Diff(built[0], built[1]); diff != "" {
		t.Errorf("two builds of one commit differ (-first +second):\n%s", diff)
	}
	for _, name := range []string{"linux_amd64.tar.gz", "linux_arm64.tar.gz", "darwin_amd64.tar.gz", "darwin_arm64.tar.gz",
		"windows_amd64.zip", "windows_arm64.zip", "linux_amd64.deb", "linux_arm64.deb", "linux_amd64.rpm", "linux_arm64.rpm",
		"linux_amd64.cdx.json", "windows_arm64.cdx.json"} {
		if !strings.Contains(built[0]["checksums.txt"], "  dcalab_"+name+"\n") {
			t.Errorf("checksums.txt has no dcalab_%s", name)
		}
	}

	// The docker driver of dcalab for another system needs dcalab for Linux.
	for name, program := range map[string]string{"darwin_arm64.tar.gz": "linux_linux_arm64*/dcalab", "darwin_amd64.tar.gz": "linux_linux_amd64*/dcalab"} {
		archive := filepath.Join(base, "here", "dist", "dcalab_"+name)
		beside := output(t, base, nil, "tar", "-xOzf", archive, "dcalab-linux")
		for path, text := range files(t, filepath.Join(base, "here", "dist"), program) {
			if beside != text {
				t.Errorf("dcalab-linux in %s is not %s", archive, path)
			}
		}
	}

	dir := clone(t, filepath.Join(base, "again"))
	output(t, dir, []string{"CGO_ENABLED=0", "GOCACHE=" + filepath.Join(base, "cache"), "GOOS=linux", "GOARCH=amd64"},
		"go", "build", "-trimpath", "-buildvcs=true", "-ldflags=-s -w", "-o", "dcalab", ".")
	again, err := os.ReadFile(filepath.Join(dir, "dcalab"))
	if err != nil {
		t.Fatal(err)
	}
	for name, first := range files(t, filepath.Join(base, "here", "dist"), "linux_linux_amd64*/dcalab") {
		if first != string(again) {
			t.Errorf("%s is another program when it is built without a cache", name)
		}
	}
}
