package provision

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// probe is what scripts/probe.sh found on a node.
type probe struct {
	UID       string
	Groups    []string // of this connection, not of /etc/group
	Arch      string   // as of uname -m
	Dockerd   bool     // there is an engine
	Running   bool     // it runs, and may be about to listen
	Listening bool     // somebody listens on its socket
	Writable  bool     // this user may connect to it
	Systemd   bool
	Hostname  string // the kernel's
	Interface string // with the lab address; empty where none has it
	// InterfaceDown: that one is administratively down.
	InterfaceDown bool
	OS            distribution
	// DaemonJSON is the engine's configuration; nil where there is none.
	DaemonJSON []byte
	// DaemonOurs says what of it dcalab wrote; nil where there is nothing.
	DaemonOurs []byte
}

// distribution is what os-release(5) says.
type distribution struct {
	ID        string // debian, ubuntu, almalinux, …
	Like      []string
	VersionID string // "12", "24.04", "9.4"
	Codename  string // "bookworm"; of the parent where a derivative names it
}

// String is the distribution for a person: "debian 12 (bookworm)".
func (d distribution) String() string {
	s := strings.TrimSpace(d.ID + " " + d.VersionID)
	if d.Codename != "" {
		s += " (" + d.Codename + ")"
	}
	return s
}

// is tells whether the distribution is, or comes from, the one named.
func (d distribution) is(id string) bool { return d.ID == id || slices.Contains(d.Like, id) }

// parseProbe reads the output of scripts/probe.sh. Lines that it does not know
// are passed over: a login shell may greet.
func parseProbe(out []byte) (probe, error) {
	var p probe
	codenames := map[string]string{}
	for raw := range bytes.Lines(out) {
		key, value, ok := strings.Cut(strings.TrimRight(string(raw), "\r\n"), "=")
		if !ok {
			continue
		}
		switch key {
		case "uid":
			p.UID = value
		case "groups":
			p.Groups = strings.Fields(value)
		case "arch":
			p.Arch = value
		case "dockerd":
			p.Dockerd = true
		case "running":
			p.Running = true
		case "listening":
			p.Listening = true
		case "writable":
			p.Writable = true
		case "systemd":
			p.Systemd = true
		case "hostname":
			p.Hostname = value
		case "interface":
			p.Interface = value
		case "interface.down":
			p.InterfaceDown = true
		case "os.ID":
			p.OS.ID = unquoteRelease(value)
		case "os.ID_LIKE":
			p.OS.Like = strings.Fields(unquoteRelease(value))
		case "os.VERSION_ID":
			p.OS.VersionID = unquoteRelease(value)
		case "os.VERSION_CODENAME", "os.UBUNTU_CODENAME", "os.DEBIAN_CODENAME":
			codenames[key] = unquoteRelease(value)
		case "daemon.json", "daemon.json.dcalab":
			text, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return probe{}, fmt.Errorf("read the engine's %s: %w", key, err)
			}
			if key == "daemon.json" {
				p.DaemonJSON = text
			} else {
				p.DaemonOurs = text
			}
		}
	}
	// Linux Mint's own codename means nothing to Docker's repository; it names
	// its parent's beside it.
	for _, key := range []string{"os.VERSION_CODENAME", "os.DEBIAN_CODENAME", "os.UBUNTU_CODENAME"} {
		if c := codenames[key]; c != "" {
			p.OS.Codename = c
		}
	}
	if p.UID == "" {
		return probe{}, fmt.Errorf("the node's shell did not run the probe; it wrote %q", trouble.LastLines(string(out), 3))
	}
	return p, nil
}

// unquoteRelease takes the quotes off a value of os-release(5).
func unquoteRelease(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	return s
}
