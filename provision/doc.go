// Package provision is what dcalab installs and sets inside one node: the work
// that makes a bare machine ready for a swarm (an engine present and running,
// the user in the docker group, engine labels, host name), what empties the
// engine again, and what is read there: clock, network, certificate, log. The
// SSH connection to do it over is package node's.
//
// It knows nothing of swarms, nor of how a node came to be.
package provision
