package report

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Build is what this program was built from. Go records it in the program,
// whoever builds it: Version is "(devel)", and Commit and Date are empty, where
// Go did not know.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // empty after go install MODULE@VERSION
	Date     string `json:"date"`     // of the commit, RFC 3339; empty like Commit
	Modified bool   `json:"modified"` // there were changes that are not in the commit
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// ThisBuild is the build of the program that runs.
func ThisBuild() Build {
	info, _ := debug.ReadBuildInfo() // nil for a program that was built without modules
	return buildOf(info)
}

func buildOf(info *debug.BuildInfo) Build {
	b := Build{Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info == nil {
		return b
	}
	b.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String is the build in one line.
func (b Build) String() string {
	return fmt.Sprintf("%s (%s, %s/%s)", strings.TrimSpace(b.Version+" "+b.Commit), b.Go, b.OS, b.Arch)
}
