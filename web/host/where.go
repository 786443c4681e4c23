package host

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// Address is where the page is unless another address is asked for, or it is taken.
const (
	Address = "127.0.0.1:" + port
	port    = "3227"
)

// Options are what was asked for.
type Options struct {
	Addr          string // an address of this machine with a port; empty is Address, or any port where that is taken
	ReadOnly      bool   // nobody may act
	RemoteActions bool   // others may act, too
	Power         bool   // pages act as root, too

	at netip.AddrPort // Addr, as Check read it; the zero one where none was asked for
}

// Check reads what was asked for, before a lab is looked for.
func (v *Options) Check() (err error) {
	if v.at, err = addressOf(v.Addr); err != nil {
		return err
	}
	switch {
	case v.RemoteActions && v.ReadOnly:
		return trouble.Usage("--allow-remote-actions lets others act, and --read-only nobody", "leave one of them out")
	case v.RemoteActions && !v.remote():
		return trouble.Usage("--allow-remote-actions is for an address that others reach: on loopback, a page acts without it", "leave it out: dcalab serve")
	case v.Power && v.ReadOnly:
		return trouble.Usage("--power lets the page act, and --read-only nobody", "leave one of them out")
	case v.Power && !v.Acts():
		return trouble.Usage("--power lets the page act, and beyond loopback it only looks", "on loopback: dcalab serve --power", "or let others act: --allow-remote-actions")
	}
	return nil
}

// remote tells whether other machines reach the page.
func (v *Options) remote() bool { return v.at.IsValid() && !v.at.Addr().IsLoopback() }

// Acts tells whether pages may act, and have terminals. It holds once Check was called.
func (v *Options) Acts() bool { return !v.ReadOnly && (!v.remote() || v.RemoteActions) }

// addressOf reads an address to listen at; the zero one where none is asked for.
func addressOf(addr string) (netip.AddrPort, error) {
	if addr == "" {
		return netip.AddrPort{}, nil
	}
	text := addr
	if number, local := strings.CutPrefix(addr, "localhost:"); local {
		text = "127.0.0.1:" + number
	}
	at, err := netip.ParseAddrPort(text)
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	switch ip := at.Addr(); {
	case err != nil && isAddress(addr):
		return at, trouble.Usage("--addr "+addr+" lacks a port", "dcalab serve --addr "+net.JoinHostPort(addr, port))
	case err != nil:
		return at, trouble.Usage("--addr "+addr+" is no address with a port", "dcalab serve --addr "+Address)
	case ip.IsUnspecified():
		return at, &trouble.Error{
			ID: "serve-every-address", What: "show the page at " + addr, Why: "that is every address of this machine, and the page has one", Exit: trouble.ExitRefused,
			Next: append(serveCommands(at.Port()), "for this machine alone: dcalab serve"),
		}
	case !ip.IsLoopback() && !opens(ip):
		return at, trouble.Usage("--addr "+addr+" is no address of one machine that a browser can open", append(serveCommands(at.Port()), "for this machine alone: dcalab serve")...)
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

// serveCommands are commands to serve, one for each address by which others may reach this machine.
func serveCommands(number uint16) []string {
	var out []string
	addresses, _ := net.InterfaceAddrs() // without them there is less to advise
	for _, one := range addresses {
		prefix, err := netip.ParsePrefix(one.String())
		if err == nil && prefix.Addr().IsGlobalUnicast() {
			out = append(out, runbook.Line("dcalab", "serve", "--addr", netip.AddrPortFrom(prefix.Addr(), number).String()))
		}
	}
	return out
}

func listenAt(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	var c net.ListenConfig
	if at.IsValid() {
		l, err := c.Listen(ctx, "tcp", at.String())
		if err != nil {
			next := []string{"another port: dcalab serve --addr " + netip.AddrPortFrom(at.Addr(), 0).String()}
			if errors.Is(err, syscall.EADDRNOTAVAIL) { // it is not this machine's, or not any more
				next = serveCommands(at.Port())
			}
			return nil, &trouble.Error{ID: "serve-address-taken", What: "listen at " + at.String(), Err: err, Exit: trouble.ExitRefused, Next: next}
		}
		return l, nil
	}
	if l, err := c.Listen(ctx, "tcp", Address); err == nil {
		return l, nil
	}
	return c.Listen(ctx, "tcp", "127.0.0.1:0")
}
