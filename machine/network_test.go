package machine

import (
	"net/netip"
	"slices"
	"testing"
)

func TestParseRoutes(t *testing.T) {
	const table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"dl-x\t0014140A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"bad\tzz\t0\t0\t0\t0\t0\t00FFFFFF\n" + "short\n"
	want := []Network{{Interface: "eth0", Addr: netip.MustParsePrefix("192.168.2.0/24")}, {Interface: "dl-x", Addr: netip.MustParsePrefix("10.20.20.0/24")}}
	if got := ParseRoutes(table); !slices.Equal(got, want) {
		t.Fatalf("%+v", got)
	}
}

func FuzzParseRoutes(f *testing.F) {
	f.Add("eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
	f.Add("tun0\t0000140A\t00000000\t0001\t0\t0\t0\tFF00FF00\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, n := range ParseRoutes(text) {
			if !n.Addr.IsValid() || n.Addr.Bits() == 0 || n.Addr != n.Addr.Masked() {
				t.Errorf("%q gives %v", text, n.Addr)
			}
		}
	})
}
