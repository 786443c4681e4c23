package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/dcalab/dcalab/runbook"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/web"
)

// serving is what dcalab serve was asked for.
type serving struct {
	addr          string
	open          bool
	readOnly      bool
	remoteActions bool // others may act
	power         bool // as root, too

	at netip.AddrPort // addr, once it was checked; the zero one is for any of loopback
}

// check reads what was asked for, before a lab is looked for.
func (v *serving) check() (err error) {
	if v.at, err = addressOf(v.addr); err != nil {
		return err
	}
	switch {
	case v.remoteActions && v.readOnly:
		return usage("--allow-remote-actions lets others act, and --read-only nobody", "leave one of them out")
	case v.remoteActions && !v.remote():
		return usage("--allow-remote-actions is for an address that others reach: on loopback, a page acts without it", "leave it out: dcalab serve")
	case v.power && v.readOnly:
		return usage("--power lets the page act, and --read-only nobody", "leave one of them out")
	case v.power && !v.acts():
		return usage("--power lets the page act, and beyond loopback it only looks", "on loopback: dcalab serve --power", "or let others act: --allow-remote-actions")
	}
	return nil
}

// remote tells whether other machines reach the page.
func (v *serving) remote() bool { return v.at.IsValid() && !v.at.Addr().IsLoopback() }

// acts tells whether pages may act, and have terminals.
func (v *serving) acts() bool { return !v.readOnly && (!v.remote() || v.remoteActions) }

// addressOf reads an address to listen at; the zero one where none is asked for.
func addressOf(addr string) (netip.AddrPort, error) {
	if addr == "" {
		return netip.AddrPort{}, nil
	}
	text := addr
	if port, local := strings.CutPrefix(addr, "localhost:"); local {
		text = "127.0.0.1:" + port
	}
	at, err := netip.ParseAddrPort(text)
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	switch ip := at.Addr(); {
	case err != nil && isAddress(addr):
		return at, usage("--addr "+addr+" lacks a port", "dcalab serve --addr "+net.JoinHostPort(addr, servePort))
	case err != nil:
		return at, usage("--addr "+addr+" is no address with a port", "dcalab serve --addr "+serveAddress)
	case ip.IsUnspecified():
		return at, &trouble.Error{
			ID: "serve-every-address", What: "show the page at " + addr, Why: "that is every address of this machine, and the page has one", Exit: trouble.ExitRefused,
			Next: append(ownAddresses(at.Port()), "for this machine alone: dcalab serve"),
		}
	case !ip.IsLoopback() && !opens(ip):
		return at, usage("--addr "+addr+" is no address of one machine that a browser can open", append(ownAddresses(at.Port()), "for this machine alone: dcalab serve")...)
	}
	return at, nil
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// opens tells whether it is the address of one machine that a browser can open.
func opens(ip netip.Addr) bool {
	return ip.Zone() == "" && (ip.IsGlobalUnicast() || ip.Is4() && ip.IsLinkLocalUnicast())
}

// ownAddresses are commands, one for each address by which others may reach this machine.
func ownAddresses(port uint16) []string {
	var out []string
	addresses, _ := net.InterfaceAddrs() // without them there is less to advise
	for _, one := range addresses {
		prefix, err := netip.ParsePrefix(one.String())
		if err == nil && prefix.Addr().IsGlobalUnicast() {
			out = append(out, runbook.Line("dcalab", "serve", "--addr", netip.AddrPortFrom(prefix.Addr(), port).String()))
		}
	}
	return out
}

// The files of a lab with what cookies are made of, and with the certificate and its
// private key.
const (
	serveKey         = "serve.key"
	serveCertificate = "serve.pem"
)

// kept is what a page goes on with when serve is started again: files of the lab.
type kept map[string][]byte

// keep writes it to the lab, once that exists.
func (k kept) keep(s *labsession.Session) error {
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

// readKept is what the lab has kept in a file; nothing where there is none.
func (h pageHost) readKept(name string) ([]byte, error) {
	data, err := h.State().ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return data, err
}

// encrypted makes a listener that others reach one of TLS alone, and says by what they
// know it.
func (h pageHost) encrypted(plain net.Listener, at netip.AddrPort, k kept) (net.Listener, error) {
	old, err := h.readKept(serveCertificate)
	if err != nil {
		return nil, err
	}
	certificate, err := web.CertificateFor(old, at.Addr(), time.Now())
	if err != nil {
		return nil, err
	}
	k[serveCertificate] = certificate.PEM
	h.note("Browsers warn that they do not know this page. Before going on, compare the\nSHA-256 fingerprint of the certificate that they show; it must be this one:")
	fmt.Fprintln(h.app.streams.Err, certificate.Fingerprint()) // also with --quiet
	return certificate.Listen(plain), nil
}

func listenAt(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	var c net.ListenConfig
	if at.IsValid() {
		l, err := c.Listen(ctx, "tcp", at.String())
		if err != nil {
			next := []string{"another port: dcalab serve --addr " + netip.AddrPortFrom(at.Addr(), 0).String()}
			if errors.Is(err, syscall.EADDRNOTAVAIL) { // it is not this machine's, or not any more
				next = ownAddresses(at.Port())
			}
			return nil, &trouble.Error{ID: "serve-address-taken", What: "listen at " + at.String(), Err: err, Exit: trouble.ExitRefused, Next: next}
		}
		return l, nil
	}
	if l, err := c.Listen(ctx, "tcp", serveAddress); err == nil {
		return l, nil
	}
	return c.Listen(ctx, "tcp", "127.0.0.1:0")
}
