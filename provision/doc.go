// Package provision is what dcalab does to one node over SSH: the connection
// with its keys, pinned host key and keepalive; commands, shells and the
// engine's API socket carried over it; and the work that makes a bare machine
// ready for a swarm (an engine present and running, the user in the docker
// group, engine labels, host name). It also writes the ssh_config with which
// other programs reach the same node.
//
// It knows nothing of swarms, nor of how a node came to be.
package provision
