package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// What linux/netfilter/nfnetlink_queue.h says.
const (
	msgPacket, msgVerdict, msgConfig = 0, 1, 2

	cfgCommand, cfgParams, cfgMaxLen, cfgMask, cfgFlags = 1, 2, 3, 4, 5

	commandBind     = 1
	copyPacket      = 2
	flagGSO         = 4 // packets are not cut into those of the wire first
	attrHeader      = 1
	attrPayload     = 10
	attrWholeLength = 13
	typeMask        = 0x3fff // of an attribute's kind, without its flags

	drop, accept = 0, 1
)

// headerBytes are as many as are wanted of each packet: those of an IP header without
// options have its source.
const headerBytes = 20

// queue is one of netfilter's, over netlink.
type queue struct {
	fd  int
	buf []byte
}

// openQueue binds a queue. Who is the second to bind it is refused.
func openQueue(number uint16) (*queue, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("a socket of netlink: %w", err)
	}
	q := &queue{fd: fd, buf: make([]byte, 65536)}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("a socket of netlink: %w", err)
	}
	// What finds no room is lost, and not an error of the next read.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1)
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
	}
	u32 := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	for _, attrs := range [][]byte{
		attr(nil, cfgCommand, []byte{commandBind, 0, 0, unix.AF_INET}),
		attr(nil, cfgParams, append(u32(headerBytes), copyPacket)),
		attr(nil, cfgMaxLen, u32(heldPackets)),
		attr(attr(nil, cfgMask, u32(flagGSO)), cfgFlags, u32(flagGSO)),
	} {
		if err := q.send(msgConfig, unix.NLM_F_ACK, number, attrs); err != nil {
			return nil, err
		}
		if err := q.acknowledged(); err != nil {
			return nil, fmt.Errorf("the queue %d of netfilter: %w", number, err)
		}
	}
	return q, nil
}

// attr appends an attribute of netlink.
func attr(to []byte, kind uint16, data []byte) []byte {
	to = binary.NativeEndian.AppendUint16(to, uint16(4+len(data)))
	to = binary.NativeEndian.AppendUint16(to, kind)
	to = append(to, data...)
	for len(to)%4 != 0 {
		to = append(to, 0)
	}
	return to
}

func (q *queue) send(kind, flags, number uint16, attrs []byte) error {
	m := binary.NativeEndian.AppendUint32(make([]byte, 0, 64), uint32(20+len(attrs)))
	m = binary.NativeEndian.AppendUint16(m, unix.NFNL_SUBSYS_QUEUE<<8|kind)
	m = binary.NativeEndian.AppendUint16(m, unix.NLM_F_REQUEST|flags)
	m = append(m, 0, 0, 0, 0, 0, 0, 0, 0) // sequence, and port
	m = append(m, unix.AF_UNSPEC, unix.NFNETLINK_V0)
	m = binary.BigEndian.AppendUint16(m, number)
	return unix.Sendto(q.fd, append(m, attrs...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// acknowledged reads the kernel's answer to what was asked for. Packets that came
// before it are let go.
func (q *queue) acknowledged() error {
	for {
		n, err := q.read()
		if err != nil {
			return err
		}
		for m := range messages(q.buf[:n]) {
			if m.kind == unix.NLMSG_ERROR && len(m.data) >= 4 {
				if code := int32(binary.NativeEndian.Uint32(m.data)); code != 0 { //nolint:gosec // a negative errno
					return unix.Errno(-code)
				}
				return nil
			}
			if p, ok := m.packet(); ok {
				_ = q.verdict(p.id, accept)
			}
		}
	}
}

// read reads what there is into buf, and waits for it.
func (q *queue) read() (int, error) {
	for {
		n, _, err := unix.Recvfrom(q.fd, q.buf, 0)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOBUFS) {
			continue
		}
		return n, err
	}
}

// verdict lets a packet go, or drops it.
func (q *queue) verdict(id, what uint32) error {
	data := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, what), id)
	return q.send(msgVerdict, 0, Queue, attr(nil, 2, data))
}

// message is one of netlink's.
type message struct {
	kind uint16
	data []byte
}

// messages are those that were read at once.
func messages(b []byte) func(yield func(message) bool) {
	return func(yield func(message) bool) {
		for len(b) >= 16 {
			size := int(binary.NativeEndian.Uint32(b))
			if size < 16 || size > len(b) {
				return
			}
			if !yield(message{binary.NativeEndian.Uint16(b[4:]), b[16:size]}) {
				return
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
}

// arrived is a packet as the kernel tells of it.
type arrived struct {
	id   uint32
	size int
	from netip.Addr
}

// packet reads a message that tells of one.
func (m message) packet() (p arrived, ok bool) {
	if m.kind != unix.NFNL_SUBSYS_QUEUE<<8|msgPacket || len(m.data) < 4 {
		return p, false
	}
	whole := 0
	for b := m.data[4:]; len(b) >= 4; {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return p, false
		}
		value := b[4:size]
		switch kind := binary.NativeEndian.Uint16(b[2:]) & typeMask; {
		case kind == attrHeader && len(value) >= 4:
			p.id, ok = binary.BigEndian.Uint32(value), true
		case kind == attrPayload:
			p.size = len(value)
			if len(value) >= 20 && value[0]>>4 == 4 {
				p.from = netip.AddrFrom4([4]byte(value[12:16]))
			}
		case kind == attrWholeLength && len(value) >= 4:
			whole = int(binary.BigEndian.Uint32(value))
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	p.size = max(p.size, whole)
	return p, ok
}
