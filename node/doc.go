// Package node is the SSH way to one node: where it is reached (Endpoint), the
// connection with its keys, pinned host key and keepalive (Dial, Conn), and
// what goes over it: commands, shells, files and the engine's API socket. It
// also writes the ssh_config with which other programs reach the same node.
//
// It knows nothing of labs and swarms, nor of how a node came to be; what is
// installed and set inside one is the business of package provision.
package node
