package report

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuildIsWhatGoRecorded(t *testing.T) {
	of := func(version, commit, date string, modified bool) Build {
		return Build{Version: version, Commit: commit, Date: date, Modified: modified, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	}
	for name, c := range map[string]struct {
		info string // as "go version -m" prints it; empty for none
		want Build
	}{
		"a clone": {
			"mod\tgithub.com/dcalab/dcalab\tv1.2.3\t\nbuild\tvcs=git\nbuild\tvcs.revision=ab15232\nbuild\tvcs.time=2026-11-26T15:53:43Z\nbuild\tvcs.modified=false\n",
			of("v1.2.3", "ab15232", "2026-11-26T15:53:43Z", false),
		},
		"a clone with changes": {
			"mod\tgithub.com/dcalab/dcalab\tv1.2.3+dirty\t\nbuild\tvcs.revision=ab15232\nbuild\tvcs.time=2026-11-26T15:53:43Z\nbuild\tvcs.modified=true\n",
			of("v1.2.3+dirty", "ab15232", "2026-11-26T15:53:43Z", true),
		},
		"go install":      {"mod\tgithub.com/dcalab/dcalab\tv1.2.3\th1:sum=\n", of("v1.2.3", "", "", false)},
		"without modules": {"", of("(devel)", "", "", false)},
	} {
		var info *debug.BuildInfo
		if c.info != "" {
			var err error
			if info, err = debug.ParseBuildInfo(c.info); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(c.want, buildOf(info)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got, want := (Build{Version: "v1.2.3", Go: "go1.26.0", OS: "linux", Arch: "arm64"}).String(), "v1.2.3 (go1.26.0, linux/arm64)"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
}
