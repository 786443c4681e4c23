// Package lab holds a lab as its author wrote it: the types of labs.yaml, the
// strict loading of that file with line and column, its validation and JSON
// Schema, and the state folder in which a lab keeps what belongs to it. It
// starts nothing, connects to nothing and imports nothing of dcalab's but
// trouble.
package lab

import (
	"net/netip"
	"slices"
	"time"
)

// Role is what a node is to be in the swarm.
type Role string

// The roles of labs.yaml.
const (
	RoleManager Role = "manager"
	RoleWorker  Role = "worker"
	// RoleNone is a machine with an engine that stays out of the swarm (the
	// course's registry, for example).
	RoleNone Role = "none"
)

// Availability is whether the scheduler may give a node tasks, as Docker names it.
type Availability string

// The availabilities of Docker.
const (
	AvailabilityActive Availability = "active"
	AvailabilityPause  Availability = "pause"
	AvailabilityDrain  Availability = "drain"
)

// The drivers of labs.yaml.
const (
	DriverAuto    = "auto"
	DriverSandbox = "sandbox"
	DriverVagrant = "vagrant"
	DriverDocker  = "docker"
)

// File is one labs.yaml, valid as a whole.
type File struct {
	// Path is the absolute path of the file; empty for the embedded default.
	Path string
	// Default is the name of the lab that is meant when none is named.
	Default string
	// Labs, in the order of the file.
	Labs []*Lab
	// Warnings are what is allowed and unwise, in the order of the file.
	Warnings []Problem

	// name of the file as messages show it.
	name string
	// piped: it came through a pipe, and no folder is that of the labs.
	piped bool
	// lines says, by lab and by path in the lab ("nodes.0.cpus"), in which
	// line of the file a setting is. A setting without one is a default.
	lines map[string]map[string]int
}

// Lab is one lab. Every field is set after loading: what the file leaves out
// has its default, and what the file says for the whole lab (box, cpus,
// memory, disk) has been carried to the nodes that say nothing themselves.
type Lab struct {
	Name string
	// Domain makes the nodes' full names: node01 in docker-dca.example is
	// node01.docker-dca.example.
	Domain string
	// Subnet is the lab's private network; its first host address is the gateway.
	Subnet netip.Prefix
	// Interface is the name that the lab's interface is expected to have in
	// the nodes.
	Interface string
	// Driver is auto, docker, sandbox or vagrant.
	Driver string
	// Provider is Vagrant's provider; empty leaves the choice to dcalab.
	Provider string
	Engine   Engine
	Swarm    Swarm
	Nodes    []Node
}

// Engine says which Docker Engine the nodes are to have.
type Engine struct {
	// Version pins the engine ("28.2", "20.10.24"); empty takes what is there,
	// or the newest of the source.
	Version string
	// Source of an engine that is missing: "distribution" (the distribution's
	// own package, the default) or "docker" (Docker's package repository).
	Source string
	// RegistryMirrors are the URLs of mirrors of Docker Hub, in the order in
	// which they are tried (dockerd --registry-mirror). InsecureRegistries are
	// registries that are spoken to without TLS, or without a look at its
	// certificate: host, host:port or a network (dockerd --insecure-registry).
	RegistryMirrors    []string
	InsecureRegistries []string
}

// Swarm holds the settings of the whole swarm.
type Swarm struct {
	// DefaultAddrPool is where overlay networks take their subnets from, each
	// of SubnetSize bits. Only swarm init can set them.
	DefaultAddrPool []netip.Prefix
	SubnetSize      int
	// DataPathPort is the UDP port of overlay traffic (VXLAN). Only swarm init
	// can set it.
	DataPathPort int
	// CertExpiry is how long a node's certificate lives; Docker's own default
	// is 90 days.
	CertExpiry time.Duration
	// Autolock encrypts the managers' raft logs with a key that is asked for
	// after each restart of an engine.
	Autolock bool
	// TaskHistory is how many old tasks are kept per slot.
	TaskHistory int
	// Unsaid are the settings that labs.yaml leaves out: a new swarm gets them,
	// and one that exists keeps what it has.
	Unsaid Unsaid
}

// Unsaid tells of settings of a swarm that the file does not say them.
type Unsaid struct {
	DefaultAddrPool, SubnetSize, DataPathPort, CertExpiry, Autolock, TaskHistory bool
}

// Node is one machine of the lab.
type Node struct {
	// Name is the short host name, unique in the lab.
	Name string
	// IP is the node's address in the lab's subnet.
	IP   netip.Addr
	Role Role
	// Availability is applied to the node once it is in the swarm.
	Availability Availability
	Box          string
	CPUs         int
	// Memory in MiB.
	Memory int
	// Disk is the size, in MiB, of a file system that /var/lib/docker has for itself;
	// 0 where it has none. Virtual machines have the disk of their box.
	Disk int
	// Labels are the swarm's node labels (docker node update --label-add);
	// EngineLabels the engine's own (dockerd --label). The case of their keys
	// is kept.
	Labels       map[string]string
	EngineLabels map[string]string
}

// Hostname is the node's full name in the lab's domain, which is also the
// host name that its kernel and engine report.
func (l *Lab) Hostname(n Node) string {
	if l.Domain == "" {
		return n.Name
	}
	return n.Name + "." + l.Domain
}

// Gateway is the first host address of the lab's subnet: the host's own
// address there.
func (l *Lab) Gateway() netip.Addr { return l.Subnet.Masked().Addr().Next() }

// Node finds a node by its short name or full name.
func (l *Lab) Node(name string) (Node, bool) {
	for _, n := range l.Nodes {
		if n.Name == name || l.Hostname(n) == name {
			return n, true
		}
	}
	return Node{}, false
}

// NodeNames gives the short names in the order of the file.
func (l *Lab) NodeNames() []string { return Names(l.Nodes) }

// Names gives the short names of nodes.
func Names(nodes []Node) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Name
	}
	return names
}

// UnknownNodeError is the error for a name that no node of the lab has.
type UnknownNodeError struct{ Lab, Name string }

func (e *UnknownNodeError) Error() string { return "lab " + e.Lab + " has no node " + e.Name }

// Pick turns names, short or full, into nodes of the lab, each once; with none
// named, all of them. The error is an *UnknownNodeError.
func (l *Lab) Pick(names []string) ([]Node, error) {
	if len(names) == 0 {
		return l.Nodes, nil
	}
	nodes := make([]Node, 0, len(names))
	for _, name := range names {
		n, ok := l.Node(name)
		if !ok {
			return nil, &UnknownNodeError{l.Name, name}
		}
		if !slices.ContainsFunc(nodes, func(have Node) bool { return have.Name == n.Name }) {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}
