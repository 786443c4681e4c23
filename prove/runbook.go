package prove

import (
	"fmt"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// Lines say what a run will do, in their order.
func Lines(o Options) []string {
	names := objects().Names
	lines := []string{fmt.Sprintf("make the configs %s to %s", names[0], names[len(names)-1]),
		fmt.Sprintf("write and read them for %s, with %d clients through each manager", trouble.Duration(o.For), perManager)}
	for _, p := range o.Faults {
		lines = append(lines, fmt.Sprintf("after %s: %s, for %s", trouble.Duration(p.At), p.Asked, trouble.Duration(p.For)))
	}
	return append(lines, "read every config through every manager", "remove the configs")
}

// Runbook is how a person does a little of the same: docker has no command that updates a
// config, so the Engine API is asked.
func Runbook(l *lab.Lab, o Options) runbook.Runbook {
	var managers []string
	for _, n := range l.Nodes {
		if n.Role == lab.RoleManager {
			managers = append(managers, n.Name)
		}
	}
	if len(managers) == 0 {
		return nil
	}
	set, one := objects(), managers[0]
	name, valueLabel := set.Names[0], set.ValueLabel()
	out := runbook.Runbook{{Node: one, Text: "echo dcalab | docker config create --label " + valueLabel + "=" + set.Initial + " " + name + " -", Why: "the object"}}
	for _, m := range managers {
		out = append(out,
			runbook.Command{Node: m, Text: "docker config inspect --format '{{.Version.Index}} {{.Spec.Labels}}' " + name, Why: "a read, again and again"},
			runbook.Command{Node: m, Why: "a write, which is refused where the version is another one by now",
				Text: "curl --unix-socket /var/run/docker.sock -H 'Content-Type: application/json' -d '{\"Name\": \"" + name + "\", \"Labels\": {\"" + valueLabel + "\": \"" + m + "\"}}' " +
					"\"http://docker/configs/$(docker config inspect --format '{{.ID}}/update?version={{.Version.Index}}' " + name + ")\""})
	}
	for _, p := range o.Faults {
		out = append(out, runbook.Command{Node: runbook.Here, Text: fmt.Sprintf("dcalab break %s --for %s --seed %d", p.Asked, p.For, p.Seed), Why: "meanwhile"})
	}
	return append(out, runbook.Command{Node: one, Text: "docker config rm " + name})
}
