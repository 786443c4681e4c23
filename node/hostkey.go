package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/dcalab/dcalab/trouble"
)

// pins are the host keys that a lab's known_hosts file has for one alias.
type pins struct {
	alias, path string
	known       []ssh.PublicKey
	match       ssh.HostKeyCallback // nil where the file does not exist
}

// maxKnownHosts is the size, in bytes, of a file that a lab of thousands of
// nodes would have.
const maxKnownHosts = 1 << 20

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// loadPins reads the file. known_hosts(5) is the format.
func loadPins(path, alias string) (*pins, error) {
	p := &pins{alias: alias, path: path}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || path == "" {
		return p, nil
	}
	switch {
	case err != nil:
	case !info.Mode().IsRegular(): // reading a pipe would wait for ever
		err = errors.New("it is not a file")
	case info.Size() > maxKnownHosts:
		err = fmt.Errorf("it has %d bytes: more than %d", info.Size(), maxKnownHosts)
	}
	var match ssh.HostKeyCallback
	if err == nil {
		match, err = knownhosts.New(path)
	}
	if err != nil {
		// The library says "knownhosts: FILE:LINE: why".
		why := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "knownhosts: ", ""), path+":")
		if line, rest, ok := strings.Cut(why, ": "); ok && isNumber(line) {
			why = "line " + line + ": " + rest
		}
		return nil, &trouble.Error{
			ID: "known-hosts-unreadable", What: "read the lab's host keys, " + path, Why: why,
			Next: []string{
				"if you changed the file: fix or remove that line with an editor",
				"or make the nodes anew: dcalab destroy, then dcalab up",
			},
			Err: err,
		}
	}
	p.match = match
	// The library tells which keys it knows only when it is shown a wrong one.
	var wrong *knownhosts.KeyError
	if errors.As(p.ask(noKey{}), &wrong) {
		for _, k := range wrong.Want {
			p.known = append(p.known, k.Key)
		}
	}
	return p, nil
}

// ask looks the key up under the alias and nothing else. The library wants an
// address as well, and uses it only for files that name no host.
func (p *pins) ask(key ssh.PublicKey) error {
	if p.match == nil {
		return &knownhosts.KeyError{}
	}
	return p.match(net.JoinHostPort(p.alias, "22"), &net.TCPAddr{IP: net.IPv4zero, Port: 22}, key)
}

// algorithms are the host key algorithms to offer: those of the pinned keys,
// because a server with several keys otherwise shows the one that is first in
// the client's list, and a key of another kind would look like a changed one.
// For an unknown node, Ed25519 first.
func (p *pins) algorithms() []string {
	if len(p.known) == 0 {
		return []string{
			ssh.KeyAlgoED25519,
			ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
			ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
		}
	}
	var algos []string
	for _, k := range p.known {
		names := []string{k.Type()}
		if k.Type() == ssh.KeyAlgoRSA { // the type of the key; SHA-1 signatures are not accepted
			names = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, name := range names {
			if !slices.Contains(algos, name) {
				algos = append(algos, name)
			}
		}
	}
	return algos
}

// check accepts a pinned key, and an unknown one where learn does. Its errors
// are *hostKeyError, or learn's own.
func (p *pins) check(key ssh.PublicKey, learn func(string, ssh.PublicKey) error) error {
	err := p.ask(key)
	var wrong *knownhosts.KeyError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && len(wrong.Want) == 0 && learn != nil:
		if err := learn(p.alias, key); err != nil {
			return fmt.Errorf("keep the host key of %s: %w", p.alias, err)
		}
		return nil
	case errors.As(err, &wrong) && len(wrong.Want) == 0:
		return &hostKeyError{alias: p.alias, path: p.path, got: key}
	}
	return &hostKeyError{alias: p.alias, path: p.path, got: key, changed: true}
}

// hostKeyError is a node that showed a key other than the one pinned, or one
// where none is pinned.
type hostKeyError struct {
	alias, path string
	changed     bool
	got         ssh.PublicKey // nil where no key of a pinned kind was shown
}

func (e *hostKeyError) Error() string {
	shown := "a key of another kind"
	if e.got != nil {
		shown = ssh.FingerprintSHA256(e.got)
	}
	if e.changed {
		return fmt.Sprintf("the host key of %s changed (it shows %s)", e.alias, shown)
	}
	return fmt.Sprintf("no host key of %s is known (it shows %s)", e.alias, shown)
}

func (e *hostKeyError) trouble(node string) *trouble.Error {
	t := &trouble.Error{ID: "host-key-unknown", Where: node, What: "check the host key", Why: e.Error() + " in " + e.path, Err: e}
	t.Next = []string{
		"put the domain back in labs.yaml, if it was changed there since the node was created",
		"or make the node anew: dcalab destroy " + node + ", then dcalab up " + node,
	}
	if e.changed {
		t.ID = "host-key-changed"
		t.Why = e.Error() + "; this is not the machine that dcalab created, or it was rebuilt behind dcalab's back"
		t.Next = []string{
			"dcalab destroy " + node + " && dcalab up " + node + "    # a new machine with a new key",
			"if you rebuilt it yourself and trust it: ssh-keygen -R " + Quote(e.alias) + " -f " + Quote(e.path),
		}
	}
	return t
}

// noKey is a host key that no server has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("not a key") }
