package vagrant

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template/parse"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dcalab/dcalab/lab"
)

var update = flag.Bool("update", false, "write the golden files anew")

func vagrantfileTemplate(tb testing.TB) string {
	tb.Helper()
	b, err := os.ReadFile("../../Vagrantfile.tmpl")
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// machineOf is a node with what a Vagrantfile has of it.
func machineOf(name, ip string, role lab.Role, cpus, memory int) lab.Node {
	return lab.Node{
		Name: name, IP: netip.MustParseAddr(ip), Role: role, Availability: lab.AvailabilityActive,
		Box: "bento/ubuntu-24.04", CPUs: cpus, Memory: memory,
	}
}

// labs are the golden ones, by the name of their file.
func labs() map[string]*lab.Lab {
	dca := &lab.Lab{
		Name: "dca", Domain: "docker-dca.example", Subnet: netip.MustParsePrefix("10.20.20.0/24"),
		Interface: "enp0s8", Driver: lab.DriverVagrant,
		Nodes: []lab.Node{
			machineOf("master", "10.20.20.100", lab.RoleManager, 2, 2048),
			machineOf("node01", "10.20.20.110", lab.RoleWorker, 1, 1024),
			machineOf("node02", "10.20.20.120", lab.RoleWorker, 1, 1024),
		},
	}
	ha := &lab.Lab{
		Name: "ha", Domain: "ha.docker-dca.example", Subnet: netip.MustParsePrefix("10.20.30.0/24"),
		Interface: "enp0s8", Driver: lab.DriverVagrant, Provider: "libvirt",
		Nodes: []lab.Node{
			machineOf("manager01", "10.20.30.101", lab.RoleManager, 1, 1024),
			machineOf("manager02", "10.20.30.102", lab.RoleManager, 1, 1024),
			machineOf("manager03", "10.20.30.103", lab.RoleManager, 1, 1024),
			machineOf("worker01", "10.20.30.111", lab.RoleWorker, 1, 1024),
			machineOf("worker02", "10.20.30.112", lab.RoleWorker, 1, 1024),
		},
	}
	// What labs.yaml lets through: a box may be called anything without spaces.
	quoted := &lab.Lab{
		Name: "quoted", Domain: "example", Subnet: netip.MustParsePrefix("172.16.0.0/20"),
		Interface: "eth1", Driver: lab.DriverVagrant,
		Nodes: []lab.Node{machineOf("a", "172.16.15.1", lab.RoleManager, 256, 1048576)},
	}
	quoted.Nodes[0].Box = `o'hara/"#{exit!}"\'é` + "`id`$(id)"
	quoted.Nodes[0].Labels = map[string]string{"x": "'\n#{exit!}"}
	// What it does not, put into the structs by hand.
	injected := &lab.Lab{
		Name: "in'jected\n#{exit!}", Domain: "example'\nexit!\n'", Subnet: netip.MustParsePrefix("192.168.56.0/24"),
		Interface: "enp0s9\nexit!", Driver: lab.DriverVagrant, Provider: "virtualbox",
		Nodes: []lab.Node{machineOf("a'); exit!; ('", "192.168.56.10", lab.RoleManager, 1, 1024)},
	}
	injected.Nodes[0].Box = "\r\n__END__\n\\"
	return map[string]*lab.Lab{"dca": dca, "ha": ha, "quoted": quoted, "injected": injected}
}

func render(tb testing.TB, l *lab.Lab) string {
	tb.Helper()
	b, err := Render(vagrantfileTemplate(tb), l, Options{LabID: "k3x9"})
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestTheProviderAskedForWins(t *testing.T) {
	l := labs()["ha"] // which is for libvirt
	b, err := Render(vagrantfileTemplate(t), l, Options{LabID: "k3x9", Provider: "parallels"})
	if err != nil {
		t.Fatal(err)
	}
	l.Provider = "parallels"
	if diff := cmp.Diff(render(t, l), string(b)); diff != "" {
		t.Errorf("(-wanted +got):\n%s", diff)
	}
}

// What the driver adds to what a person gets.
func TestDrivenVagrantfile(t *testing.T) {
	l := labs()["dca"]
	b, err := Render(vagrantfileTemplate(t), l, Options{LabID: "k3x9", Driven: true, Gone: []string{"old'one"}})
	if err != nil {
		t.Fatal(err)
	}
	mine := wanted(l)
	mine = slices.DeleteFunc(mine, func(call []any) bool { return strings.HasSuffix(call[0].(string), ".vm.hostname=") })
	mine = append(mine, []any{"config.vm.define", "old'one", map[string]any{"autostart": false}},
		[]any{"config.vm.define(old'one).vm.box=", l.Nodes[0].Box})
	if diff := cmp.Diff(mine, arrived(t, startRuby(t), string(b))); diff != "" {
		t.Errorf("(-wanted +got):\n%s", diff)
	}
}

func golden(name string) string { return filepath.Join("testdata", name+".Vagrantfile") }

func TestVagrantfilesOfTheLabs(t *testing.T) {
	for name, l := range labs() {
		t.Run(name, func(t *testing.T) {
			got := render(t, l)
			if *update {
				if err := os.WriteFile(golden(name), []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden(name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-wanted +got; go test -update writes it anew):\n%s", diff)
			}
		})
	}
}

func TestRubyTakesTheGoldenFiles(t *testing.T) {
	program := needs(t, "ruby")
	for name := range labs() {
		t.Run(name, func(t *testing.T) {
			// -W turns on the warnings about ambiguous code.
			out, err := exec.Command(program, "-W", "-c", golden(name)).CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != "Syntax OK" {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// vagrantCommand runs the real Vagrant with a home of its own on a rendered lab.
func vagrantCommand(t *testing.T, l *lab.Lab, program string, args ...string) (string, error) {
	t.Helper()
	dir, home := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Vagrantfile"), []byte(render(t, l)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "VAGRANT_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+home, "VAGRANT_HOME="+filepath.Join(home, "vagrant"), "VAGRANT_CHECKPOINT_DISABLE=1", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestVagrantValidatesTheLabs(t *testing.T) {
	program := needs(t, "vagrant")
	for _, name := range []string{"dca", "ha", "quoted"} {
		t.Run(name, func(t *testing.T) {
			if out, err := vagrantCommand(t, labs()[name], program, "validate", "--ignore-provider"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	t.Run("and would say what is wrong", func(t *testing.T) {
		l := labs()["dca"]
		l.Domain = "not_a_domain!"
		if out, err := vagrantCommand(t, l, program, "validate", "--ignore-provider"); err == nil || !strings.Contains(out, "hostname") {
			t.Errorf("a bad host name was valid: %v\n%s", err, out)
		}
	})
}

func TestTheRealVagrantHoldsWhatTheLabSays(t *testing.T) {
	program := needs(t, "ruby")
	if exec.Command(program, "-e", "gem 'vagrant'").Run() != nil {
		t.Skip("Vagrant's code is not open to this Ruby, so what it makes of a Vagrantfile was not tried; on Debian, apt-get install --no-install-recommends vagrant")
	}
	script, err := filepath.Abs("testdata/configuration.rb")
	if err != nil {
		t.Fatal(err)
	}
	out, err := vagrantCommand(t, labs()["dca"], program, script)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got []map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	machine := func(name, ip string, cpus, memory int) map[string]any {
		shown := "dcalab-dca-k3x9-" + name
		return map[string]any{
			"name": name, "box": "bento/ubuntu-24.04", "hostname": name + ".docker-dca.example",
			"networks":  map[string]any{"private_network": map[string]any{"ip": ip, "netmask": "255.255.255.0"}},
			"folders":   []any{},
			"providers": []any{"virtualbox", "libvirt", "vmware_desktop", "parallels", "hyperv"},
			"virtualbox": []any{shown, true, []any{
				[]any{"--cpus", float64(cpus)}, []any{"--memory", fmt.Sprint(memory)},
				[]any{"--groups", "/dcalab/dca"}, []any{"--audio", "none"},
			}},
			"hyperv": []any{shown, float64(cpus), float64(memory), true},
		}
	}
	want := []map[string]any{
		machine("master", "10.20.20.100", 2, 2048),
		machine("node01", "10.20.20.110", 1, 1024),
		machine("node02", "10.20.20.120", 1, 1024),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-wanted +got):\n%s", diff)
	}
}

// arrived gives what a Vagrantfile set, by the path of the call.
func arrived(t rapid.TB, r *ruby, source string) [][]any {
	t.Helper()
	var calls [][]any
	if err := r.evaluate("vagrantfile", source, &calls); err != nil {
		t.Fatalf("Ruby: %v\n%s", err, source)
	}
	return calls
}

// wanted is every call that a lab's Vagrantfile makes, written down apart
// from the template. Numbers are as JSON has them.
func wanted(l *lab.Lab) [][]any {
	calls := [][]any{
		{"configure", "2"},
		{"config.vm.box_check_update=", false},
		{"config.vm.boot_timeout=", 600.0},
		{"config.ssh.insert_key=", true},
		{"config.vm.synced_folder", ".", "/vagrant", map[string]any{"disabled": true}},
		{"config.trigger.after", "up", "reload", "resume"},
		{"config.trigger.after(up).on_error=", "continue"},
		{"config.trigger.after(up).ruby"},
	}
	prefix := "dcalab-" + l.Name + "-k3x9"
	bits := map[int]string{24: "255.255.255.0", 20: "255.255.240.0"}
	for _, n := range l.Nodes {
		at := "config.vm.define(" + n.Name + ")"
		network := map[string]any{
			"ip": n.IP.String(), "netmask": bits[l.Subnet.Bits()],
			"libvirt__network_name": prefix, "libvirt__dhcp_enabled": false, "libvirt__forward_mode": "none",
		}
		if l.Interface == "enp0s8" {
			network["libvirt__bus"], network["libvirt__slot"] = 0.0, 8.0
		}
		cpus, memory, machine := float64(n.CPUs), float64(n.Memory), prefix+"-"+n.Name
		calls = append(calls, [][]any{
			{"config.vm.define", n.Name, map[string]any{"autostart": true}},
			{at + ".vm.box=", n.Box},
			{at + ".vm.hostname=", n.Name + "." + l.Domain},
			{at + ".vm.network", "private_network", network},
		}...)
		provider := func(name string, settings ...[]any) {
			if l.Provider != "" && l.Provider != name {
				return
			}
			calls = append(calls, []any{at + ".vm.provider", name})
			for _, s := range settings {
				s[0] = at + ".vm.provider(" + name + ")." + s[0].(string)
				calls = append(calls, s)
			}
		}
		provider("virtualbox",
			[]any{"name=", machine}, []any{"cpus=", cpus}, []any{"memory=", memory},
			[]any{"linked_clone=", true}, []any{"gui=", false}, []any{"check_guest_additions=", false},
			[]any{"customize", []any{"modifyvm", "id", "--groups", "/dcalab/" + l.Name}},
			[]any{"customize", []any{"modifyvm", "id", "--audio", "none"}})
		libvirt := [][]any{{"default_prefix=", prefix + "-"}, {"cpus=", cpus}, {"memory=", memory}}
		if l.Interface == "enp0s8" {
			libvirt = append(libvirt, []any{"management_network_pci_bus=", 0.0}, []any{"management_network_pci_slot=", 7.0})
		}
		provider("libvirt", libvirt...)
		provider("vmware_desktop",
			[]any{"gui=", false}, []any{"linked_clone=", true}, []any{"vmx.[]=", "displayName", machine},
			[]any{"vmx.[]=", "numvcpus", fmt.Sprint(n.CPUs)}, []any{"vmx.[]=", "memsize", fmt.Sprint(n.Memory)})
		provider("parallels",
			[]any{"name=", machine}, []any{"cpus=", cpus}, []any{"memory=", memory},
			[]any{"linked_clone=", true}, []any{"check_guest_tools=", false})
		provider("hyperv",
			[]any{"vmname=", machine}, []any{"cpus=", cpus}, []any{"memory=", memory}, []any{"linked_clone=", true})
	}
	return calls
}

func TestEveryValueArrivesAndNothingElse(t *testing.T) {
	r := startRuby(t)
	for name, l := range labs() {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(wanted(l), arrived(t, r, render(t, l))); diff != "" {
				t.Errorf("(-wanted +got):\n%s", diff)
			}
		})
	}
	tmpl := vagrantfileTemplate(t)
	t.Run("whatever the lab says", rapid.MakeCheck(func(t *rapid.T) {
		text := rapid.OneOf(rapid.SampledFrom(nasty), rapid.StringMatching(`['"\\#{}\n\r;)(a]*`), rapid.String())
		l := &lab.Lab{
			Name: text.Draw(t, "lab"), Domain: "x" + text.Draw(t, "domain"),
			Subnet: netip.MustParsePrefix("10.0.0.0/20"), Interface: text.Draw(t, "interface"),
			Provider: rapid.SampledFrom(append(Providers(), "")).Draw(t, "provider"),
		}
		for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
			l.Nodes = append(l.Nodes, lab.Node{
				Name: text.Draw(t, "node"), Box: text.Draw(t, "box"),
				IP:   netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)}),
				CPUs: int(rapid.Int32().Draw(t, "size")), Memory: int(rapid.Int32().Draw(t, "size")),
			})
		}
		b, err := Render(tmpl, l, Options{LabID: "k3x9"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wanted(l), arrived(t, r, string(b))); diff != "" {
			t.Fatalf("(-wanted +got):\n%s\n%s", diff, b)
		}
	}))
}

func TestLabsThatCannotBeRendered(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*lab.Lab, *Options)
		says  string
	}{
		{"no id", func(_ *lab.Lab, o *Options) { o.LabID = "" }, "lab id"},
		{"an id that meets another lab's", func(_ *lab.Lab, o *Options) { o.LabID = "a-b" }, "lab id"},
		{"an unknown provider", func(l *lab.Lab, _ *Options) { l.Provider = "virtualbx" }, "virtualbx"},
		{"an unknown provider asked for", func(_ *lab.Lab, o *Options) { o.Provider = "docker" }, "docker"},
		{"no subnet", func(l *lab.Lab, _ *Options) { l.Subnet = netip.Prefix{} }, "IPv4"},
		{"IPv6", func(l *lab.Lab, _ *Options) { l.Subnet = netip.MustParsePrefix("fd00::/64") }, "IPv4"},
		{"an address elsewhere", func(l *lab.Lab, _ *Options) { l.Nodes[1].IP = netip.MustParseAddr("10.9.9.9") }, "node01"},
		{"no address", func(l *lab.Lab, _ *Options) { l.Nodes[1].IP = netip.Addr{} }, "node01"},
		{"no nodes", func(l *lab.Lab, _ *Options) { l.Nodes = nil }, "no nodes"},
		{"not UTF-8", func(l *lab.Lab, _ *Options) { l.Nodes[0].Box = "\xff" }, "UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, o := labs()["dca"], Options{LabID: "k3x9"}
			c.spoil(l, &o)
			b, err := Render(vagrantfileTemplate(t), l, o)
			if err == nil || !strings.Contains(err.Error(), c.says) || b != nil {
				t.Errorf("got %v, and %d bytes", err, len(b))
			}
		})
	}
}

// unquoted finds what a template would write without going through ruby.
func unquoted(t *testing.T, tmpl string) []string {
	t.Helper()
	parsed, err := parseTemplate(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	var walk func(parse.Node)
	list := func(l *parse.ListNode) {
		if l != nil {
			for _, n := range l.Nodes {
				walk(n)
			}
		}
	}
	walk = func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			list(n)
		case *parse.TextNode, *parse.CommentNode:
		case *parse.RangeNode:
			list(n.List)
			list(n.ElseList)
		case *parse.IfNode:
			list(n.List)
			list(n.ElseList)
		case *parse.ActionNode:
			// Exactly {{ ruby .X }} or {{ ruby $.X }}: one call, one value.
			if c := n.Pipe.Cmds; len(n.Pipe.Decl) == 0 && len(c) == 1 && len(c[0].Args) == 2 {
				if f, ok := c[0].Args[0].(*parse.IdentifierNode); ok && f.Ident == "ruby" {
					return
				}
			}
			found = append(found, n.String())
		default:
			found = append(found, n.String())
		}
	}
	for _, x := range parsed.Templates() {
		walk(x.Root)
	}
	return found
}

func TestTheTemplateQuotesEverything(t *testing.T) {
	if found := unquoted(t, vagrantfileTemplate(t)); len(found) > 0 {
		t.Errorf("these write a value without ruby: %q", found)
	}
	for _, bad := range []string{
		"{{ .Lab }}", "{{ ruby .Lab | printf \"%s\" }}", "{{ printf (ruby .Lab) }}", "{{ range .Nodes }}{{ .Name }}{{ end }}",
		"{{ if .Slot }}{{ else }}{{ .Lab }}{{ end }}", "{{ with .Lab }}{{ . }}{{ end }}", `{{ define "x" }}{{ .Lab }}{{ end }}`, "{{ $x := .Lab }}",
	} {
		if len(unquoted(t, bad)) == 0 {
			t.Errorf("%s was not found", bad)
		}
	}
}
