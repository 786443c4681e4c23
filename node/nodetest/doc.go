// Package nodetest is the other end of an SSH connection, for tests: the
// machine's own sshd, a box of its own that this one runs in, and servers that
// misbehave. It does not know package node, whose tests are the first to use
// it.
package nodetest
