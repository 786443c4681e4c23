package cmd

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"

	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// TestServeWhere: an address of loopback, or one that others reach; which of them acts.
func TestServeWhere(t *testing.T) {
	for name, c := range map[string]struct {
		asked  serving
		at     string
		remote bool
		acts   bool
	}{
		"nothing":             {serving{}, "invalid AddrPort", false, true},
		"localhost":           {serving{addr: "localhost:80"}, "127.0.0.1:80", false, true},
		"loopback":            {serving{addr: "[::1]:9"}, "[::1]:9", false, true},
		"loopback, mapped":    {serving{addr: "[::ffff:127.0.0.1]:9"}, "127.0.0.1:9", false, true},
		"loopback, read-only": {serving{addr: "127.0.0.1:9", readOnly: true}, "127.0.0.1:9", false, false},
		"a network":           {serving{addr: "192.168.1.5:3227"}, "192.168.1.5:3227", true, false},
		"a network, mapped":   {serving{addr: "[::ffff:192.168.1.5]:1"}, "192.168.1.5:1", true, false},
		"a network of IPv6":   {serving{addr: "[2001:db8::7]:0"}, "[2001:db8::7]:0", true, false},
		"link-local":          {serving{addr: "169.254.3.4:1"}, "169.254.3.4:1", true, false},
		"others act":          {serving{addr: "192.168.1.5:3227", remoteActions: true}, "192.168.1.5:3227", true, true},
	} {
		v := c.asked
		if err := v.check(); err != nil || v.at.String() != c.at || v.remote() != c.remote || v.acts() != c.acts {
			t.Errorf("%s: at %s, remote %v, acts %v, %v", name, v.at, v.remote(), v.acts(), err)
		}
	}
	for name, c := range map[string]struct {
		asked serving
		exit  int
		why   string
	}{
		"no port":               {serving{addr: "192.168.1.5"}, trouble.ExitUsage, "lacks a port"},
		"a name":                {serving{addr: "here.example:80"}, trouble.ExitUsage, "no address with a port"},
		"every address":         {serving{addr: "0.0.0.0:3227"}, trouble.ExitRefused, "every address"},
		"every address of IPv6": {serving{addr: "[::]:3227"}, trouble.ExitRefused, "every address"},
		"every address, mapped": {serving{addr: "[::ffff:0.0.0.0]:3227"}, trouble.ExitRefused, "every address"},
		"multicast":             {serving{addr: "224.0.0.1:1"}, trouble.ExitUsage, "one machine"},
		"broadcast":             {serving{addr: "255.255.255.255:1"}, trouble.ExitUsage, "one machine"},
		"a zone":                {serving{addr: "[fe80::1%eth0]:1"}, trouble.ExitUsage, "one machine"},
		"others, on loopback":   {serving{addr: "127.0.0.1:1", remoteActions: true}, trouble.ExitUsage, "on loopback"},
		"others, nowhere":       {serving{remoteActions: true}, trouble.ExitUsage, "on loopback"},
		"others, read-only":     {serving{addr: "192.168.1.5:1", remoteActions: true, readOnly: true}, trouble.ExitUsage, "nobody"},
	} {
		if err := c.asked.check(); err == nil || trouble.ExitStatus(err) != c.exit || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestServeGivesItsFlagsOn: what the page asks for is about the lab that it shows.
func TestServeGivesItsFlagsOn(t *testing.T) {
	t.Chdir(t.TempDir())
	a := &app{streams: ui.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, embedded: embedded(t), settings: viper.New()}
	root := a.root()
	root.SetOut(io.Discard)
	root.SetArgs([]string{"--lab", "dca", "version", "-q", "--driver=sandbox"})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"--driver=sandbox", "--lab=dca", "--quiet=true"}; !slices.Equal(a.given, want) {
		t.Errorf("other commands get %q, want %q", a.given, want)
	}
	if done := a.act(t.Context(), []string{"halt", "nobody"}); !strings.Contains(done.Text, "lab dca has no node") {
		t.Errorf("a page's command: %+v", done)
	}
	a.given = []string{"--lab=other"}
	if done := a.act(t.Context(), []string{"halt", "nobody"}); !strings.Contains(done.Text, "other") {
		t.Errorf("a page's command on another lab: %+v", done)
	}
}

// TestServeKeepsItsCertificate: with the lab, once that exists, for its owner alone; its
// private key is told nobody.
func TestServeKeepsItsCertificate(t *testing.T) {
	s := contextSession(t, "ha")
	var said bytes.Buffer
	s.app = &app{streams: ui.Streams{In: strings.NewReader(""), Out: &said, Err: &said}, settings: viper.New()}
	serve := func(at string) (fingerprint string, k kept) {
		t.Helper()
		said.Reset()
		plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		k = kept{serveKey: []byte("secret")}
		l, err := pageHost{session: s}.encrypted(plain, netip.MustParseAddrPort(at), k)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		lines := strings.Fields(said.String())
		return lines[len(lines)-1], k
	}
	unmade := &session{app: s.app, Session: labsession.Of(labsession.Settings{}, labsession.Parts{Lab: s.Lab(), State: s.State()})}
	first, k := serve("192.0.2.7:3227")
	file := filepath.Join(s.State().Dir(), serveCertificate)
	if err := k.keep(unmade.Session); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("it is kept with a lab that does not exist: %v", err)
	}
	if err := k.keep(s.Session); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Fatalf("%s: %v, %v", file, info, err)
	}
	pem, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(pem, []byte("PRIVATE KEY")) {
		t.Errorf("%s has %d bytes: %v", file, len(pem), err)
	}
	again, _ := serve("192.0.2.7:9")
	if again != first {
		t.Errorf("started again it is another one: %s, %s", first, again)
	}
	for line := range strings.Lines(string(pem)) {
		if len(line) > 10 && strings.Contains(said.String(), strings.TrimSpace(line)) {
			t.Errorf("it says %s", said.String())
		}
	}
	other, k := serve("[2001:db8::7]:3227")
	if err := k.keep(s.Session); err != nil || other == first {
		t.Errorf("for another address: %s, %v", other, err)
	}
	if now, _ := serve("[2001:db8::7]:3227"); now != other {
		t.Errorf("that one is not kept: %s, %s", other, now)
	}
}
