package session

import (
	"bytes"
	"context"
	"os"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
)

// WriteSSHConfig writes the lab's ssh_config; see SSHConfig.
func (s *Session) WriteSSHConfig(ctx context.Context, known map[string]node.Endpoint) error {
	text, err := s.SSHConfig(ctx, known)
	if err != nil {
		return err
	}
	return s.state.WriteFile("ssh_config", text, 0o600)
}

// SSHConfig makes the ssh_config of the nodes that run; of some it may
// be known already how they are reached.
func (s *Session) SSHConfig(ctx context.Context, known map[string]node.Endpoint) ([]byte, error) {
	var machines map[string]machine.Status
	if len(known) < len(s.lab.Nodes) {
		var err error
		if machines, err = s.driver.Status(ctx); err != nil {
			return nil, err
		}
	}
	var hosts []node.HostEntry
	for _, n := range s.lab.Nodes {
		ep, ok := known[n.Name]
		if !ok && machines[n.Name] != machine.StatusRunning {
			continue
		}
		if !ok {
			var err error
			if ep, err = s.driver.Endpoint(ctx, n.Name); err != nil {
				return nil, err
			}
		}
		entry := node.HostEntry{Names: []string{n.Name}, Endpoint: ep}
		if full := s.lab.Hostname(n); full != n.Name {
			entry.Names = append(entry.Names, full)
		}
		// By this name a node is found from ~/.ssh/config too (dcalab context).
		entry.Names = append(entry.Names, node.SSHAlias(s.lab.Name, n.Name))
		hosts = append(hosts, entry)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = node.WriteSSHConfig(&b, hosts, node.SSHConfigOptions{KnownHosts: s.state.KnownHosts(), Dcalab: self})
	return b.Bytes(), err
}
