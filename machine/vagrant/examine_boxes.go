package vagrant

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// boxes of a lab, each once, in the order of its nodes.
func boxes(l *lab.Lab) []string {
	var out []string
	for _, n := range l.Nodes {
		if !slices.Contains(out, n.Box) {
			out = append(out, n.Box)
		}
	}
	return out
}

// boxState is what Vagrant's folder has of a box.
type boxState struct {
	// here: a version for the provider and this machine's processor.
	here    bool
	version string
	// others are the providers (or provider/architecture) that it exists for.
	others []string
}

// findBox looks as Vagrant does (lib/vagrant/box_collection.rb): a version's
// folder has one for each provider, and since 2.4 one for each architecture
// above those.
func (h host) findBox(box, provider string) boxState {
	name := strings.ReplaceAll(box, "/", "-VAGRANTSLASH-")
	if h.GOOS == "windows" {
		name = strings.ReplaceAll(name, ":", "-VAGRANTCOLON-")
	}
	formats := []string{provider}
	if provider == "vmware_desktop" { // the plugin takes the boxes of its ancestors
		formats = append(formats, "vmware_fusion", "vmware_workstation", "vmware")
	}
	dir := h.join(h.vagrantHome(), "boxes", name)
	var s boxState
	see := func(version, at, format, label string) {
		if !h.Exists(h.join(dir, version, at, "metadata.json")) {
			return
		}
		if slices.Contains(formats, format) && (label == "" || label == h.architecture()) {
			s.here = true
			if s.version == "" || atLeast(version, s.version) {
				s.version = version
			}
			return
		}
		s.others = append(s.others, path.Join(format, label))
	}
	for _, version := range h.List(dir) {
		for _, first := range h.List(h.join(dir, version)) {
			see(version, first, first, "")
			for _, second := range h.List(h.join(dir, version, first)) {
				see(version, h.join(first, second), second, first)
			}
		}
	}
	slices.Sort(s.others)
	s.others = slices.Compact(s.others)
	return s
}

// architecture is this machine's, as Vagrant names it.
func (h host) architecture() string {
	return cmp.Or(h.Getenv("VAGRANT_HOST_ARCHITECTURE"), map[string]string{"386": "i386"}[h.GOARCH], h.GOARCH)
}

// checkBoxes looks for the boxes, and refuses those that are known to be for
// another processor before anything is downloaded.
func (e examination) checkBoxes(provider, version string) []machine.Check {
	var out []machine.Check
	for _, box := range boxes(e.Lab) {
		c := machine.Check{ID: "box", What: "box " + box}
		arch := e.architecture()
		s := e.findBox(box, provider)
		builds := boxArchitectures(box)
		switch {
		case s.here:
			out = append(out, c.OK(s.version+" for "+provider+" is here"))
		case len(builds) > 0 && !slices.Contains(builds, arch):
			out = append(out, c.Failure(fmt.Sprintf("%s is for %s processors, and this machine's is %s", box, strings.Join(builds, " and "), arch),
				machine.Advise("take a box with a build for "+arch+" in labs.yaml: box: bento/ubuntu-24.04 has one")))
		case arch == "arm64" && len(builds) != 1 && version != "" && !atLeast(version, architectureVagrant):
			out = append(out, c.Failure("Vagrant "+version+" does not choose a box by the processor, and would download the one for amd64",
				machine.Advise("install Vagrant "+architectureVagrant+" or newer: "+vagrantSite)))
		case arch != "amd64" && len(builds) == 0:
			out = append(out, c.Warning("it is downloaded at the first up; whether there is one for "+arch+" is not known here",
				machine.Advise("see the box's page, or take bento/ubuntu-24.04, which has one")))
		case len(s.others) > 0:
			out = append(out, c.Unknown("it is here for "+strings.Join(s.others, ", ")+" only; the one for "+provider+" is downloaded at the first up, if there is one"))
		default:
			out = append(out, c.Unknown("it is downloaded at the first up"))
		}
	}
	return out
}

// boxArchitectures tells which processors a box is known to be for: none where
// that is not known. Bento builds its boxes for both (chef/bento, os_pkrvars);
// Ubuntu's, Debian's and CentOS's own, and HashiCorp's, exist for amd64 only.
func boxArchitectures(box string) []string {
	publisher, name, _ := strings.Cut(strings.ToLower(box), "/")
	switch {
	case strings.Contains(name, "arm64") || strings.Contains(name, "aarch64"):
		return []string{"arm64"}
	case strings.Contains(name, "x86_64") || strings.Contains(name, "amd64"):
		return []string{"amd64"}
	case strings.Contains(name, "i386"):
		return []string{"i386"}
	}
	switch publisher {
	case "ubuntu", "debian", "centos", "hashicorp":
		return []string{"amd64"}
	case "bento":
		return []string{"amd64", "arm64"}
	}
	return nil
}
