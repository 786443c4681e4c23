// Package host has the page of a lab at an address of this machine: over TLS beyond
// loopback, with what the lab keeps for it, and told what happens there.
package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/web"
)

// Page is the page of a lab, at an address that is listened to.
type Page struct {
	*web.Server
	// Fingerprint is the SHA-256 fingerprint of its certificate, as browsers show it; empty
	// on loopback.
	Fingerprint string

	listener net.Listener
	kept     kept
}

// Listen listens at the address that was asked for, for a page that only shows the lab:
// where v.Acts(), the caller lets it act. hint completes commands of dcalab.
func Listen(ctx context.Context, s *session.Session, v Options, hint func(string) string) (*Page, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	secret, err := secretOf(s)
	if err != nil {
		return nil, err
	}
	plain, err := listenAt(ctx, v.at)
	if err != nil {
		return nil, err
	}
	at := netip.MustParseAddrPort(plain.Addr().String())
	p := &Page{Server: web.New(at, secret, hint), listener: plain, kept: kept{serveKey: secret}}
	if v.remote() {
		if err := p.encrypt(s, at.Addr()); err != nil {
			return nil, errors.Join(err, plain.Close())
		}
	}
	return p, nil
}

// encrypt has the page over TLS alone, with the certificate that the lab has kept, or a new
// one.
func (p *Page) encrypt(s *session.Session, address netip.Addr) error {
	old, err := readKept(s, serveCertificate)
	if err != nil {
		return err
	}
	certificate, err := web.CertificateFor(old, address, time.Now())
	if err != nil {
		return err
	}
	p.kept[serveCertificate] = certificate.PEM
	p.Fingerprint, p.listener = certificate.Fingerprint(), certificate.Listen(p.listener)
	return nil
}

// Run shows the page until ctx ends. The lab that open gives may be made, changed and
// destroyed meanwhile, of which changes gives a sign.
func (p *Page) Run(ctx context.Context, open func() (*session.Session, error), changes <-chan struct{}) error {
	server := http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(p.listener) }()
	p.feed(ctx, open, changes)
	p.Server.Close()
	if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// feed tells the page what happens, until ctx ends.
func (p *Page) feed(ctx context.Context, open func() (*session.Session, error), changes <-chan struct{}) {
	failed := func(err error) {
		if err != nil {
			p.Trouble(trouble.OneLine(err))
		}
	}
	begin := func(s *session.Session) {
		p.Begin(Lab(ctx, s))
		failed(p.kept.keep(s))
	}
	events := timeline.Following{Recorded: true, Take: p.Take, Begin: begin, Failed: failed}
	defer events.Stop()
	for broken := false; ; {
		s, err := open()
		if err != nil {
			failed(err)
		} else {
			if broken { // labs.yaml can be read again
				p.Trouble("")
			}
			events.From(ctx, s)
		}
		broken = err != nil
		select {
		case <-ctx.Done():
			return
		case <-changes:
		}
	}
}

// Close ends a page that does not run.
func (p *Page) Close() error {
	p.Server.Close()
	return p.listener.Close()
}

// Lab is a lab as a page shows it.
func Lab(ctx context.Context, s *session.Session) web.Lab {
	l := web.Lab{Name: s.Lab().Name, Driver: s.Driver().Name(), Exists: s.Created(), NoMesh: report.MeshMissing(ctx, s), Nodes: []web.LabNode{}}
	for _, n := range s.Lab().Nodes {
		l.Nodes = append(l.Nodes, web.LabNode{Name: n.Name, Role: string(n.Role), Address: n.IP.String()})
	}
	return l
}

// The files of a lab with what cookies are made of, and with the certificate and its
// private key.
const (
	serveKey         = "serve.key"
	serveCertificate = "serve.pem"
)

// secretOf is what the lab has kept, else a new one; also where that is too short.
func secretOf(s *session.Session) ([]byte, error) {
	fresh := []byte(rand.Text() + rand.Text())
	old, err := readKept(s, serveKey)
	if err == nil && len(old) < len(fresh) {
		return fresh, nil
	}
	return old, err
}

// readKept is what the lab has kept in a file; nothing where there is none.
func readKept(s *session.Session, name string) ([]byte, error) {
	data, err := s.State().ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return data, err
}

// kept is what a page goes on with when it is shown again: files of the lab.
type kept map[string][]byte

// keep writes it to the lab, once that exists.
func (k kept) keep(s *session.Session) error {
	if !s.Created() {
		return nil
	}
	for name, data := range k {
		if old, err := s.State().ReadFile(name); err == nil && bytes.Equal(old, data) {
			continue
		}
		if err := s.State().WriteFile(name, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
