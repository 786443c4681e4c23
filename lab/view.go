package lab

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Setting is one effective setting of a lab.
type Setting struct {
	// Key is the path of the setting in its lab, nodes by their names:
	// "swarm.autolock", "nodes.node01.cpus".
	Key string `json:"key" yaml:"key"`
	// Value as labs.yaml would write it.
	Value string `json:"value" yaml:"value"`
	// Origin is "default", "labs.yaml:12", or what the caller named.
	Origin string `json:"origin" yaml:"origin"`
}

// line is one line of a lab as YAML, with the setting that it makes.
type line struct {
	indent  int
	lead    string // "- " for the first line of a list's item
	key     string
	value   string // as YAML; empty opens a mapping or a list
	setting *Setting
}

// Settings lists what is in force for a lab of the file, in the order of
// View. Overrides names, by key, what the caller has set in the lab since it
// was loaded and why: {"driver": "flag --driver"}.
func (f *File) Settings(l *Lab, overrides map[string]string) []Setting {
	var out []Setting
	for _, line := range f.outline(l, overrides) {
		if line.setting != nil {
			out = append(out, *line.setting)
		}
	}
	return out
}

// View writes a lab as a whole labs.yaml, every setting with a comment that
// says where it comes from. Parse gives the same lab back, with nothing Unsaid.
// Overrides are as for Settings.
func (f *File) View(l *Lab, overrides map[string]string) []byte {
	return write(l, f.outline(l, overrides), true)
}

// YAML writes the lab as a whole labs.yaml without comments. Parse gives the
// same lab back, with nothing Unsaid.
func (l *Lab) YAML() []byte {
	return write(l, (&File{}).outline(l, nil), false)
}

// commentColumn is the furthest to the right that comments are aligned to;
// longer lines push theirs out.
const commentColumn = 60

func write(l *Lab, lines []line, origins bool) []byte {
	texts := make([]string, len(lines))
	width := 0
	for i, ln := range lines {
		texts[i] = strings.TrimRight(strings.Repeat(" ", ln.indent+2)+ln.lead+ln.key+": "+ln.value, " ")
		if n := utf8.RuneCountInString(texts[i]); ln.setting != nil && n <= commentColumn {
			width = max(width, n)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "version: 1\ndefault: %s\nlabs:\n  %s:\n", scalar(l.Name), scalar(l.Name))
	for i, ln := range lines {
		b.WriteString(texts[i])
		if origins && ln.setting != nil {
			b.WriteString(strings.Repeat(" ", max(width-utf8.RuneCountInString(texts[i]), 0)))
			b.WriteString("  # " + strings.Map(printable, ln.setting.Origin))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func (f *File) outline(l *Lab, overrides map[string]string) []line {
	var lines []line
	// path is where the decoder found it, key is what people call it.
	set := func(indent int, lead, name, value, path, key string) {
		origin := "default"
		if n, ok := f.lines[l.Name][path]; ok {
			origin = fmt.Sprintf("%s:%d", f.name, n)
		}
		if o, ok := overrides[key]; ok {
			origin = o
		}
		lines = append(lines, line{indent, lead, name, value, &Setting{key, value, origin}})
	}
	top := func(name, value string) { set(2, "", name, value, name, name) }
	open := func(indent int, name string) { lines = append(lines, line{indent: indent, key: name}) }

	top("domain", scalar(l.Domain))
	top("subnet", l.Subnet.String())
	top("interface", scalar(l.Interface))
	top("driver", l.Driver)
	if l.Provider != "" {
		top("provider", l.Provider)
	}
	open(2, "engine")
	if l.Engine.Version != "" {
		set(4, "", "version", quoted(l.Engine.Version), "engine.version", "engine.version")
	}
	set(4, "", "source", l.Engine.Source, "engine.source", "engine.source")
	for _, s := range []struct {
		name string
		list []string
	}{{"registry_mirrors", l.Engine.RegistryMirrors}, {"insecure_registries", l.Engine.InsecureRegistries}} {
		if len(s.list) == 0 {
			continue
		}
		items := make([]string, len(s.list))
		for i, item := range s.list {
			items[i] = quoted(item)
		}
		set(4, "", s.name, "["+strings.Join(items, ", ")+"]", "engine."+s.name, "engine."+s.name)
	}

	open(2, "swarm")
	w := l.Swarm
	pools := make([]string, len(w.DefaultAddrPool))
	for i, p := range w.DefaultAddrPool {
		pools[i] = p.String()
	}
	for _, s := range []struct{ name, value string }{
		{"default_addr_pool", "[" + strings.Join(pools, ", ") + "]"},
		{"subnet_size", strconv.Itoa(w.SubnetSize)},
		{"data_path_port", strconv.Itoa(w.DataPathPort)},
		{"cert_expiry", formatExpiry(w.CertExpiry)},
		{"autolock", strconv.FormatBool(w.Autolock)},
		{"task_history", strconv.Itoa(w.TaskHistory)},
	} {
		set(4, "", s.name, s.value, "swarm."+s.name, "swarm."+s.name)
	}

	open(2, "nodes")
	for i, n := range l.Nodes {
		path, key := "nodes."+strconv.Itoa(i)+".", "nodes."+n.Name+"."
		lead, indent := "- ", 4
		for _, s := range []struct{ name, value string }{
			{"name", scalar(n.Name)},
			{"ip", n.IP.String()},
			{"role", string(n.Role)},
			{"availability", string(n.Availability)},
			{"box", scalar(n.Box)},
			{"cpus", strconv.Itoa(n.CPUs)},
			{"memory", strconv.Itoa(n.Memory)},
			{"disk", strconv.Itoa(n.Disk)},
		} {
			if s.name == "disk" && n.Disk == 0 {
				continue // none of its own
			}
			set(indent, lead, s.name, s.value, path+s.name, key+s.name)
			lead, indent = "", 6
		}
		for _, labels := range []struct {
			name string
			m    map[string]string
		}{{"labels", n.Labels}, {"engine_labels", n.EngineLabels}} {
			if len(labels.m) > 0 {
				open(6, labels.name)
			}
			for _, k := range sortedKeys(labels.m) {
				set(8, "", scalar(k), quoted(labels.m[k]), path+labels.name+"."+k, key+labels.name+"."+k)
			}
		}
	}
	return lines
}

// scalar writes text as YAML, in quotes where it would be read as something
// else.
func scalar(s string) string { return emit(s, 0) }

func quoted(s string) string { return emit(s, yaml.DoubleQuotedStyle) }

func emit(s string, style yaml.Style) string {
	out, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: style})
	if err != nil {
		return strconv.Quote(s)
	}
	return strings.TrimRight(string(out), "\n")
}

// formatExpiry writes a duration with the units that labs.yaml takes, hours
// at most, as Docker shows it.
func formatExpiry(d time.Duration) string {
	s := fmt.Sprintf("%dh%dm%ds", d/time.Hour, d%time.Hour/time.Minute, d%time.Minute/time.Second)
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
