package raft

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// What is read of swarmkit's messages, by the numbers of their fields
// (github.com/moby/swarmkit, api/watch.proto, objects.proto, types.proto, specs.proto,
// where numbers never change). What is not read here is not kept: a task's
// environment, for one, may have secrets.

// message is a message of protobuf, taken apart as far as it is asked for.
type message map[protowire.Number]field

func (m message) number(n protowire.Number) uint64 { return m[n].number }
func (m message) text(n protowire.Number) string   { return string(m[n].bytes) }

// in gives the message in a field; an empty one where there is none, or what there
// is cannot be read.
func (m message) in(path ...protowire.Number) message {
	for _, n := range path {
		inner, err := fields(m[n].bytes)
		if err != nil {
			return nil
		}
		m = inner
	}
	return m
}

// changes tells the changes in a WatchMessage.
func changes(text []byte, tell func(Change)) error {
	return each(text, func(num protowire.Number, f field) error {
		if num != 1 {
			return nil
		}
		event, err := fields(f.bytes)
		if err != nil {
			return err
		}
		c := Change{Action: map[uint64]Action{1: ActionCreate, 2: ActionUpdate, 4: ActionRemove}[event[1].number]}
		objects := message(event).in(2)
		for n, read := range readers() {
			if _, ok := objects[n]; ok && c.Action != "" {
				object := objects.in(n)
				c.Object, c.Version = read(object), object.in(2, 1).number(1) // Meta is 2 in all of them
				tell(c)
			}
		}
		return nil
	})
}

// readers read objects, by the numbers that they have in swarmkit's Object.
func readers() map[protowire.Number]func(message) Object {
	return map[protowire.Number]func(message) Object{1: nodeObject, 2: serviceObject, 3: networkObject, 4: taskObject}
}

func nodeObject(m message) Object {
	spec, status := m.in(3), m.in(5)
	return Object{
		Kind: KindNode, ID: m.text(1), Name: m.in(4).text(1),
		State:   word(status.number(1), "unknown", "down", "ready", "disconnected"),
		Message: status.text(2),
		Role:    word(m.number(9), "worker", "manager"), Desired: word(spec.number(2), "worker", "manager"),
		Availability: word(spec.number(4), "active", "pause", "drain"),
	}
}

func serviceObject(m message) Object {
	spec := m.in(3)
	o := Object{
		Kind: KindService, ID: m.text(1), Name: spec.in(1).text(1),
		State:   word(m.in(5).number(1), "", "updating", "paused", "completed", "rollback_started", "rollback_paused", "rollback_completed"),
		Message: m.in(5).text(4),
	}
	if _, ok := spec[3]; ok {
		n := spec.in(3).number(1)
		o.Replicas = &n
	}
	if m.number(7) != 0 {
		o.Desired = "removed"
	}
	_ = each(m[4].bytes, func(num protowire.Number, f field) error { // what is none publishes nothing
		if num != 2 {
			return nil
		}
		p, err := fields(f.bytes)
		if err == nil {
			o.Ports = append(o.Ports, Port{
				Protocol: word(p[2].number, "tcp", "udp", "sctp"), Target: p[3].number, Published: p[4].number, Host: p[5].number == 1,
			})
		}
		return err
	})
	return o
}

func networkObject(m message) Object {
	return Object{Kind: KindNetwork, ID: m.text(1), Name: m.in(3, 1).text(1)}
}

func taskObject(m message) Object {
	status := m.in(9)
	o := Object{
		Kind: KindTask, ID: m.text(1), Service: m.text(4), Node: m.text(6), Name: m.in(8).text(1),
		State: taskState(status.number(2)), Desired: taskState(m.number(10)), Message: status.text(4),
	}
	slot := o.Node
	if n := m.number(5); n > 0 {
		slot = strconv.FormatUint(n, 10)
	}
	if o.Name != "" && slot != "" {
		o.Name += "." + slot
	}
	return o
}

func word(n uint64, words ...string) string {
	if n < uint64(len(words)) {
		return words[n]
	}
	return strconv.FormatUint(n, 10)
}

// taskState is a state of swarmkit's in the words of the Engine API; they are 64
// apart.
func taskState(n uint64) string {
	if n == 800 {
		return "remove"
	}
	if n%64 != 0 {
		return strconv.FormatUint(n, 10)
	}
	return word(n/64, "new", "pending", "allocated", "assigned", "accepted", "preparing", "ready", "starting", "running", "complete", "shutdown", "failed", "rejected", "orphaned")
}
