package relay

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// told is what the kernel says of a packet from 10.0.0.1.
func told(id uint32, payload, whole int) []byte {
	ip := make([]byte, payload)
	if payload >= 20 {
		ip[0] = 0x45
		copy(ip[12:], []byte{10, 0, 0, 1})
	}
	body := []byte{2, 0, 0, 0}
	body = append(body, attr(nil, attrHeader, append(binary.BigEndian.AppendUint32(nil, id), 8, 0, 0))...)
	body = append(body, attr(nil, attrPayload, ip)...)
	if whole > 0 {
		body = append(body, attr(nil, attrWholeLength, binary.BigEndian.AppendUint32(nil, uint32(whole)))...) //nolint:gosec // small
	}
	m := binary.NativeEndian.AppendUint32(nil, uint32(16+len(body))) //nolint:gosec // small
	m = binary.NativeEndian.AppendUint16(m, 3<<8)
	m = append(m, make([]byte, 10)...)
	return append(m, body...)
}

func TestPacket(t *testing.T) {
	all := append(append(told(7, 20, 1500), told(8, 20, 0)...), told(9, 3, 0)...)
	var got []arrived
	for m := range messages(all) {
		if p, ok := m.packet(); ok {
			got = append(got, p)
		}
	}
	from := netip.MustParseAddr("10.0.0.1")
	want := []arrived{{7, 1500, from}, {8, 20, from}, {9, 3, netip.Addr{}}}
	if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %+v", got)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(told(7, 20, 1500))
	f.Add(told(7, 0, 0))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for m := range messages(b) {
			if p, ok := m.packet(); ok && p.size < 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}
