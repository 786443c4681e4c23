package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// certificateFor is how long a certificate is good: browsers take none for longer.
	certificateFor = 397 * 24 * time.Hour
	// renewBefore is how long before its end there is another one.
	renewBefore = 30 * 24 * time.Hour
	// clockSkew is how far the clock of a laptop may be behind.
	clockSkew = time.Hour
)

// Certificate is what a page is served with beyond loopback. It is signed by itself, and
// nobody knows it but by its fingerprint.
type Certificate struct {
	// PEM is the certificate and its private key, to be kept where nobody else reads it.
	PEM []byte

	pair tls.Certificate
}

// CertificateFor gives the certificate that was kept if it is in order, for this address,
// and good for a while from now; else a new one.
func CertificateFor(kept []byte, address netip.Addr, now time.Time) (Certificate, error) {
	if c, err := parseCertificate(kept); err == nil && c.isGood(address, now) {
		return c, nil
	}
	fresh, err := newCertificate(address, now)
	if err != nil {
		return Certificate{}, err
	}
	return parseCertificate(fresh)
}

// Fingerprint is its SHA-256 fingerprint, as browsers show it.
func (c Certificate) Fingerprint() string {
	sum := sha256.Sum256(c.pair.Leaf.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}

// Listen lets in over TLS alone.
func (c Certificate) Listen(plain net.Listener) net.Listener {
	// HTTP/1.1, as on loopback: a terminal's WebSocket has no other.
	return tls.NewListener(plain, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.pair}, NextProtos: []string{"http/1.1"}})
}

// isGood tells whether it can be used on at an address.
func (c Certificate) isGood(address netip.Addr, now time.Time) bool {
	leaf := c.pair.Leaf
	key, ours := leaf.PublicKey.(*ecdsa.PublicKey)
	return ours && key.Curve == elliptic.P256() &&
		len(leaf.IPAddresses) == 1 && leaf.IPAddresses[0].Equal(address.AsSlice()) &&
		leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil &&
		!now.Before(leaf.NotBefore) && leaf.NotAfter.Sub(now) >= renewBefore && leaf.NotAfter.Sub(leaf.NotBefore) <= certificateFor
}

func parseCertificate(text []byte) (Certificate, error) {
	pair, err := tls.X509KeyPair(text, text) // it also checks that they belong together
	return Certificate{PEM: text, pair: pair}, err
}

// newCertificate makes one, as PEM.
func newCertificate(address netip.Addr, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	from := now.Add(-clockSkew)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "dcalab serve"},
		NotBefore: from, NotAfter: from.Add(certificateFor),
		IPAddresses: []net.IP{address.AsSlice()},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	), nil
}
