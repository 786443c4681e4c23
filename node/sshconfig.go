package node

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
)

// HostEntry is one node in an ssh_config.
type HostEntry struct {
	// Names that the node answers to: short name first, then the full one.
	Names    []string
	Endpoint Endpoint
}

// SSHConfigOptions is what the entries of an ssh_config share.
type SSHConfigOptions struct {
	// KnownHosts is the path of the lab's known_hosts file.
	KnownHosts string
	// Dcalab is the path of the dcalab program, which ssh runs as
	// `dcalab ssh-proxy SOCKET` for a node that is behind a socket.
	Dcalab string
}

// SSHAlias is the name of a lab's node in every ssh_config of one user.
func SSHAlias(lab, node string) string { return "dcalab-" + lab + "-" + node }

// WriteSSHConfig renders the ssh_config with which ssh, scp, Ansible and
// docker -H ssh:// reach the nodes. Paths should be absolute. One with a
// character that ssh_config cannot carry (a double quote, a backslash, "${",
// a control character) is an error, and nothing is written.
func WriteSSHConfig(w io.Writer, hosts []HostEntry, o SSHConfigOptions) error {
	var b bytes.Buffer
	b.WriteString("# Written by dcalab, again and again: changes are lost.\n")
	for _, h := range hosts {
		if err := writeHost(&b, h, o); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func writeHost(b *bytes.Buffer, h HostEntry, o SSHConfigOptions) error {
	ep := h.Endpoint
	alias := ep.HostKeyAlias
	if alias == "" {
		alias = ep.Node
	}
	if len(h.Names) == 0 {
		return fmt.Errorf("ssh_config of %q: a node needs a name", ep.Node)
	}
	for _, word := range append([]string{alias, ep.User}, h.Names...) {
		if word == "" || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`*?!,"'\#%$=`, r) }) {
			return fmt.Errorf("ssh_config of %q: %q cannot stand there", ep.Node, word)
		}
	}
	host, port, proxy := alias, "22", ""
	switch ep.Network {
	case "tcp":
		var err error
		if host, port, err = net.SplitHostPort(ep.Address); err != nil {
			return fmt.Errorf("ssh_config of %q: %w", ep.Node, err)
		}
	case "unix":
		// ssh hands the rest of the line to the user's shell, after its own
		// % tokens.
		for _, path := range []string{o.Dcalab, ep.Address} {
			if err := CheckPath(path); err != nil {
				return fmt.Errorf("ssh_config of %q: %w", ep.Node, err)
			}
		}
		proxy = percent(Quote(o.Dcalab, "ssh-proxy", ep.Address))
	default:
		return fmt.Errorf("ssh_config of %q: unknown network %q", ep.Node, ep.Network)
	}
	identity, err := pathValue(ep.IdentityFile)
	if err != nil {
		return fmt.Errorf("ssh_config of %q: %w", ep.Node, err)
	}
	known, err := pathValue(o.KnownHosts)
	if err != nil {
		return fmt.Errorf("ssh_config of %q: %w", ep.Node, err)
	}

	fmt.Fprintf(b, "\nHost %s\n", strings.Join(h.Names, " "))
	for _, line := range []struct{ key, value string }{
		{"HostName", percent(host)},
		{"Port", port},
		{"User", ep.User},
		{"IdentityFile", identity},
		{"IdentitiesOnly", "yes"},
		{"UserKnownHostsFile", known},
		{"HostKeyAlias", alias},
		{"StrictHostKeyChecking", "yes"},
		{"ProxyCommand", proxy},
		{"LogLevel", "ERROR"},
	} {
		if line.value != "" {
			fmt.Fprintf(b, "  %s %s\n", line.key, line.value)
		}
	}
	return nil
}

// pathValue is a path as ssh_config(5) wants it: in double quotes, with the %
// of its tokens doubled.
func pathValue(path string) (string, error) {
	path = filepath.ToSlash(path)
	if err := CheckPath(path); err != nil {
		return "", err
	}
	return `"` + percent(path) + `"`, nil
}

// CheckPath refuses what ssh_config has no sure way to escape, in every version
// of OpenSSH in use.
func CheckPath(path string) error {
	bad := path == "" || strings.ContainsAny(path, `"\`) || strings.Contains(path, "${") ||
		strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f })
	if bad {
		return fmt.Errorf("ssh_config cannot carry the path %q", path)
	}
	return nil
}

func percent(s string) string { return strings.ReplaceAll(s, "%", "%%") }
