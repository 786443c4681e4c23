package node

// Endpoint is how a node is reached over SSH. It is plain data, so that it
// can be kept between runs.
type Endpoint struct {
	// Node is the short name of the node.
	Node string `json:"node"`
	// Network and Address are as for net.Dial: "tcp" with host:port, or
	// "unix" with the path of a socket that leads to the node's sshd; or Network is
	// "command", Command a program whose standard input and output lead there, and
	// Address what errors call that way.
	Network string   `json:"network"`
	Address string   `json:"address"`
	Command []string `json:"command,omitempty"`
	// User to log in as.
	User string `json:"user"`
	// IdentityFile is the path of the private key.
	IdentityFile string `json:"identity_file"`
	// HostKeyAlias is the name under which the node's host key stands in the
	// lab's known_hosts file.
	HostKeyAlias string `json:"host_key_alias"`
}
