package raft

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcalab/dcalab/node"
)

// controlSocket is where a manager's own services listen, for root.
const controlSocket = "/var/run/docker/swarm/control.sock"

// openTimeout is how long a manager may take to be connected to.
const openTimeout = 10 * time.Second

// Kind is that of an object of the cluster.
type Kind string

// The kinds that are watched.
const (
	KindNode    Kind = "node"
	KindService Kind = "service"
	KindTask    Kind = "task"
	KindNetwork Kind = "network"
)

// Action is what is done to an object.
type Action string

// The actions.
const (
	ActionCreate Action = "create"
	ActionUpdate Action = "update"
	ActionRemove Action = "remove"
)

// Change is a change of the cluster's state, as one manager applies it.
type Change struct {
	// Version of the object then, which is the index in raft's log from which the
	// change was made; of one that is removed, its last.
	Version uint64
	Action  Action
	Object
}

// Object is what is known of an object after a change, or of one that is removed,
// before it. What its kind does not have is empty.
type Object struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
	// Name of a service or a network; the host name of a node; SERVICE.SLOT of a
	// task, or SERVICE.NODE-ID of a global service's.
	Name string `json:"name"`
	// State of a node ("ready", "down", "unknown", "disconnected"), of a task as
	// docker service ps has it ("running"), of a service's update ("paused").
	State string `json:"state,omitempty"`
	// Desired is what it is to be: the state of a task, the role of a node.
	Desired string `json:"desired,omitempty"`
	// Role of a node ("manager", "worker"), and its availability ("active").
	Role         string `json:"role,omitempty"`
	Availability string `json:"availability,omitempty"`
	// Service and Node of a task, by id.
	Service string `json:"service,omitempty"`
	Node    string `json:"node,omitempty"`
	// Replicas that a service is to have; nil for one that has no such number.
	Replicas *uint64 `json:"replicas,omitempty"`
	// Message is why a task or a node is in its state.
	Message string `json:"message,omitempty"`
	// Ports that a service publishes.
	Ports []Port `json:"ports,omitempty"`
}

// Port is one that a service publishes.
type Port struct {
	Protocol string `json:"protocol"` // tcp, udp or sctp
	// Target is the port in the container, Published the one on the nodes; 0 where each
	// engine picks one.
	Target    uint64 `json:"target"`
	Published uint64 `json:"published,omitempty"`
	// Host: it is open on the nodes that run a task, and not on the routing mesh.
	Host bool `json:"host,omitempty"`
}

// String is as docker service ls has it.
func (p Port) String() string {
	text := fmt.Sprintf("%d/%s", p.Target, p.Protocol)
	if p.Published != 0 {
		text = fmt.Sprintf("%d->%s", p.Published, text)
	}
	if p.Host {
		text += " (host)"
	}
	return text
}

// Watch tells each change that the manager on a node applies from now on, in their
// order, until ctx ends, which is no error. subscribed is called once none is missed
// any more. On a node that is no manager it fails.
func Watch(ctx context.Context, c *node.Conn, subscribed func(), each func(Change)) error {
	err := watch(ctx, func(ctx context.Context) (net.Conn, error) { return c.DialRoot(ctx, controlSocket) }, subscribed, each)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to end
	}
	return fmt.Errorf("%s: watch the cluster: %w", c.Name(), err)
}

// watch is a call of swarmkit's Watch (api/watch.proto) in gRPC, which is HTTP/2
// with a head of five bytes before each message, and its status in the trailer. The
// manager shows a certificate of its swarm, on a socket that is root's. One that was
// promoted no longer offers HTTP/2 by ALPN (its certificate is another one), and speaks
// nothing else.
func watch(ctx context.Context, dial func(context.Context) (net.Conn, error), subscribed func(), each func(Change)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var http2 http.Protocols
	http2.SetUnencryptedHTTP2(true) // on what DialContext gives, whatever TLS agrees on
	transport := &http.Transport{
		Protocols: &http2,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			opening, opened := context.WithTimeout(ctx, openTimeout)
			defer opened()
			raw, err := dial(opening)
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, func() { _ = raw.Close() })                                                                       // whatever else still uses it
			conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}) //nolint:gosec // who listens there is root
			if err := conn.HandshakeContext(opening); err != nil {
				_ = raw.Close()
				return nil, err
			}
			return conn, nil
		},
	}
	defer transport.CloseIdleConnections()
	body := strings.NewReader(string(frame(request())))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://swarm/docker.swarmkit.v1.Watch/Watch", body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	for first := true; ; first = false {
		message, err := unframe(resp.Body)
		if errors.Is(err, io.EOF) {
			return ended(resp)
		}
		if err != nil {
			return err
		}
		if first {
			subscribed()
		}
		if err := changes(message, each); err != nil {
			return err
		}
	}
}

// ended words the status of a call that has ended.
func ended(resp *http.Response) error {
	for _, h := range []http.Header{resp.Trailer, resp.Header} {
		if status := h.Get("Grpc-Status"); status != "" {
			return fmt.Errorf("it has ended with status %s: %s", status, h.Get("Grpc-Message"))
		}
	}
	return io.ErrUnexpectedEOF
}

// maxMessage is more than any message has: an object in raft has 1.5 MB at most.
const maxMessage = 16 << 20

func frame(message []byte) []byte {
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) //nolint:gosec // it is ours
	return append(head, message...)
}

func unframe(in io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || size > maxMessage {
		return nil, errors.New("it answers in another way than gRPC without compression")
	}
	message := make([]byte, size)
	_, err := io.ReadFull(in, message)
	return message, err
}

// request asks for all that is done to the objects that are watched. Secrets and
// configs are not among them, since their payload would come with them.
func request() []byte {
	const all = 1 | 2 | 4
	var out []byte
	for _, kind := range []Kind{KindNode, KindService, KindTask, KindNetwork} {
		var entry []byte
		entry = protowire.AppendTag(entry, 1, protowire.BytesType)
		entry = protowire.AppendString(entry, string(kind))
		entry = protowire.AppendTag(entry, 2, protowire.VarintType)
		entry = protowire.AppendVarint(entry, all)
		out = protowire.AppendTag(out, 1, protowire.BytesType)
		out = protowire.AppendBytes(out, entry)
	}
	return out
}
