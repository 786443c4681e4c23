package ui

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/trouble"
)

type formatted struct {
	Name  string   `json:"name" yaml:"name"`
	Size  int64    `json:"size" yaml:"size"`
	Nodes []string `json:"nodes" yaml:"nodes"`
	Swarm struct {
		Role   string `json:"role" yaml:"role"`
		Leader bool   `json:"leader" yaml:"leader"`
	} `json:"swarm" yaml:"swarm"`
	Days *int  `json:"days_left" yaml:"days_left"`
	Fix  []int `json:"fix,omitempty" yaml:"fix,omitempty"`
}

func formattedRows() []formatted {
	one, two := formatted{Name: "master", Size: 12345678, Nodes: []string{"a", "b"}}, formatted{Name: "node01", Nodes: []string{}}
	one.Swarm.Role, one.Swarm.Leader = "manager", true
	days := 90
	one.Days = &days
	return []formatted{one, two, two}
}

func TestFormats(t *testing.T) {
	rows := formattedRows()
	listing := Listing{Document: rows[:1], Rows: rows, Key: "name", Table: func(w io.Writer, wide bool) error {
		_, err := fmt.Fprintf(w, "the table, wide: %v\n", wide)
		return err
	}}
	for name, c := range map[string]struct{ output, template, want string }{
		"default": {"", "", "the table, wide: false\n"},
		"table":   {"table", "", "the table, wide: false\n"},
		"wide":    {"wide", "", "the table, wide: true\n"},
		"name":    {"name", "", "master\nnode01\n"},
		"json": {"json", "", `[
  {
    "name": "master",
    "size": 12345678,
    "nodes": [
      "a",
      "b"
    ],
    "swarm": {
      "role": "manager",
      "leader": true
    },
    "days_left": 90
  }
]
`},
		"yaml":                    {"yaml", "", "- name: master\n  size: 12345678\n  nodes:\n    - a\n    - b\n  swarm:\n    role: manager\n    leader: true\n  days_left: 90\n"},
		"a field":                 {"", "{{.name}}", "master\nnode01\nnode01\n"},
		"a number is written out": {"", "{{.size}}", "12345678\n0\n0\n"},
		"nested":                  {"", `{{.name}}\t{{.swarm.role}}`, "master\tmanager\nnode01\t\nnode01\t\n"},
		"a condition":             {"", "{{if .swarm.leader}}{{.name}} leads{{else}}{{.name}} follows{{end}}", "master leads\nnode01 follows\nnode01 follows\n"},
		"what is left out":        {"", "{{len .fix}}{{with .days_left}} {{.}}{{end}}", "0 90\n0\n0\n"},
		"functions":               {"", `{{join .nodes ","}} {{upper .name}}`, "a,b MASTER\n NODE01\n NODE01\n"},
		"as docker's json":        {"", "{{json .swarm}}", `{"leader":true,"role":"manager"}` + "\n" + strings.Repeat(`{"leader":false,"role":""}`+"\n", 2)},
		"a table of the user's":   {"", `table {{.name}}\t{{.swarm.role}}\t{{.days_left}}`, "NAME     ROLE      DAYS LEFT\nmaster   manager   90\nnode01             <no value>\nnode01             <no value>\n"},
		"docker's word table":     {"", "table", "the table, wide: false\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Named(c.output), error(nil)
			if c.template != "" {
				f, err = NewTemplate(c.template, formatted{})
			}
			var got strings.Builder
			if err == nil {
				err = f.Write(&got, listing)
			}
			if err != nil || got.String() != c.want {
				t.Errorf("%v, got\n%s\nwant\n%s", err, got.String(), c.want)
			}
		})
	}
}

// What is wrong with a template is known before there is a row.
func TestWrongTemplates(t *testing.T) {
	for text, want := range map[string]string{
		"{{.nam}}":       `map has no entry for key "nam"`,
		"{{.swarm.rol}}": `map has no entry for key "rol"`,
		"{{.Name}}":      `map has no entry for key "Name"`,
		"{{.name":        "unclosed action",
		"{{frob .name}}": `function "frob" not defined`,
		"{{if .swarm.leader}}x{{else}}{{.nam}}{{end}}": `no entry for key "nam"`,
	} {
		_, err := NewTemplate(text, formatted{})
		var e *trouble.Error
		if !errors.As(err, &e) || e.Exit != trouble.ExitUsage || !strings.Contains(e.Why, want) || strings.Contains(e.Why, "template:") {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if want := "its fields are name, size, nodes, swarm.role, swarm.leader, days_left, fix"; e.Next[0] != want {
			t.Errorf("%s: %q", text, e.Next)
		}
	}
}
