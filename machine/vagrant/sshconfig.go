package vagrant

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"

	"github.com/dcalab/dcalab/node"
)

// parseSSHConfig reads what `vagrant ssh-config` prints: a block per machine.
// Endpoint.HostKeyAlias is the Host name. Blocks with a wildcard are passed
// over.
func parseSSHConfig(text []byte) (endpoints []node.Endpoint, err error) {
	for line := range bytes.Lines(text) {
		// The library would read the files that are named there.
		if word := strings.ToLower(strings.TrimLeft(string(line), " \t\v\f\r\"")); strings.HasPrefix(word, "include") {
			return nil, errors.New("read ssh-config: Include has no place in it")
		}
	}
	// The library forgets a last line without an end.
	config, err := ssh_config.DecodeBytes(append(bytes.TrimRight(text, "\n"), '\n'))
	if err != nil {
		return nil, fmt.Errorf("read ssh-config: %w", err)
	}
	for _, host := range config.Hosts {
		if len(host.Patterns) == 0 || strings.ContainsAny(host.Patterns[0].String(), "*?!") {
			continue
		}
		ep, err := parseHost(host)
		if err != nil {
			return nil, fmt.Errorf("read ssh-config of %q: %w", host.Patterns[0], err)
		}
		endpoints = append(endpoints, ep)
	}
	return endpoints, nil
}

func parseHost(host *ssh_config.Host) (node.Endpoint, error) {
	name := strings.Trim(host.Patterns[0].String(), `"`)
	values := map[string]string{"port": "22"}
	seen := map[string]bool{}
	for _, line := range host.Nodes {
		kv, ok := line.(*ssh_config.KV)
		if !ok {
			continue
		}
		key := strings.ToLower(kv.Key)
		if seen[key] { // the first one counts, ssh_config(5)
			continue
		}
		seen[key] = true
		if kv.Comment != "" || strings.Contains(kv.Value, `"`) {
			return node.Endpoint{}, fmt.Errorf("cannot tell where the value of %s ends", kv.Key)
		}
		values[key] = kv.Value
	}
	port, err := strconv.ParseUint(values["port"], 10, 16)
	switch {
	case name == "":
		return node.Endpoint{}, errors.New("it has no name")
	case err != nil || port == 0:
		return node.Endpoint{}, fmt.Errorf("port %q is not one", values["port"])
	case values["hostname"] == "":
		return node.Endpoint{}, errors.New("it has no HostName")
	case values["user"] == "":
		return node.Endpoint{}, errors.New("it has no User")
	}
	return node.Endpoint{
		Node:         name,
		Network:      "tcp",
		Address:      net.JoinHostPort(values["hostname"], strconv.FormatUint(port, 10)),
		User:         values["user"],
		IdentityFile: values["identityfile"],
		HostKeyAlias: name,
	}, nil
}
