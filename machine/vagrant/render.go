// Package vagrant is the driver that runs a lab's nodes as virtual machines
// of Vagrant. This file is its first half: the Vagrantfile of a lab.
package vagrant

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"text/template"

	"github.com/dcalab/dcalab/lab"
)

// Providers that a Vagrantfile is rendered for, in the order in which Vagrant
// is to prefer them.
func Providers() []string {
	return []string{"virtualbox", "libvirt", "vmware_desktop", "parallels", "hyperv"}
}

// Options is what a lab's author does not write.
type Options struct {
	// LabID tells this lab's machines from those of a lab of the same name in
	// another folder: it is part of every machine's name. At most 16 letters
	// a-z and digits.
	LabID string
	// Provider wins over the lab's own; empty leaves it to the lab.
	Provider string
	// Gone are machines that exist and that the lab no longer has. Vagrant
	// can remove only what its file names.
	Gone []string
	// Driven leaves the host names out: dcalab gives them itself, to any guest,
	// and Vagrant's way restarts the guest's network, which costs seconds a node.
	Driven bool
}

// Render gives the Vagrantfile of a lab, from the template beside
// labs.yaml at the top of the repository. A lab that names a provider gets
// that provider's settings only, so that Vagrant takes it without being told;
// one that names none gets them all. The result depends on nothing but the
// arguments. An error names what in the lab cannot be rendered; a lab that was
// loaded from a valid file has none.
func Render(tmpl string, l *lab.Lab, o Options) ([]byte, error) {
	t, err := parseTemplate(tmpl)
	if err != nil {
		return nil, err
	}
	v, err := newVagrantfile(l, o)
	if err != nil {
		return nil, fmt.Errorf("render the Vagrantfile of lab %q: %w", l.Name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("render the Vagrantfile of lab %q: %w", l.Name, err)
	}
	return b.Bytes(), nil
}

func parseTemplate(tmpl string) (*template.Template, error) {
	t, err := template.New("Vagrantfile.tmpl").
		Option("missingkey=error").
		Funcs(template.FuncMap{"ruby": rubyLiteral}).
		Parse(tmpl)
	if err != nil {
		return nil, fmt.Errorf("read the Vagrantfile's template: %w", err)
	}
	return t, nil
}

// vagrantfile is what the template sees.
type vagrantfile struct {
	Lab string
	// Group is VirtualBox's folder for the lab's machines.
	Group string
	// Prefix names what belongs to the lab as a whole; with a node's name
	// after MachinePrefix it is that node's Machine.
	Prefix        string
	MachinePrefix string
	Netmask       string
	// Slot is the PCI slot that makes a network card of libvirt answer to the
	// lab's interface name; 0 where no slot does.
	Slot           int
	ManagementSlot int
	Nodes          []nodeBlock
	Gone           []string
	Driven         bool

	provider string
}

// nodeBlock is one config.vm.define of the file.
type nodeBlock struct {
	Name     string
	Hostname string
	// Machine is the name that the provider shows.
	Machine      string
	Box          string
	IP           netip.Addr
	CPUs, Memory int
}

// Renders tells whether a provider's settings belong in the file.
func (v vagrantfile) Renders(provider string) bool {
	return v.provider == "" || v.provider == provider
}

var labID = regexp.MustCompile(`^[a-z0-9]{1,16}$`)

func newVagrantfile(l *lab.Lab, o Options) (vagrantfile, error) {
	if !labID.MatchString(o.LabID) {
		return vagrantfile{}, fmt.Errorf("lab id %q: wanted 1 to 16 letters a-z and digits", o.LabID)
	}
	provider := cmp.Or(o.Provider, l.Provider)
	if provider != "" && !slices.Contains(Providers(), provider) {
		return vagrantfile{}, fmt.Errorf("provider %q: wanted one of %v", provider, Providers())
	}
	if !l.Subnet.IsValid() || !l.Subnet.Addr().Is4() {
		return vagrantfile{}, fmt.Errorf("subnet %v: wanted an IPv4 network", l.Subnet)
	}
	// The id comes before the node: "a" with node "b-c" and "a-b" with node
	// "c" must not meet, and an id has no hyphen.
	prefix := "dcalab-" + l.Name + "-" + o.LabID
	v := vagrantfile{
		Lab:           l.Name,
		Group:         "/dcalab/" + l.Name,
		Prefix:        prefix,
		MachinePrefix: prefix + "-",
		Netmask:       net.IP(net.CIDRMask(l.Subnet.Bits(), 32)).String(),
		Slot:          pciSlot(l.Interface),
		Gone:          o.Gone,
		Driven:        o.Driven,
		provider:      provider,
	}
	v.ManagementSlot = v.Slot - 1
	for _, n := range l.Nodes {
		if !l.Subnet.Contains(n.IP) {
			return vagrantfile{}, fmt.Errorf("node %q: address %v is not in %v", n.Name, n.IP, l.Subnet)
		}
		v.Nodes = append(v.Nodes, nodeBlock{
			Name: n.Name, Hostname: l.Hostname(n), Machine: v.MachinePrefix + n.Name,
			Box: n.Box, IP: n.IP, CPUs: n.CPUs, Memory: n.Memory,
		})
	}
	if len(v.Nodes) == 0 {
		return vagrantfile{}, errors.New("it has no nodes")
	}
	return v, nil
}

var pciName = regexp.MustCompile(`^enp0s([0-9]+)$`)

// pciSlot is the slot on bus 0 after which systemd calls a network card by
// this name (systemd.net-naming-scheme(7)). The lower slots are taken by the
// machine itself (libvirt refuses 3), and 31 is the last.
func pciSlot(iface string) int {
	m := pciName.FindStringSubmatch(iface)
	if m == nil {
		return 0
	}
	slot, err := strconv.Atoi(m[1])
	if err != nil || slot < 6 || slot > 30 {
		return 0
	}
	return slot
}
