package provision

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParseNetwork(t *testing.T) {
	now := time.Unix(1000, 0)
	near, far := netip.MustParseAddrPort("10.0.0.1:2377"), netip.MustParseAddrPort("10.0.0.2:2377")
	said := "welcome\ntime 4600\n" +
		`ip [{"ifname":"lo","flags":["LOOPBACK","UP"],"addr_info":[{"local":"127.0.0.1"}]},{"ifname":"eth1","flags":["BROADCAST"],"addr_info":[{"local":"10.0.0.9"},{"local":"nonsense"}]}]` +
		"\nreaches 10.0.0.1:2377\nreaches 9.9.9.9:1\n"
	n, err := parseNetwork(said, []netip.AddrPort{near, far}, now, now)
	if err != nil || n.Clock != time.Hour || len(n.Interfaces) != 2 || n.Interfaces[1].Up || n.Interfaces[1].Addresses[0].String() != "10.0.0.9" {
		t.Errorf("%+v, %v", n, err)
	}
	if !n.Reaches[near] || n.Reaches[far] || len(n.Reaches) != 2 {
		t.Errorf("reaches %v", n.Reaches)
	}
	for _, bad := range []string{"", "ip nonsense", "time x"} {
		if _, err := parseNetwork(bad, nil, now, now); err == nil {
			t.Errorf("%q is no answer", bad)
		}
	}
	h := head{limit: 3}
	if n, _ := h.Write([]byte(strings.Repeat("x", 10))); n != 10 || h.String() != "xxx" {
		t.Errorf("%d, %q", n, h.String())
	}
}
