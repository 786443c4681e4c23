package provision

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// The sources of an engine, as labs.yaml names them.
const (
	sourceDistribution = "distribution"
	sourceDocker       = "docker"
)

// recipe is how an engine comes onto one distribution.
type recipe struct {
	Manager string // "apt" or "dnf": which scripts
	Source  string // sourceDistribution or sourceDocker
	// Repository and Release name the part of Docker's repository:
	// debian/bookworm, rhel/9.
	Repository, Release string
	// Package carries the engine's version.
	Package string
	// Version pins the engine; empty takes the newest.
	Version string
	// Note is said to the user when the choice is not what was asked for.
	Note string
}

// chooseRecipe decides how to install the engine. Unknown distributions are a
// trouble.Error "distribution-unknown".
func chooseRecipe(os distribution, want lab.Engine) (recipe, error) {
	r := recipe{Source: want.Source, Version: want.Version}
	if r.Source == "" {
		r.Source = sourceDistribution
	}
	major, _, _ := strings.Cut(os.VersionID, ".")
	switch {
	case os.is("ubuntu"): // before debian, which Ubuntu is like
		r.Manager, r.Repository, r.Release = "apt", "ubuntu", os.Codename
	case os.is("debian"):
		r.Manager, r.Repository, r.Release = "apt", "debian", os.Codename
	case os.ID == "fedora":
		r.Manager, r.Repository, r.Release = "dnf", "fedora", major
	case os.ID == "centos":
		r.Manager, r.Repository, r.Release = "dnf", "centos", major
	case os.is("rhel"), os.is("centos"): // AlmaLinux, Rocky, Oracle: rebuilds of RHEL
		r.Manager, r.Repository, r.Release = "dnf", "rhel", major
	default:
		name := os.String()
		if name == "" {
			name = "a system without /etc/os-release"
		}
		return recipe{}, &trouble.Error{
			ID: "distribution-unknown", What: "install the engine",
			Why: "dcalab does not know how to install it on " + name,
			Next: []string{
				"install Docker Engine in the node by hand, then run the same command again",
				"or name a box of Debian, Ubuntu, AlmaLinux, Rocky, CentOS, RHEL or Fedora in labs.yaml",
			},
		}
	}
	if r.Manager == "dnf" && r.Source == sourceDistribution && r.Repository != "fedora" {
		r.Source = sourceDocker
		r.Note = os.ID + " has no engine of its own: taking Docker's repository"
	}
	switch {
	case r.Source == sourceDocker:
		r.Package = "docker-ce"
	case r.Manager == "apt":
		r.Package = "docker.io"
	default:
		r.Package = "moby-engine"
	}
	if r.Source == sourceDocker && r.Release == "" {
		return recipe{}, &trouble.Error{
			ID: "distribution-unknown", What: "install the engine from Docker's repository",
			Why:  os.String() + " does not say its release in /etc/os-release",
			Next: []string{"set engine.source to distribution in labs.yaml"},
		}
	}
	return r, nil
}

// packages is what to install, given the versions that can be had, newest
// first. A pinned version that is not among them is a trouble.Error
// "engine-version-unavailable".
func (r recipe) packages(available []string) ([]string, error) {
	all := []string{r.Package}
	if r.Source == sourceDocker {
		all = []string{r.Package, "docker-ce-cli"}
	}
	if r.Version != "" {
		full, ok := pickVersion(available, r.Version)
		if !ok {
			return nil, versionUnavailable(r, available)
		}
		sep := "="
		if r.Manager == "dnf" {
			// The epochs of docker-ce and docker-ce-cli differ, and dnf does
			// not need them.
			sep, full = "-", withoutEpoch(full)
		}
		for i := range all {
			all[i] += sep + full
		}
	}
	if r.Source == sourceDocker {
		all = append(all, "containerd.io")
	}
	return all, nil
}

// pickVersion finds the newest package version that is the engine version
// wanted, or begins with it at a boundary: 28.2 is 5:28.2.2-1~debian…, and
// 2 is not 28.
func pickVersion(available []string, want string) (string, bool) {
	want = strings.TrimPrefix(want, "v")
	for _, full := range available {
		rest, ok := strings.CutPrefix(withoutEpoch(full), want)
		if ok && (rest == "" || strings.ContainsRune(".-+~", rune(rest[0]))) {
			return full, true
		}
	}
	return "", false
}

// withoutEpoch: 5:28.2.2-1 is 28.2.2-1 (deb-version(7), and the same in RPM).
func withoutEpoch(v string) string {
	if _, after, ok := strings.Cut(v, ":"); ok {
		return after
	}
	return v
}

func versionUnavailable(r recipe, available []string) error {
	const show = 10
	list := "none"
	if len(available) > 0 {
		short := make([]string, 0, show)
		for _, v := range available[:min(show, len(available))] {
			short = append(short, withoutEpoch(v))
		}
		list = strings.Join(short, ", ")
		if more := len(available) - show; more > 0 {
			list += fmt.Sprintf(" and %d more", more)
		}
	}
	e := &trouble.Error{
		ID: "engine-version-unavailable", What: "install engine " + r.Version,
		Why:  fmt.Sprintf("package %s (source %s) has no such version; it has: %s", r.Package, r.Source, list),
		Next: []string{"set engine.version in labs.yaml to one of these, or leave it out for the newest"},
	}
	if r.Source == sourceDistribution {
		e.Next = append(e.Next, "or set engine.source to docker, which keeps older and newer versions")
	}
	return e
}

// splitVersions parts the output of a prepare script from the versions at its
// end.
func splitVersions(out string) (log string, versions []string) {
	log, list, ok := strings.Cut(out, "\nversions:\n")
	if !ok {
		if list, ok = strings.CutPrefix(out, "versions:\n"); !ok {
			return out, nil
		}
		log = ""
	}
	return log, strings.Fields(list)
}

// noNetwork are the ways in which apt, dnf and curl say that they reach
// nobody. Patterns, because "Failed to fetch" alone is also what apt says of a
// mirror in the middle of an update.
var noNetwork = regexp.MustCompile(`(?i)temporary failure (?:in name )?resol|could ?n[o']t resolve|could not resolve|network is unreachable|no route to host|failed to connect to|could not connect to|unable to connect to|connection timed out|curl: \((?:5|6|7|28)\)|curl error \((?:5|6|7|28)\)`)

// explainInstall makes an error of the output of a package manager that ended
// with an error.
func explainInstall(node, output string, err error) error {
	tail := trouble.LastLines(output, 6)
	if noNetwork.MatchString(output) {
		return &trouble.Error{
			ID: "no-network-in-node", Where: node, What: "install the engine",
			Why: "the node cannot reach its package repository: " + firstMatch(noNetwork, output),
			Next: []string{
				"dcalab ssh " + node + " -- getent hosts download.docker.com    # does it resolve names?",
				"or use a box that has an engine in it already",
			},
			Err: err,
		}
	}
	return &trouble.Error{
		ID: "engine-install-failed", Where: node, What: "install the engine",
		Why:  "the package manager ended with an error:\n" + tail,
		Next: []string{"dcalab ssh " + node + "    # find and fix the problem, then run the same command again"},
		Err:  err,
	}
}

// firstMatch is the line of the text in which the pattern is first found.
func firstMatch(re *regexp.Regexp, text string) string {
	for line := range strings.Lines(text) {
		if re.MatchString(line) {
			return strings.TrimSpace(trouble.Redact(line))
		}
	}
	return ""
}
