package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func full(t *testing.T) ([]byte, *File) {
	t.Helper()
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("labs.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	return data, f
}

func TestEveryKeyIsDecoded(t *testing.T) {
	data, f := full(t)
	got, err := f.Lab("full")
	if err != nil {
		t.Fatal(err)
	}
	want := &Lab{
		Name: "full", Domain: "full.test", Subnet: netip.MustParsePrefix("10.30.30.0/25"), Interface: "eth1",
		Driver: DriverVagrant, Provider: "libvirt",
		Engine: Engine{
			Version: "20.10", Source: "docker",
			RegistryMirrors:    []string{"http://mirror.test:5000", "https://hub.test/cache/"},
			InsecureRegistries: []string{"10.30.30.20:5000", "10.30.0.0/16"},
		},
		Swarm: Swarm{
			DefaultAddrPool: []netip.Prefix{netip.MustParsePrefix("10.64.0.0/12"), netip.MustParsePrefix("10.80.0.0/16")},
			SubnetSize:      26, DataPathPort: 4790, CertExpiry: 36 * time.Hour, Autolock: true, TaskHistory: 7,
		},
		Nodes: []Node{
			{
				Name: "boss", IP: netip.MustParseAddr("10.30.30.9"), Role: RoleManager, Availability: AvailabilityDrain,
				Box: "node/box", CPUs: 4, Memory: 2000, Disk: 3000,
				Labels:       map[string]string{"Zone": "East", "zone": "5"},
				EngineLabels: map[string]string{"Rack.Row": "a: b # c"},
			},
			// What the lab says for all its nodes, and the defaults.
			{
				Name: "hand", IP: netip.MustParseAddr("10.30.30.10"), Role: RoleWorker, Availability: AvailabilityActive,
				Box: "lab/box", CPUs: 3, Memory: 1500, Disk: 2048,
			},
		},
	}
	if diff := sameLab(want, got); diff != "" {
		t.Errorf("lab (-want +got):\n%s", diff)
	}
	if other := f.Labs[0]; other.Name != "other" || other.Driver != DriverSandbox {
		t.Errorf("lab %s has driver %s, want the file's", other.Name, other.Driver)
	}

	// No drift: the schema's keys are the file's, each changes the result,
	// and every field of the types has been set by one of them.
	var doc map[string]any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	fullLab := doc["labs"].(map[string]any)["full"].(map[string]any)
	node := fullLab["nodes"].([]any)[0].(map[string]any)
	for _, section := range []struct {
		pointer []string
		in      map[string]any
	}{
		{[]string{"properties"}, doc},
		{[]string{"$defs", "lab", "properties"}, fullLab},
		{[]string{"$defs", "lab", "properties", "engine", "properties"}, fullLab["engine"].(map[string]any)},
		{[]string{"$defs", "lab", "properties", "swarm", "properties"}, fullLab["swarm"].(map[string]any)},
		{[]string{"$defs", "node", "properties"}, node},
	} {
		keys := slices.Sorted(maps.Keys(schemaAt(t, section.pointer...)))
		if have := slices.Sorted(maps.Keys(section.in)); !slices.Equal(keys, have) {
			t.Errorf("schema %v has keys %v, testdata/full.yaml has %v", section.pointer, keys, have)
		}
		for _, key := range keys {
			value := section.in[key]
			delete(section.in, key)
			without, err := yaml.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			section.in[key] = value
			less, err := Parse("labs.yaml", without)
			if err != nil {
				continue // required, or needed by something else
			}
			same := less.Default == f.Default && len(less.Labs) == len(f.Labs)
			for _, l := range f.Labs {
				if other, err := less.Lab(l.Name); err != nil || sameLab(l, other) != "" {
					same = false
				}
			}
			if same {
				t.Errorf("the key %s of schema %v changes nothing: it is not decoded", key, section.pointer)
			}
		}
	}
	for _, v := range []any{*got, got.Engine, got.Swarm, got.Nodes[0]} {
		for i := range reflect.TypeOf(v).NumField() {
			// Unsaid is of the keys that are missing.
			if reflect.ValueOf(v).Field(i).IsZero() && reflect.TypeOf(v).Field(i).Name != "Unsaid" {
				t.Errorf("%T.%s is not set by any key", v, reflect.TypeOf(v).Field(i).Name)
			}
		}
	}
}

// schemaAt gives a part of the schema.
func schemaAt(t *testing.T, pointer ...string) map[string]any {
	t.Helper()
	var here map[string]any
	if err := json.Unmarshal(Schema(), &here); err != nil {
		t.Fatal(err)
	}
	for _, p := range pointer {
		next, ok := here[p].(map[string]any)
		if !ok {
			t.Fatalf("the schema has no %v", pointer)
		}
		here = next
	}
	return here
}

// The defaults that the schema tells editors are those that are in force.
func TestSchemaDefaults(t *testing.T) {
	f, err := Parse("labs.yaml", []byte("version: 1\nlabs: {one: {subnet: 10.9.9.0/24, nodes: [{name: m, ip: 10.9.9.9, role: manager}, {name: w, ip: 10.9.9.10}]}}"))
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]string{}
	for _, s := range f.Settings(f.Labs[0], nil) {
		in[s.Key] = s.Value
	}
	for key, pointer := range map[string][]string{
		"interface":               {"$defs", "lab", "properties", "interface"},
		"driver":                  {"$defs", "driver"},
		"engine.source":           {"$defs", "lab", "properties", "engine", "properties", "source"},
		"swarm.default_addr_pool": {"$defs", "lab", "properties", "swarm", "properties", "default_addr_pool"},
		"swarm.subnet_size":       {"$defs", "lab", "properties", "swarm", "properties", "subnet_size"},
		"swarm.data_path_port":    {"$defs", "lab", "properties", "swarm", "properties", "data_path_port"},
		"swarm.cert_expiry":       {"$defs", "lab", "properties", "swarm", "properties", "cert_expiry"},
		"swarm.autolock":          {"$defs", "lab", "properties", "swarm", "properties", "autolock"},
		"swarm.task_history":      {"$defs", "lab", "properties", "swarm", "properties", "task_history"},
		"nodes.w.role":            {"$defs", "node", "properties", "role"},
		"nodes.w.availability":    {"$defs", "node", "properties", "availability"},
		"nodes.w.box":             {"$defs", "box"},
		"nodes.w.cpus":            {"$defs", "cpus"},
		"nodes.w.memory":          {"$defs", "memory"},
	} {
		if want := fmt.Sprint(schemaAt(t, pointer...)["default"]); in[key] != want {
			t.Errorf("%s is %s, the schema's default is %s", key, in[key], want)
		}
	}
}

func TestDefaultPoolLeavesTheSubnet(t *testing.T) {
	for subnet, want := range map[string]string{
		"10.20.20.0/24": "10.100.0.0/16", "10.100.5.0/24": "10.110.0.0/16", "10.64.0.0/10": "192.168.0.0/16",
	} {
		if got := defaultPool(netip.MustParsePrefix(subnet)).String(); got != want {
			t.Errorf("default pool beside %s is %s, want %s", subnet, got, want)
		}
	}
}

func TestView(t *testing.T) {
	_, f := full(t)
	l, err := f.Lab("full")
	if err != nil {
		t.Fatal(err)
	}
	l.Driver = DriverSandbox
	golden(t, "testdata/full.view", f.View(l, map[string]string{"driver": "flag --driver"}))
	for name, data := range map[string][]byte{"View": f.View(l, nil), "YAML": l.YAML()} {
		again, err := Parse(name, data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := sameLab(l, again.Labs[0]); diff != "" {
			t.Errorf("%s gives another lab (-want +got):\n%s", name, diff)
		}
	}
	if strings.Contains(strings.ReplaceAll(string(l.YAML()), "a: b # c", ""), "#") {
		t.Errorf("YAML has comments:\n%s", l.YAML())
	}
}

func TestEmbeddedDefault(t *testing.T) {
	f := embedded(t)
	if len(f.Warnings) > 0 {
		t.Errorf("warnings %v", f.Warnings)
	}
	l, err := f.Lab("")
	if err != nil {
		t.Fatal(err)
	}
	if l.Name != "dca" || l.Domain != "docker-dca.example" || l.Subnet.String() != "10.20.20.0/24" || l.Interface != "enp0s8" || l.Driver != DriverAuto {
		t.Errorf("default lab %+v", l)
	}
	var got []string
	for _, n := range l.Nodes {
		got = append(got, fmt.Sprint(l.Hostname(n), " ", n.IP, " ", n.Role))
	}
	want := []string{
		"master.docker-dca.example 10.20.20.100 manager",
		"node01.docker-dca.example 10.20.20.110 worker",
		"node02.docker-dca.example 10.20.20.120 worker",
	}
	if !slices.Equal(got, want) {
		t.Errorf("nodes %v, want %v", got, want)
	}
	for _, s := range f.Settings(l, nil) {
		for _, key := range []string{"box", "cpus", "memory"} {
			if strings.HasSuffix(s.Key, "."+key) && s.Origin == "default" {
				t.Errorf("%s is not said by the file", s.Key)
			}
		}
	}
	ha, err := f.Lab("ha")
	if err != nil {
		t.Fatal(err)
	}
	roles := map[Role]int{}
	for _, n := range ha.Nodes {
		roles[n.Role]++
	}
	if roles[RoleManager] != 3 || roles[RoleWorker] != 2 || ha.Subnet.Overlaps(l.Subnet) {
		t.Errorf("ha has %v in %s", roles, ha.Subnet)
	}
}

func TestStarter(t *testing.T) {
	for managers := 1; managers <= 7; managers++ {
		for workers := 0; workers <= 30; workers += 5 {
			data, err := Starter("lab", managers, workers, StarterSubnets()[0])
			if err != nil {
				t.Fatal(err)
			}
			f, err := Parse("labs.yaml", data)
			if err != nil {
				t.Fatalf("%d managers, %d workers: %v\n%s", managers, workers, err, data)
			}
			roles := map[Role]int{}
			for _, n := range f.Labs[0].Nodes {
				roles[n.Role]++
			}
			if roles[RoleManager] != managers || roles[RoleWorker] != workers {
				t.Errorf("%d managers, %d workers: got %v", managers, workers, roles)
			}
		}
	}
	for _, n := range [][2]int{{0, 1}, {8, 1}, {1, -1}, {1, 31}} {
		if _, err := Starter("lab", n[0], n[1], StarterSubnets()[0]); err == nil || !strings.Contains(err.Error(), "are possible") {
			t.Errorf("Starter(%d, %d): %v", n[0], n[1], err)
		}
	}
	data, err := Starter("lab", 1, 2, StarterSubnets()[0])
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/starter.yaml", data)

	// What it shows in comments is true: it is valid with the comments of
	// settings taken off.
	uncommented := strings.NewReplacer("    # engine:", "    engine:", "    #   ", "      ", "    # swarm:", "    swarm:", "        # ", "        ").Replace(string(data))
	f, err := Parse("labs.yaml", []byte(uncommented))
	if err != nil {
		t.Fatalf("%v\n%s", err, uncommented)
	}
	if l := f.Labs[0]; l.Engine.Version != "28.2" || l.Nodes[1].EngineLabels["rack"] != "7" {
		t.Errorf("lab %+v", l)
	}
}
