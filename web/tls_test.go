package web

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestNobodyElseGetsInOverTLS: beyond loopback, by its own name and https alone.
func TestNobodyElseGetsInOverTLS(t *testing.T) {
	const host = "192.0.2.7:3227"
	s := New(netip.MustParseAddrPort(host), []byte("secret"), strings.Clone)
	t.Cleanup(s.Close)
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"the page itself":             {nil, 200},
		"from its own origin":         {func(r *http.Request) { r.Header.Set("Origin", "https://"+host) }, 200},
		"without TLS":                 {func(r *http.Request) { r.TLS = nil }, 403},
		"from its origin without TLS": {func(r *http.Request) { r.Header.Set("Origin", "http://"+host) }, 403},
		"a foreign origin":            {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		"another port's origin":       {func(r *http.Request) { r.Header.Set("Origin", "https://192.0.2.7:80") }, 403},
		"no port":                     {func(r *http.Request) { r.Host = "192.0.2.7" }, 403},
		"by localhost":                {func(r *http.Request) { r.Host = "localhost:3227" }, 403},
		"by loopback":                 {func(r *http.Request) { r.Host = "127.0.0.1:3227" }, 403},
		"another name (rebinding)":    {func(r *http.Request) { r.Host = "evil.example:3227" }, 403},
		"from another site":           {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"no cookie":                   {func(r *http.Request) { r.Header.Del("Cookie") }, 401},
		"another cookie":              {func(r *http.Request) { r.Header.Set("Cookie", s.guard.cookie+"=x") }, 401},
		"something is to be changed":  {func(r *http.Request) { r.Method = http.MethodPost }, 405},
		"a terminal":                  {func(r *http.Request) { r.Method, r.URL.Path = http.MethodPost, "/terminals" }, 405},
	} {
		for _, path := range []string{"/", "/lanes", "/events", "/report"} {
			if (path == "/events" || path == "/report") && c.want == 200 {
				continue // it does not end, or has nothing to tell
			}
			if resp := askAt(t, s, "https://"+host+path, c.change); resp.Code != c.want {
				t.Errorf("%s, %s: %d, want %d", name, path, resp.Code, c.want)
			}
		}
	}
	link, whole := strings.CutPrefix(s.Link(), "https://"+host)
	resp := askAt(t, s, "https://"+host+link, func(r *http.Request) { r.Header.Del("Cookie") })
	cookies := cookiesOf(resp)
	if !whole || resp.Code != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("%s answers %d, %v", s.Link(), resp.Code, resp.Header())
	}
	if c := cookies[0]; !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Domain != "" {
		t.Errorf("the cookie is %+v", c)
	}
	if once := s.LinkOnce(); !strings.HasPrefix(once, "https://"+host+"/?token=") {
		t.Errorf("the link for a browser is %s", once)
	}
}

// TestUsualPort: browsers leave it out.
func TestUsualPort(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.7:443": "192.0.2.7", "[2001:db8::7]:443": "[2001:db8::7]"} {
		s := New(netip.MustParseAddrPort(addr), []byte("secret"), strings.Clone)
		t.Cleanup(s.Close)
		if resp := askAt(t, s, "https://"+want+"/", nil); resp.Code != http.StatusOK {
			t.Errorf("%s answers as %s: %d", addr, want, resp.Code)
		}
	}
}

// TestCertificate: one is used as long as it is in order, for its address, and good for a
// while.
func TestCertificateOfTheNetwork(t *testing.T) {
	here, there := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	made := func(kept []byte, address netip.Addr, now time.Time) Certificate {
		t.Helper()
		c, err := CertificateFor(kept, address, now)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := made(nil, here, now)
	leaf := first.pair.Leaf
	if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() || leaf.IsCA || leaf.NotAfter.Sub(leaf.NotBefore) > 397*24*time.Hour || now.Before(leaf.NotBefore) {
		t.Errorf("it is %+v", leaf)
	}
	if len(leaf.IPAddresses) != 1 || !leaf.IPAddresses[0].Equal(net.IP(here.AsSlice())) || len(leaf.DNSNames) != 0 {
		t.Errorf("it is for %v, %v", leaf.IPAddresses, leaf.DNSNames)
	}
	if sum := first.Fingerprint(); len(sum) != 95 || sum != strings.ToUpper(sum) || strings.Count(sum, ":") != 31 {
		t.Errorf("its fingerprint is %s", sum)
	}
	other := made(nil, here, now)
	certificate, _, _ := bytes.Cut(first.PEM, []byte("-----BEGIN PRIVATE"))
	_, key, _ := bytes.Cut(other.PEM, []byte("-----BEGIN PRIVATE"))
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		kept    []byte
		address netip.Addr
		now     time.Time
		same    bool
	}{
		"at once":             {first.PEM, here, now, true},
		"a year later":        {first.PEM, here, now.Add(366 * day), true},
		"30 days before":      {first.PEM, here, leaf.NotAfter.Add(-30 * day), true},
		"near its end":        {first.PEM, here, leaf.NotAfter.Add(-30*day + time.Second), false},
		"after its end":       {first.PEM, here, leaf.NotAfter.Add(day), false},
		"the clock went back": {first.PEM, here, now.Add(-2 * time.Hour), false},
		"another address":     {first.PEM, there, now, false},
		"half of it":          {first.PEM[:len(first.PEM)/2], here, now, false},
		"without its key":     {certificate, here, now, false},
		"with another key":    {append(bytes.Clone(certificate), append([]byte("-----BEGIN PRIVATE"), key...)...), here, now, false},
		"something else":      {[]byte("hello"), here, now, false},
	} {
		got := made(c.kept, c.address, c.now)
		if same := got.Fingerprint() == first.Fingerprint(); same != c.same || same && !bytes.Equal(got.PEM, first.PEM) {
			t.Errorf("%s: the same is %v", name, same)
		}
		if !got.isGood(c.address, c.now) {
			t.Errorf("%s: what is made is not good", name)
		}
	}
}

// TestPinned: a browser that compares the fingerprint reaches the page; one that does not
// know the certificate, or has TLS 1.2 alone, or none, does not.
func TestPinned(t *testing.T) {
	const host = "192.0.2.7:3227"
	c, err := CertificateFor(nil, netip.MustParseAddr("192.0.2.7"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(netip.MustParseAddrPort(host), []byte("secret"), strings.Clone)
	t.Cleanup(s.Close)
	served := &httptest.Server{Listener: c.Listen(plain), Config: &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)}}
	served.Start()
	t.Cleanup(served.Close)
	get := func(url string, config *tls.Config) (status int, version uint16, err error) {
		client := http.Client{Transport: &http.Transport{
			TLSClientConfig: config, DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", plain.Addr().String()) // in place of 192.0.2.7
			},
		}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			return 0, 0, err
		}
		defer resp.Body.Close()
		if resp.TLS != nil {
			version = resp.TLS.Version
		}
		return resp.StatusCode, version, nil
	}
	pinned := func(fingerprint string) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if sum := sha256.Sum256(raw[0]); hex.EncodeToString(sum[:]) != strings.ToLower(strings.ReplaceAll(fingerprint, ":", "")) {
				return fmt.Errorf("another certificate")
			}
			return nil
		}}
	}
	if status, version, err := get(s.Link(), pinned(c.Fingerprint())); err != nil || status != http.StatusSeeOther || version != tls.VersionTLS13 {
		t.Fatalf("the page: %d, %x, %v", status, version, err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(c.pair.Leaf)
	if _, _, err := get(s.Link(), &tls.Config{RootCAs: trusted}); err != nil {
		t.Errorf("it is not for its address: %v", err)
	}
	old := pinned(c.Fingerprint())
	old.MaxVersion = tls.VersionTLS12
	for name, config := range map[string]*tls.Config{"another fingerprint": pinned("00"), "no trust": {}, "TLS 1.2": old} {
		if _, _, err := get(s.Link(), config); err == nil {
			t.Errorf("%s: it answers", name)
		}
	}
	if status, _, err := get(strings.Replace(s.Link(), "https:", "http:", 1), nil); err == nil && status < 400 {
		t.Errorf("without TLS it answers %d", status)
	}
}
