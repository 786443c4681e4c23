package provision

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/runbook"
)

// Imagine is the work on a machine that does not exist yet, guessed by the
// name of the box that it will be made of: of one that says nothing, Ubuntu's.
// Without a box its engine is there and runs, and its user is in the docker group.
func Imagine(box string, want Want) Work {
	if box == "" {
		w, err := plan(probe{UID: "1000", Groups: []string{"docker"}, Dockerd: true, Listening: true}, Want{Engine: want.Engine, EngineLabels: want.EngineLabels})
		if err != nil {
			return Work{}
		}
		return w
	}
	// What the shell of the node puts in where it is typed.
	const codename, major = `$(. /etc/os-release && echo "$VERSION_CODENAME")`, `$(rpm -E %rhel)`
	os := distribution{ID: "ubuntu", Codename: codename}
	name := strings.ToLower(box)
	for _, known := range []struct {
		word string
		os   distribution
	}{
		{"debian", distribution{ID: "debian", Codename: codename}},
		{"fedora", distribution{ID: "fedora", VersionID: `$(rpm -E %fedora)`}},
		{"centos", distribution{ID: "centos", VersionID: major}},
		{"alma", distribution{ID: "almalinux", Like: []string{"rhel"}, VersionID: major}},
		{"rocky", distribution{ID: "rocky", Like: []string{"rhel"}, VersionID: major}},
		{"rhel", distribution{ID: "rhel", VersionID: major}},
		{"oracle", distribution{ID: "ol", Like: []string{"rhel"}, VersionID: major}},
	} {
		if strings.Contains(name, known.word) {
			os = known.os
		}
	}
	// The host name is the driver's.
	w, err := plan(probe{UID: "1000", OS: os, Systemd: true}, Want{Engine: want.Engine, EngineLabels: want.EngineLabels})
	if err != nil {
		return Work{}
	}
	return w
}

// Steps is what the work consists of, in the order in which it is done, each
// in a few words in the imperative; none where the node is ready.
func (w Work) Steps() []string {
	var out []string
	if w.Hostname != "" {
		out = append(out, "set the host name to "+w.Hostname)
	}
	if w.Daemon.Config != nil {
		out = append(out, "write /etc/docker/daemon.json")
	}
	if w.Install != nil {
		what := "install " + w.Install.Package
		if w.Install.Version != "" {
			what += " " + w.Install.Version
		}
		if w.Install.Source == sourceDocker {
			what += " from Docker's repository"
		}
		out = append(out, what)
	}
	if w.AddGroup {
		out = append(out, "put the user into the docker group, and log in again")
	}
	switch {
	case w.Restart && w.Turn:
		out = append(out, "restart the engine, when those before it are back in the swarm, and wait until it is")
	case w.Restart:
		out = append(out, "restart the engine")
	case w.Start && w.Install == nil:
		out = append(out, "start the engine")
	}
	return out
}

// Runbook is the work as a person would type it on the node, logged in as user.
func (w Work) Runbook(name, user string) runbook.Runbook {
	l := typed{node: name}
	if w.Hostname != "" {
		short, _, _ := strings.Cut(w.Hostname, ".")
		l.add(node.Quote("printf", `127.0.1.1\t%s %s\n`, w.Hostname, short)+" | sudo tee -a /etc/hosts", "without it every sudo would look for the name")
		if w.Systemd {
			l.add(node.Quote("sudo", "hostnamectl", "set-hostname", w.Hostname), "")
		} else {
			l.add("echo "+node.Quote(w.Hostname)+" | sudo tee /etc/hostname", "for the next boot")
			l.add(node.Quote("sudo", "hostname", w.Hostname), "for now")
		}
	}
	switch {
	case w.Daemon.Own != nil:
		// What else stands there is nobody's business, and has to stay.
		l.add("# set in /etc/docker/daemon.json, whose other keys stay: "+withoutPasswords(w.Daemon.Own), "")
		l.add("sudoedit /etc/docker/daemon.json", "labels and registries of the engine")
	case w.Daemon.Config != nil:
		l.add("sudo mkdir -p /etc/docker", "")
		l.add(node.Quote("printf", `%s\n`, withoutPasswords(w.Daemon.Config))+" | sudo tee /etc/docker/daemon.json", "labels and registries of the engine")
	}
	if w.Install != nil {
		w.Install.runbook(&l, w.Packages)
	}
	switch {
	case w.Restart:
		l.service(w.Systemd, "restart")
		if w.Turn {
			l.add("docker info -f '{{.Swarm.LocalNodeState}}'", "before the next one is restarted")
			l.runbook[len(l.runbook)-1].Until = "active"
		}
	case w.Start:
		l.service(w.Systemd, "start")
	}
	if w.AddGroup {
		l.add(node.Quote("sudo", "usermod", "-aG", "docker", user), "docker without sudo")
		l.add("exit", "and log in again: the group counts from then on")
	}
	return l.runbook
}

// runbook is the recipe as it is typed. installed are the packages with their
// versions; without them, those that a person would ask for.
func (r recipe) runbook(l *typed, installed []string) {
	const repository = "https://download.docker.com/linux/"
	packages := installed
	if packages == nil {
		packages = []string{r.Package}
		if r.Source == sourceDocker {
			packages = append(packages, "docker-ce-cli")
		}
		if r.Version != "" {
			// A pattern; what Docker builds has the epoch 5 in apt.
			pin := "=" + r.Version + "*"
			switch {
			case r.Manager == "dnf":
				pin = "-" + r.Version + "*"
			case r.Source == sourceDocker:
				pin = "=5:" + r.Version + "*"
			}
			for i := range packages {
				packages[i] += pin
			}
		}
		if r.Source == sourceDocker {
			packages = append(packages, "containerd.io")
		}
	}
	if r.Manager == "dnf" {
		if r.Source == sourceDocker {
			l.add("sudo curl -fsSL "+repository+r.Repository+"/docker-ce.repo -o /etc/yum.repos.d/docker-ce.repo", "Docker's repository")
		} else {
			packages = append(packages, "docker-cli")
		}
		l.add(node.Quote(append([]string{"sudo", "dnf", "-y", "install"}, packages...)...), "")
		return
	}
	l.add("sudo apt-get update", "")
	if r.Source == sourceDocker {
		l.add("sudo apt-get install -y ca-certificates curl", "")
		l.add("sudo mkdir -p /etc/apt/keyrings", "")
		l.add("sudo curl -fsSL "+repository+r.Repository+"/gpg -o /etc/apt/keyrings/docker.asc", "the key that its packages are signed with")
		l.add(`echo "deb [arch=$(dpkg --print-architecture) signed-by=/etc/apt/keyrings/docker.asc] `+repository+r.Repository+" "+r.Release+` stable" | sudo tee /etc/apt/sources.list.d/docker.list`, "Docker's repository")
		l.add("sudo apt-get update", "")
	}
	l.add(node.Quote(append([]string{"sudo", "apt-get", "install", "-y"}, packages...)...), "")
}

// ExplainReset is what Reset comes to, as it is typed on a node whose engine
// answers. (Reset itself needs none that does.)
func ExplainReset(name string) runbook.Runbook {
	l := typed{node: name}
	l.add("docker swarm leave --force", "refused where it is in none")
	l.add("docker ps -aq | xargs -r docker rm -f", "")
	l.add("docker system prune --all --force", "images and networks")
	l.add("docker volume ls -q | xargs -r docker volume rm", "")
	l.add("docker info -f '{{.Swarm.LocalNodeState}}'", "")
	l.runbook[len(l.runbook)-1].Until = "inactive"
	return l.runbook
}

// ExplainLog is EngineLog as it is typed on the node.
func ExplainLog(name string, o LogOptions, systemd bool) runbook.Runbook {
	l := typed{node: name}
	lines := "all"
	if o.Lines >= 0 {
		lines = strconv.Itoa(o.Lines)
	}
	if systemd {
		words := []string{"sudo", "journalctl", "--no-pager", "-u", "docker", "-n", lines}
		if o.Since > 0 {
			words = append(words, "--since=-"+strconv.FormatInt(int64(max(o.Since/time.Second, 1)), 10)+"s")
		}
		if o.Follow {
			words = append(words, "-f")
		}
		l.add(node.Quote(words...), "")
		return l.runbook
	}
	if lines == "all" {
		lines = "+1"
	}
	words := []string{"sudo", "tail", "-n", lines}
	if o.Follow {
		words = append(words, "-F")
	}
	why := "no systemd starts this engine: it writes a file"
	if o.Since > 0 {
		why = "look for the time yourself: each line begins with its own"
	}
	l.add(node.Quote(append(words, "/var/log/docker.log")...), why)
	return l.runbook
}

// typed is a runbook for one node, in the making.
type typed struct {
	node    string
	runbook runbook.Runbook
}

func (t *typed) add(text, why string) {
	t.runbook = append(t.runbook, runbook.Command{Node: t.node, Text: text, Why: why})
}

func (t *typed) service(systemd bool, verb string) {
	if systemd && verb == "start" {
		t.add("sudo systemctl enable --now docker", "now and at each boot")
		return
	}
	t.add(node.TypedService(systemd, verb), "")
}

// withoutPasswords is a JSON text in one line, without what stands before an @
// in its addresses.
func withoutPasswords(text []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return "{}"
	}
	return regexp.MustCompile(`(://)[^/\s"]*@`).ReplaceAllString(b.String(), "$1<user>:<password>@")
}
