package lab

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dcalab/dcalab/trouble"
)

var update = flag.Bool("update", false, "write the golden files anew")

// problemsOf parses and gives every problem as a line.
func problemsOf(t *testing.T, data string) []string {
	t.Helper()
	_, err := Parse("labs.yaml", []byte(data))
	if err == nil {
		return nil
	}
	var bad *InvalidError
	if !errors.As(err, &bad) {
		t.Fatalf("error %v (%T) is not InvalidError", err, err)
	}
	if got := trouble.ExitStatus(err); got != trouble.ExitConfig {
		t.Errorf("exit status %d, want %d", got, trouble.ExitConfig)
	}
	if !strings.Contains(err.Error(), "nothing was touched") {
		t.Errorf("the message does not say that nothing was touched: %v", err)
	}
	var out []string
	for _, p := range bad.Problems {
		out = append(out, p.String())
	}
	return out
}

// marked takes the marks « out of a text and gives their positions.
func marked(text string) (clean string, at []string) {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		for {
			before, after, found := strings.Cut(line, "«")
			if !found {
				break
			}
			at = append(at, fmt.Sprintf("%d:%d: ", i+1, utf8.RuneCountInString(before)+1))
			line = before + after
		}
		b.WriteString(line)
	}
	return b.String(), at
}

// In these cases « stands before the character where the problem is to be
// reported; want has a piece of each problem, in the order of the file.
func TestProblems(t *testing.T) {
	// inLab puts settings into a lab that is otherwise sound, inNode into its
	// first node.
	inLab := func(s string) string {
		return "version: 1\nlabs:\n  dca:\n    subnet: 10.20.20.0/24\n    " + s + "\n    nodes:\n      - {name: master, ip: 10.20.20.100, role: manager}\n"
	}
	inNode := func(s string) string {
		return "version: 1\nlabs:\n  dca:\n    subnet: 10.20.20.0/24\n    nodes:\n      - name: master\n        ip: 10.20.20.100\n        role: manager\n        " + s + "\n"
	}
	withNodes := func(s string) string {
		return "version: 1\nlabs:\n  dca:\n    subnet: 10.20.20.0/24\n    nodes:\n" + s
	}
	master := "      - {name: master, ip: 10.20.20.100, role: manager}\n"
	withSubnet := func(s string) string {
		return "version: 1\nlabs:\n  dca:\n    subnet: " + s + "\n    nodes:\n      - {name: master, ip: 10.20.20.100, role: manager}\n"
	}
	long := strings.Repeat("a", 63)

	for name, tc := range map[string]struct {
		in   string
		want []string
	}{
		// The file as YAML.
		"empty":                      {"«", []string{"the file is empty; expected version: 1"}},
		"only a comment":             {"«# nothing\n", []string{"the file is empty"}},
		"only a document marker":     {"«---\n", []string{"the file is empty"}},
		"not UTF-8":                  {"version: 1\nlabs: «\xff\n", []string{"not UTF-8"}},
		"a control character":        {"version: 1\nlabs: «\x01\n", []string{"control character U+0001"}},
		"a lone return":              {"version: 1«\rlabs: {}\n", []string{"control character U+000D"}},
		"a line separator":           {"version: 1«\u2028labs: {}\n", []string{"control character U+2028"}},
		"a tab":                      {"version: 1\nlabs:\n«\tdca:\n  «\tsubnet: x\n", []string{"a tab in the indentation; expected spaces", "a tab"}},
		"bad indentation":            {"version: 1\nlabs:\n  dca:\n    subnet: 10.20.20.0/24\n   «nodes: []\n", []string{"YAML syntax: did not find expected key"}},
		"a colon too many":           {"«version: 1: 2\n", []string{"YAML syntax: mapping values are not allowed"}},
		"an open quote":              {"version: 1\n«default: \"dca\nlabs: {}\n", []string{"YAML syntax: a quote or bracket that begins here is not closed"}},
		"two documents":              {withNodes(master) + "«---\nversion: 1\n", []string{"a second YAML document begins; expected one document"}},
		"a list":                     {"«[]", []string{"the file is a list; expected a mapping"}},
		"a duplicate key":            {inNode("«ip: 10.20.20.101"), []string{`"ip" stands here a second time; expected it once (the first is in line 7)`}},
		"a duplicate lab":            {"version: 1\ndefault: a\nlabs:\n  a: {subnet: 10.1.1.0/24, nodes: [{name: m, ip: 10.1.1.2, role: manager}]}\n  «a: {}\n", []string{`"a" stands here a second time`, "a has no"}[:1]},
		"an alias":                   {inNode("labels: {a: &x b, c: «*x}"), []string{"the alias *x; expected the value itself"}},
		"a merge key":                {inNode("labels: {«<<: {a: b}}"), []string{"the merge key <<"}},
		"after letters of two bytes": {inNode("labels: {é: ü, ß: «7}"), []string{"ß is the number 7"}},
		"a tag":                      {inNode("labels: {a: «!!binary aGk=}"), []string{"the tag !!binary"}},

		// Structure.
		"no version":             {"«labs:\n  dca:\n    subnet: 10.20.20.0/24\n    nodes:\n" + master, []string{"the file has no version; expected version: 1"}},
		"a later version":        {strings.Replace(withNodes(master), "1", "«2", 1), []string{"version 2 is not supported; expected version: 1"}},
		"version as text":        {strings.Replace(withNodes(master), "1", `«"1"`, 1), []string{`version "1" is not supported`}},
		"no labs":                {"«version: 1\n", []string{"the file has no labs"}},
		"labs empty":             {"version: 1\nlabs: «{}\n", []string{"labs is empty; expected at least one lab"}},
		"labs null":              {"version: 1\nlabs:«\n", []string{"labs is empty; expected at least one lab"}},
		"unknown key at top":     {"version: 1\n«defalut: dca\nlabs:\n  dca:\n    subnet: 10.20.20.0/24\n    nodes:\n" + master, []string{`unknown key "defalut"; expected default, driver, labs or version (did you mean default?)`}},
		"unknown key in lab":     {inLab("«sub_net: x"), []string{`unknown key "sub_net"`}},
		"unknown key in node":    {inNode("«Memory: 1024"), []string{`(did you mean memory?)`}},
		"unknown and unlike":     {inNode("«zzzzzz: 1"), []string{"memory, name or role"}},
		"unknown in engine":      {inLab("engine: {«versionn: \"28.2\"}"), []string{"did you mean version?"}},
		"unknown in swarm":       {inLab("swarm: {«autlock: true}"), []string{"did you mean autolock?"}},
		"a role misspelt":        {withNodes("      - {name: m, ip: 10.20.20.100, role: «Manager}\n"), []string{`role is "Manager"; expected manager, worker or none (did you mean manager?)`}},
		"role key misspelt":      {withNodes("      - {name: m, ip: 10.20.20.100, «rol: manager}\n"), []string{"did you mean role?"}},
		"availability":           {inNode("availability: «paused"), []string{`expected active, pause or drain (did you mean pause?)`}},
		"driver":                 {inLab("driver: «lxc"), []string{`driver is "lxc"; expected auto, docker, sandbox or vagrant`}},
		"driver of the file":     {"driver: «sandbx\n" + withNodes(master), []string{"did you mean sandbox?"}},
		"a provider as driver":   {inLab("driver: «virtualbox"), []string{"expected auto, docker, sandbox or vagrant (virtualbox is a provider of Vagrant's: write driver: vagrant and provider: virtualbox)"}},
		"a product as driver":    {inLab("driver: «kvm"), []string{"(libvirt is a provider of Vagrant's: write driver: vagrant and provider: libvirt)"}},
		"provider as the file's": {"driver: «hyperv\n" + withNodes(master), []string{"write driver: vagrant here and provider: hyperv in the lab)"}},
		"provider":               {inLab("provider: «vmware"), []string{`provider is "vmware"; expected virtualbox`}},
		"a product as provider":  {inLab("provider: «vbox"), []string{"(did you mean virtualbox?)"}},
		"engine source":          {inLab("engine: {source: «apt}"), []string{"expected distribution or docker"}},
		"nodes as a mapping":     {"version: 1\nlabs:\n  dca:\n    subnet: 10.20.20.0/24\n    nodes:\n      «master: {ip: 10.20.20.100}\n", []string{"nodes is a mapping; expected a list of 1 to 250 nodes"}},
		"no nodes":               {"version: 1\nlabs:\n  dca:\n    subnet: 10.20.20.0/24\n    nodes: «[]\n", []string{"nodes is empty"}},
		"a node as text":         {withNodes(master + "      - «node01\n"), []string{`an entry of nodes is the text "node01"; expected a mapping with name and ip`}},
		"a node without name":    {withNodes(master + "      - «ip: 10.20.20.110\n"), []string{"an entry of nodes has no name; expected a host name"}},
		"a node without ip":      {withNodes(master + "      - «name: node01\n"), []string{"an entry of nodes has no ip; expected an IPv4 address"}},
		"a lab without all":      {"version: 1\nlabs:\n  dca: «{}\n", []string{"dca has no nodes", "dca has no subnet; expected an IPv4 network"}},
		"a lab null":             {"version: 1\nlabs:\n  dca:«\n", []string{"dca is empty; expected a mapping with subnet and nodes"}},
		"autolock yes":           {inLab("swarm: {autolock: «yes}"), []string{`autolock is the text "yes"; expected true or false`}},
		"autolock number":        {inLab("swarm: {autolock: «1}"), []string{"autolock is the number 1; expected true or false"}},
		"memory with a unit":     {inNode("memory: «2GB"), []string{`memory is the text "2GB"; expected a whole number of MiB`}},
		"memory a fraction":      {inNode("memory: «1024.5"), []string{"memory is the number 1024.5"}},
		"cpus not a number":      {inNode("cpus: «.nan"), []string{"cpus is .nan"}},
		"version unquoted":       {inLab("engine: {version: «20.10}"), []string{`version is the number 20.10; expected text: quote it, "20.10"`}},
		"label a number":         {inNode("labels: {Rack: «7}"), []string{`Rack is the number 7; expected text: quote it, "7"`}},
		"label a boolean":        {inNode("engine_labels: {ssd: «true}"), []string{`ssd is true; expected text: quote it, "true"`}},
		"label a list":           {inNode("labels: {a: «[b]}"), []string{"a is a list"}},
		"label key":              {inNode("labels: {«\"a b\": c}"), []string{`"a b" is not a good name; expected a label key`}},
		"label key in two nodes": {withNodes("      - {name: m, ip: 10.20.20.100, role: manager, labels: {«a=b: c}}\n      - {name: n, ip: 10.20.20.110, engine_labels: {«a=b: c}}\n"), []string{`"a=b" is not`, `"a=b" is not`}},
		"long and ill-formed":    {withNodes("      - {name: «_" + long + ", ip: 10.20.20.100, role: manager}\n"), []string{"expected a host name"}},
		"label two lines":        {inNode("labels: {a: «\"b\\nc\"}"), []string{`a is "b\nc"; expected text on one line`}},
		"engine label ours":      {inNode("engine_labels: {Com.Docker.x: «y}"), []string{"the label Com.Docker.x is in a namespace"}},

		// Sizes.
		"no cpus":              {inNode("cpus: «0"), []string{"cpus is 0; expected a whole number from 1 to 256"}},
		"many cpus":            {inNode("cpus: «257"), []string{"cpus is 257"}},
		"little memory":        {inNode("memory: «511"), []string{"memory is 511; expected a whole number of MiB from 512"}},
		"absurd memory":        {inLab("memory: «1048577"), []string{"memory is 1048577"}},
		"beyond 64 bits":       {inLab("memory: «99999999999999999999"), []string{"memory is 99999999999999999999"}},
		"port too low":         {inLab("swarm: {data_path_port: «1023}"), []string{"data_path_port is 1023; expected a port from 1024 to 49151"}},
		"port of gossip":       {inLab("swarm: {data_path_port: «7946}"), []string{"where the nodes gossip"}},
		"subnet size":          {inLab("swarm: {subnet_size: «30}"), []string{"subnet_size is 30"}},
		"task history":         {inLab("swarm: {task_history: «-1}"), []string{"task_history is -1"}},
		"expiry without unit":  {inLab("swarm: {cert_expiry: «\"90\"}"), []string{`cert_expiry is "90"; expected a duration such as 2160h or 90d`}},
		"expiry empty":         {inLab("swarm: {cert_expiry: «\"\"}"), []string{`cert_expiry is ""`}},
		"expiry too short":     {inLab("swarm: {cert_expiry: «59m}"), []string{"expected a duration from 1h to 7300d"}},
		"expiry too long":      {inLab("swarm: {cert_expiry: «7301d}"), []string{"expected a duration from 1h to 7300d"}},
		"expiry overflows":     {inLab("swarm: {cert_expiry: «9999999999999999999h}"), []string{"cert_expiry is"}},
		"engine version words": {inLab("engine: {version: «latest}"), []string{`version is "latest"; expected a version in quotes`}},

		// Registries.
		"a mirror without a scheme":   {inLab("engine: {registry_mirrors: [«\"10.20.20.200:5000\"]}"), []string{"expected the URL of a mirror, such as http://10.20.20.200:5000"}},
		"a mirror with a password":    {inLab("engine: {registry_mirrors: [«\"http://u:p@hub\"]}"), []string{"expected the URL of a mirror"}},
		"a mirror's port":             {inLab("engine: {registry_mirrors: [«\"http://hub:70000\"]}"), []string{`has the port "70000"; expected a port from 1 to 65535`}},
		"mirrors as text":             {inLab("engine: {registry_mirrors: «http://hub}"), []string{"expected a list of 1 to 16 URLs"}},
		"no mirrors":                  {inLab("engine: {registry_mirrors: «[]}"), []string{"registry_mirrors is empty"}},
		"a registry with a scheme":    {inLab("engine: {insecure_registries: [«\"http://hub\"]}"), []string{"expected a registry without a scheme"}},
		"a registry twice":            {inLab("engine: {insecure_registries: [hub, «hub]}"), []string{"insecure_registries names hub twice"}},
		"a registry that is no net":   {inLab("engine: {insecure_registries: [«10.20.20.0/33]}"), []string{"10.20.20.0/33 is no network"}},
		"a registry that is a list":   {inLab("engine: {insecure_registries: [«[hub]]}"), []string{"expected a registry"}},
		"a registry that is a number": {inLab("engine: {insecure_registries: [«5000]}"), []string{"quote it"}},

		// Names.
		"upper case":       {withNodes("      - {name: «Master, ip: 10.20.20.100, role: manager}\n"), []string{`name is "Master"; expected a host name`}},
		"underscore":       {withNodes("      - {name: «node_1, ip: 10.20.20.100, role: manager}\n"), []string{"expected a host name"}},
		"hyphen at end":    {withNodes("      - {name: «node-, ip: 10.20.20.100, role: manager}\n"), []string{"expected a host name"}},
		"a number":         {withNodes("      - {name: «1, ip: 10.20.20.100, role: manager}\n"), []string{`name is the number 1; expected text: quote it, "1"`}},
		"64 characters":    {withNodes("      - {name: «a" + long + ", ip: 10.20.20.100, role: manager}\n"), []string{"at most 63"}},
		"localhost":        {withNodes("      - {name: «localhost, ip: 10.20.20.100, role: manager}\n"), []string{"cannot be localhost"}},
		"full name":        {withNodes("      - {name: «" + long + ", ip: 10.20.20.100, role: manager}\n"), []string{"has 75 characters; expected at most 64"}},
		"a name twice":     {withNodes(master + "      - {name: «master, ip: 10.20.20.110}\n"), []string{"a second node has the name master; expected a name of its own (the first is in line 6)"}},
		"lab with a slash": {"version: 1\nlabs:\n  «../x:\n    subnet: 10.20.20.0/24\n    nodes:\n" + master, []string{`"../x" is not a good name; expected the name of a lab`}},
		"lab of 33":        {"version: 1\nlabs:\n  «" + long[:33] + ":\n    subnet: 10.20.20.0/24\n    nodes:\n" + master, []string{"at most 32"}},
		"lab of Windows":   {"version: 1\nlabs:\n  «nul:\n    subnet: 10.20.20.0/24\n    nodes:\n" + master, []string{"Windows"}},
		"domain":           {inLab("domain: «docker_dca.example"), []string{"expected a domain name"}},
		"interface":        {inLab("interface: «enp0s8abcdefghij"), []string{"at most 15 characters"}},
		"interface in use": {inLab("interface: «docker0"), []string{"docker0 has another use"}},
		"box with a space": {inLab("box: «bento ubuntu"), []string{"expected the name of a Vagrant box"}},
		"default unknown":  {"default: «dcs\n" + withNodes(master), []string{`the default lab "dcs" is not in labs; expected dca (did you mean dca?)`}},
		"default missing":  {"version: 1\nlabs:\n  «a: {subnet: 10.1.1.0/24, nodes: [{name: m, ip: 10.1.1.2, role: manager}]}\n  b: {subnet: 10.1.1.0/24, nodes: [{name: m, ip: 10.1.1.2, role: manager}]}\n", []string{"there are 2 labs and no default; expected default: one of a or b"}},

		// Addresses.
		"subnet as text":     {withSubnet("«private"), []string{`subnet is "private"; expected an IPv4 network such as`}},
		"subnet of IPv6":     {withSubnet("«fd00::/64"), []string{"expected an IPv4 network"}},
		"subnet of 300":      {withSubnet("«10.20.300.0/24"), []string{`subnet is "10.20.300.0/24"; expected an IPv4 network`}},
		"subnet without len": {withSubnet("«10.20.20.0"), []string{"expected an IPv4 network"}},
		"subnet of a host":   {withSubnet("«10.20.20.1/24"), []string{"subnet 10.20.20.1/24 is an address in a network; expected the network itself, 10.20.20.0/24"}},
		"subnet too small":   {withSubnet("«10.20.20.100/31"), []string{"too small"}},
		"subnet too large":   {withSubnet("«0.0.0.0/0"), []string{"too large"}},
		"subnet of NAT":      {"version: 1\nlabs:\n  dca:\n    subnet: «10.0.0.0/16\n    nodes: [{name: m, ip: 10.0.9.9, role: manager}]\n", []string{"overlaps 10.0.2.0/24, which is VirtualBox's NAT network"}},
		"subnet of docker0":  {"version: 1\nlabs:\n  dca:\n    subnet: «172.16.0.0/12\n    nodes: [{name: m, ip: 172.18.9.9, role: manager}]\n", []string{"docker0"}},
		"outside the subnet": {withNodes(master + "      - {name: n, ip: «10.20.21.5}\n"), []string{"the address 10.20.21.5 is outside the subnet 10.20.20.0/24; expected an address from 10.20.20.2 to 10.20.20.254"}},
		"the network":        {withNodes(master + "      - {name: n, ip: «10.20.20.0}\n"), []string{"is the address of the network itself"}},
		"the gateway":        {withNodes(master + "      - {name: n, ip: «10.20.20.1}\n"), []string{"is the gateway's"}},
		"the broadcast":      {withNodes(master + "      - {name: n, ip: «10.20.20.255}\n"), []string{"is the broadcast address"}},
		"the only one":       {"version: 1\nlabs:\n  dca:\n    subnet: 10.20.20.0/30\n    nodes: [{name: m, ip: «10.20.20.3, role: manager}]\n", []string{"expected 10.20.20.2, the only one"}},
		"an address twice":   {withNodes(master + "      - {name: n, ip: «10.20.20.100}\n"), []string{"a second node has the address 10.20.20.100; expected an address of its own (the first is in line 6)"}},
		"an address of 256":  {withNodes(master + "      - {name: n, ip: «10.20.20.256}\n"), []string{`ip is "10.20.20.256"; expected an IPv4 address`}},
		"an address as int":  {withNodes(master + "      - {name: n, ip: «10}\n"), []string{"ip is the number 10"}},
		"pool on subnet":     {inLab("swarm: {default_addr_pool: [10.99.0.0/16, «10.20.0.0/16]}"), []string{"the pool 10.20.0.0/16 overlaps 10.20.20.0/24, which is the lab's subnet; expected a private network that nothing else uses, such as 10.100.0.0/16"}},
		"pool on NAT":        {"version: 1\nlabs:\n  dca:\n    subnet: 192.168.9.0/24\n    swarm: {default_addr_pool: [«10.0.0.0/8]}\n    nodes: [{name: m, ip: 192.168.9.9, role: manager}]\n", []string{"VirtualBox's NAT"}},
		"pools overlap":      {inLab("swarm: {default_addr_pool: [10.96.0.0/12, «10.99.0.0/16]}"), []string{"which is another pool"}},
		"pool too small":     {inLab("swarm: {default_addr_pool: [«10.99.0.0/25]}"), []string{"smaller than one subnet of size 24"}},
		"pool as text":       {inLab("swarm: {default_addr_pool: «10.99.0.0/16}"), []string{"expected a list of 1 to 16 IPv4 networks"}},
		"pool of a host":     {inLab("swarm: {default_addr_pool: [«10.99.0.1/16]}"), []string{"expected the network itself, 10.99.0.0/16"}},
		"pool of nothing":    {inLab("swarm: {default_addr_pool: «[]}"), []string{"default_addr_pool is empty"}},
		"no manager":         {withNodes("      «- {name: n, ip: 10.20.20.100}\n"), []string{"the lab dca has no manager; expected role: manager for at least one node"}},
	} {
		t.Run(name, func(t *testing.T) {
			in, at := marked(tc.in)
			for len(at) < len(tc.want) { // several problems in one place
				at = append(at, at[len(at)-1])
			}
			got := problemsOf(t, in)
			if len(got) != len(tc.want) {
				t.Fatalf("%d problems, want %d:\n%s\nin\n%s", len(got), len(tc.want), strings.Join(got, "\n"), in)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], at[i]) || !strings.Contains(got[i], tc.want[i]) {
					t.Errorf("problem\n  %s\nwant\n  %s…%s", got[i], at[i], tc.want[i])
				}
			}
		})
	}
}

// Everything that is wrong is told at once, in the order of the file.
func TestManyProblems(t *testing.T) {
	data, err := os.ReadFile("testdata/many.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("many.yaml", data)
	if err == nil {
		t.Fatal("accepted")
	}
	golden(t, "testdata/many.golden", []byte(err.Error()+"\n"))
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got, -update writes it):\n%s", path, diff)
	}
}

func TestWarnings(t *testing.T) {
	for managers, want := range map[int]string{
		1: "", 3: "", 5: "",
		2: "2 managers, an even number: it tolerates the loss of 0, as 1 would",
		4: "4 managers, an even number: it tolerates the loss of 1, as 3 would",
		7: "7 managers: more than 5 are seldom worth it; expected 3 or 5",
		8: "8 managers: each change waits for 5 of them",
		9: "9 managers: each change waits for 5 of them",
	} {
		var b strings.Builder
		b.WriteString("version: 1\nlabs:\n  dca:\n    subnet: 10.20.20.0/24\n    nodes:\n")
		for i := range managers {
			fmt.Fprintf(&b, "      - {name: m%d, ip: 10.20.20.%d, role: manager}\n", i, i+10)
		}
		f, err := Parse("labs.yaml", []byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case want == "" && len(f.Warnings) > 0:
			t.Errorf("%d managers: unwanted warning %s", managers, f.Warnings[0])
		case want != "" && (len(f.Warnings) != 1 || !strings.HasPrefix(f.Warnings[0].String(), "6:7: ") || !strings.Contains(f.Warnings[0].String(), want)):
			t.Errorf("%d managers: warnings %v, want 6:7: …%s", managers, f.Warnings, want)
		}
	}
}

func TestFileLab(t *testing.T) {
	f := embedded(t)
	for name, want := range map[string]string{"": "dca", "dca": "dca", "ha": "ha"} {
		if l, err := f.Lab(name); err != nil || l.Name != want {
			t.Errorf("Lab(%q) = %v, %v; want %s", name, l, err, want)
		}
	}
	_, err := f.Lab("dac")
	if err == nil || !strings.Contains(err.Error(), "it has dca, ha (did you mean dca?)") {
		t.Errorf("unknown lab: %v", err)
	}
	if got := trouble.ExitStatus(err); got != trouble.ExitUsage {
		t.Errorf("exit status %d, want %d", got, trouble.ExitUsage)
	}
}

func TestOneLabNeedsNoDefault(t *testing.T) {
	f, err := Parse("labs.yaml", []byte("version: 1\nlabs: {one: {subnet: 10.9.9.0/24, nodes: [{name: m, ip: 10.9.9.9, role: manager}]}}"))
	if err != nil {
		t.Fatal(err)
	}
	if l, err := f.Lab(""); err != nil || l.Name != "one" {
		t.Errorf("Lab() = %v, %v", l, err)
	}
}

// Files as Windows editors save them are labs.yaml too.
func TestWindowsText(t *testing.T) {
	data, err := os.ReadFile("../labs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	crlf := strings.ReplaceAll(string(data), "\n", "\r\n")
	for name, text := range map[string]string{"line ends": crlf, "byte order mark": "\ufeff" + crlf} {
		f, err := Parse("labs.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := sameLab(embedded(t).Labs[0], f.Labs[0]); diff != "" {
			t.Errorf("%s give another lab:\n%s", name, diff)
		}
	}
	if got := problemsOf(t, "\ufeffversion: 2\r\nlabs: {}\r\n"); len(got) != 2 || !strings.HasPrefix(got[0], "1:10: ") {
		t.Errorf("positions after a byte order mark: %q", got)
	}
}

func TestFindAndLoad(t *testing.T) {
	top := t.TempDir()
	deep := filepath.Join(top, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if found, err := Find(deep, Owner{}); found.Path != "" || err != nil {
		t.Fatalf("Find in empty folders = %+v, %v", found, err)
	}
	want := filepath.Join(top, FileName)
	starter, err := Starter("lab", 1, 0, StarterSubnets()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteNew(want, starter); err != nil {
		t.Fatal(err)
	}
	found, err := Find(deep, Owner{})
	if found.Path != want || err != nil {
		t.Fatalf("Find = %+v, %v; want %q", found, err, want)
	}
	f, err := LoadFound(found.Path, Owner{})
	if err != nil || f.Path != want {
		t.Fatalf("Load: path %q, %v", f.Path, err)
	}
	if err := os.Mkdir(filepath.Join(deep, FileName), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(deep, Owner{}); trouble.ExitStatus(err) != trouble.ExitConfig {
		t.Errorf("a folder of the name labs.yaml: %v", err)
	}
	if _, err := Load(filepath.Join(top, "none.yaml"), Owner{}); trouble.ExitStatus(err) != trouble.ExitConfig || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is absent: %v", err)
	}
}

// embedded parses the default that the program carries.
func embedded(t *testing.T) *File {
	t.Helper()
	data, err := os.ReadFile("../labs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("labs.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// sameLab compares labs; an empty map of labels is the same as none.
func sameLab(a, b *Lab) string {
	return cmp.Diff(a, b, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Swarm{}, "Unsaid"), cmpopts.EquateComparable(a.Subnet, a.Gateway()))
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"../labs.yaml", "testdata/many.yaml", "testdata/full.yaml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{"", "---\n", "a: *a", "&a [*a]", "version: 1\nlabs: {<<: {}}", "\t", "? ? ?", "labs: {1: 2, ~: 3}", "[[[[", "version: .inf", "\r\r0"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("labs.yaml", data)
		if err != nil {
			var bad *InvalidError
			if !errors.As(err, &bad) || len(bad.Problems) == 0 {
				t.Fatalf("error without a problem: %v", err)
			}
			lines := strings.Count(string(data), "\n") + 1
			for _, p := range bad.Problems {
				if p.Line < 1 || p.Line > lines || p.Column < 1 || p.What == "" {
					t.Errorf("problem %s is nowhere in a file of %d lines", p, lines)
				}
			}
			return
		}
		if _, err := file.Lab(""); err != nil {
			t.Errorf("no default lab: %v", err)
		}
		for _, l := range file.Labs {
			checkInvariants(t, l)
			again, err := Parse("view", file.View(l, nil))
			if err != nil {
				t.Fatalf("the view of a valid lab is not valid: %v\n%s", err, file.View(l, nil))
			}
			if diff := sameLab(l, again.Labs[0]); diff != "" {
				t.Errorf("the view gives another lab:\n%s", diff)
			}
		}
	})
}

func checkInvariants(t *testing.T, l *Lab) {
	t.Helper()
	names, addresses, managers := map[string]bool{}, map[string]bool{}, 0
	for _, n := range l.Nodes {
		if names[n.Name] || addresses[n.IP.String()] {
			t.Errorf("node %s %s is there twice", n.Name, n.IP)
		}
		names[n.Name], addresses[n.IP.String()] = true, true
		if !l.Subnet.Contains(n.IP) || n.IP == l.Gateway() || n.IP == l.Subnet.Addr() || n.IP == last(l.Subnet) {
			t.Errorf("address %s in %s", n.IP, l.Subnet)
		}
		if h := l.Hostname(n); len(h) > 64 || strings.ContainsAny(h, " /\\'\"\n_") || n.Name == "" {
			t.Errorf("host name %q", h)
		}
		if n.CPUs < 1 || n.CPUs > 256 || n.Memory < 512 || n.Box == "" || n.Availability == "" || n.Role == "" {
			t.Errorf("node %+v", n)
		}
		if n.Role == RoleManager {
			managers++
		}
	}
	if managers == 0 {
		t.Error("no manager")
	}
	if len(l.Name) > 32 || !filepath.IsLocal(l.Name) {
		t.Errorf("lab name %q", l.Name)
	}
	if w := l.Swarm; len(w.DefaultAddrPool) == 0 || w.DataPathPort < 1024 || w.CertExpiry < minCertExpiry || w.CertExpiry > maxCertExpiry {
		t.Errorf("swarm %+v", w)
	}
	for _, p := range l.Swarm.DefaultAddrPool {
		if p.Overlaps(l.Subnet) || p.Bits() > l.Swarm.SubnetSize {
			t.Errorf("pool %s, subnet %s, size %d", p, l.Subnet, l.Swarm.SubnetSize)
		}
	}
}
