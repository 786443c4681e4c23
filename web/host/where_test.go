package host

import (
	"strings"
	"testing"

	"github.com/dcalab/dcalab/trouble"
)

// TestServeWhere: an address of loopback, or one that others reach; which of them acts.
func TestServeWhere(t *testing.T) {
	for name, c := range map[string]struct {
		asked  Options
		at     string
		remote bool
		acts   bool
	}{
		"nothing":             {Options{}, "invalid AddrPort", false, true},
		"localhost":           {Options{Addr: "localhost:80"}, "127.0.0.1:80", false, true},
		"loopback":            {Options{Addr: "[::1]:9"}, "[::1]:9", false, true},
		"loopback, mapped":    {Options{Addr: "[::ffff:127.0.0.1]:9"}, "127.0.0.1:9", false, true},
		"loopback, read-only": {Options{Addr: "127.0.0.1:9", ReadOnly: true}, "127.0.0.1:9", false, false},
		"a network":           {Options{Addr: "192.168.1.5:3227"}, "192.168.1.5:3227", true, false},
		"a network, mapped":   {Options{Addr: "[::ffff:192.168.1.5]:1"}, "192.168.1.5:1", true, false},
		"a network of IPv6":   {Options{Addr: "[2001:db8::7]:0"}, "[2001:db8::7]:0", true, false},
		"link-local":          {Options{Addr: "169.254.3.4:1"}, "169.254.3.4:1", true, false},
		"others act":          {Options{Addr: "192.168.1.5:3227", RemoteActions: true}, "192.168.1.5:3227", true, true},
	} {
		v := c.asked
		if err := v.Check(); err != nil || v.at.String() != c.at || v.remote() != c.remote || v.Acts() != c.acts {
			t.Errorf("%s: at %s, remote %v, acts %v, %v", name, v.at, v.remote(), v.Acts(), err)
		}
	}
	for name, c := range map[string]struct {
		asked Options
		exit  int
		why   string
	}{
		"no port":               {Options{Addr: "192.168.1.5"}, trouble.ExitUsage, "lacks a port"},
		"a name":                {Options{Addr: "here.example:80"}, trouble.ExitUsage, "no address with a port"},
		"every address":         {Options{Addr: "0.0.0.0:3227"}, trouble.ExitRefused, "every address"},
		"every address of IPv6": {Options{Addr: "[::]:3227"}, trouble.ExitRefused, "every address"},
		"every address, mapped": {Options{Addr: "[::ffff:0.0.0.0]:3227"}, trouble.ExitRefused, "every address"},
		"multicast":             {Options{Addr: "224.0.0.1:1"}, trouble.ExitUsage, "one machine"},
		"broadcast":             {Options{Addr: "255.255.255.255:1"}, trouble.ExitUsage, "one machine"},
		"a zone":                {Options{Addr: "[fe80::1%eth0]:1"}, trouble.ExitUsage, "one machine"},
		"others, on loopback":   {Options{Addr: "127.0.0.1:1", RemoteActions: true}, trouble.ExitUsage, "on loopback"},
		"others, nowhere":       {Options{RemoteActions: true}, trouble.ExitUsage, "on loopback"},
		"others, read-only":     {Options{Addr: "192.168.1.5:1", RemoteActions: true, ReadOnly: true}, trouble.ExitUsage, "nobody"},
	} {
		if err := c.asked.Check(); err == nil || trouble.ExitStatus(err) != c.exit || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
