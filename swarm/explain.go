package swarm

import "strings"

// cause describes a step's error for a person, who already reads the node's name
// in front of it, with what is known of its kind.
func cause(node string, err error) string {
	msg := err.Error()
	if node != "" {
		msg = strings.TrimPrefix(msg, node+": ")
	}
	for _, k := range knownCauses() {
		if strings.Contains(msg, k.text) {
			return msg + " (" + k.means + ")"
		}
	}
	return msg
}

// knownCauses are texts of engines and what is behind them, the first match
// counts.
func knownCauses() []knownCause {
	return []knownCause{
		{":2377: connect: connection refused", "no manager listens there: its engine is down, or it is no longer a manager"},
		{":2377: connect: no route to host", "the address cannot be reached from this node: is the lab's interface up, and does a firewall let TCP port 2377 through?"},
		{":2377: i/o timeout", "TCP port 2377 of the manager does not answer: does a firewall let it through?"},
		{"find manager in raft memberlist", "its promotion has not taken effect; only a member of raft can be demoted"},
		{"x509: certificate has expired", "a node's certificate has expired, or the nodes' clocks differ"},
		{"certificate is not yet valid", "the nodes' clocks differ"},
		{"remote CA does not match fingerprint", "another swarm answers at the manager's address"},
		{"must specify a listening address", "the engine does not have the lab's address: is the lab's interface up?"},
	}
}

type knownCause struct{ text, means string }
