package host

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/session"
)

// TestPageKeepsItsCertificate: with the lab, once that exists, and for its owner alone.
func TestPageKeepsItsCertificate(t *testing.T) {
	state, err := lab.OpenState(t.TempDir(), "ha", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := state.WriteRecord(lab.Record{Format: 1, ID: "0123456789ab", Lab: "ha", Driver: lab.DriverSandbox}); err != nil {
		t.Fatal(err)
	}
	of := func(created bool) *session.Session {
		return session.Of(session.Settings{}, session.Parts{Lab: &lab.Lab{Name: "ha"}, State: state, Created: created})
	}
	made := of(true)
	listen := func(at string) *Page {
		t.Helper()
		plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := &Page{listener: plain, kept: kept{serveKey: []byte("secret")}}
		if err := p.encrypt(made, netip.MustParseAddr(at)); err != nil {
			t.Fatal(err)
		}
		_ = p.listener.Close()
		return p
	}
	first := listen("192.0.2.7")
	file := filepath.Join(state.Dir(), serveCertificate)
	if err := first.kept.keep(of(false)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("it is kept with a lab that does not exist: %v", err)
	}
	if err := first.kept.keep(made); err != nil {
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
	if again := listen("192.0.2.7"); again.Fingerprint != first.Fingerprint {
		t.Errorf("started again it is another one: %s, %s", first.Fingerprint, again.Fingerprint)
	}
	other := listen("2001:db8::7")
	if err := other.kept.keep(made); err != nil || other.Fingerprint == first.Fingerprint {
		t.Errorf("for another address: %s, %v", other.Fingerprint, err)
	}
	if now := listen("2001:db8::7"); now.Fingerprint != other.Fingerprint {
		t.Errorf("that one is not kept: %s, %s", other.Fingerprint, now.Fingerprint)
	}
}
