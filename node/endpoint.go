package node

import (
	"context"
	"net"
)

// Endpoint is how a node is reached over SSH. Apart from Dial it is plain data,
// so that it can be kept between runs.
type Endpoint struct {
	// Node is the short name of the node.
	Node string `json:"node"`
	// Network and Address are as for net.Dial: "tcp" with host:port, or
	// "unix" with the path of a socket that leads to the node's sshd.
	Network string `json:"network"`
	Address string `json:"address"`
	// Dial, where it is not nil, opens the connection instead, and Command is a
	// program that does the same on its standard input and output, for other SSH
	// clients (ProxyCommand in ssh_config(5)). Address is then what errors call it.
	Dial    func(context.Context) (net.Conn, error) `json:"-"`
	Command []string                                `json:"command,omitempty"`
	// User to log in as.
	User string `json:"user"`
	// IdentityFile is the path of the private key.
	IdentityFile string `json:"identity_file"`
	// HostKeyAlias is the name under which the node's host key stands in the
	// lab's known_hosts file.
	HostKeyAlias string `json:"host_key_alias"`
}
