package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"

	"github.com/dcalab/dcalab/trouble"
)

// Format is how a list is shown: by a name, or by a template of its user's. The
// zero Format is a table.
type Format struct {
	name     string
	text     string // of the template
	template *template.Template
	heads    bool // the template is that of a table, with a header
}

// The formats that have a name.
const (
	FormatTable = "table" // for people
	FormatWide  = "wide"  // a table with more columns
	FormatJSON  = "json"
	FormatYAML  = "yaml"
	FormatName  = "name" // a name a line, for scripts
)

// Formats are the names of the formats.
func Formats() []string {
	return []string{FormatTable, FormatWide, FormatJSON, FormatYAML, FormatName}
}

// Named is the format of a name; empty is FormatTable.
func Named(name string) Format { return Format{name: name} }

// ForPeople tells whether it is a table of the command's own making.
func (f Format) ForPeople() bool {
	return f.template == nil && (f.name == "" || f.name == FormatTable || f.name == FormatWide)
}

// Listing is what is listed.
type Listing struct {
	// Document is the whole, as -o json and -o yaml print it.
	Document any
	// Rows is a slice of structs with JSON tags; a template is executed for each.
	Rows any
	// Key is the JSON key of a row's name.
	Key string
	// Table writes the table, and what is said beside it.
	Table func(w io.Writer, wide bool) error
}

// NewTemplate reads a template of text/template, as that of docker's --format:
// it is executed for each row, whose fields have the keys of its JSON. "table "
// in front of it makes a table with a header, "json" alone prints each row as
// JSON. row is a struct of the type of the rows: whether it has the fields is
// found out at once.
func NewTemplate(text string, row any) (Format, error) {
	f := Format{text: text}
	body := strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	switch body {
	case FormatTable:
		return f, nil
	case FormatJSON:
		body = "{{json .}}"
	default:
		body, f.heads = strings.CutPrefix(body, "table ")
	}
	parsed, err := template.New("format").Funcs(functions()).Option("missingkey=error").Parse(body)
	if err != nil {
		return f, wrongTemplate(text, err, row)
	}
	for _, yes := range []bool{true, false} { // both ways of an {{if}}
		if err := parsed.Execute(io.Discard, sample(row, yes)); err != nil {
			return f, wrongTemplate(text, err, row)
		}
	}
	f.template = parsed.Option("missingkey=default")
	return f, nil
}

func wrongTemplate(text string, err error, row any) error {
	why := err.Error()
	for _, noise := range []string{"template: format:", `executing "format" `} {
		if _, after, ok := strings.Cut(why, noise); ok {
			why = after
		}
	}
	known := fields(reflect.TypeOf(row), "")
	return trouble.Usage(fmt.Sprintf("--format %q: %s", text, why), "its fields are "+strings.Join(known, ", "), "such as: --format '{{."+known[0]+"}}'")
}

func functions() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			var b strings.Builder
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			err := e.Encode(v)
			return strings.TrimSuffix(b.String(), "\n"), err
		},
		"join": func(list []any, by string) string {
			words := make([]string, len(list))
			for i, v := range list {
				words[i] = fmt.Sprint(v)
			}
			return strings.Join(words, by)
		},
		"lower": strings.ToLower, "upper": strings.ToUpper,
	}
}

// Write writes a listing in the format.
func (f Format) Write(w io.Writer, l Listing) error {
	switch {
	case f.template != nil:
		return f.execute(w, l)
	case f.name == FormatName:
		rows, err := plain(l.Rows)
		if err != nil {
			return err
		}
		last := ""
		for _, row := range rows {
			if name := fmt.Sprint(row[l.Key]); name != last {
				last = name
				fmt.Fprintln(w, name)
			}
		}
		return nil
	case f.name == FormatJSON, f.name == FormatYAML:
		text, err := Encode(f.name, l.Document)
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	}
	return l.Table(w, f.name == FormatWide)
}

// Encode gives a document as JSON, or as YAML, with a newline at the end.
func Encode(format string, document any) ([]byte, error) {
	if format == FormatYAML {
		return yaml.Marshal(document)
	}
	text, err := json.MarshalIndent(document, "", "  ")
	return append(text, '\n'), err
}

// execute writes a line for each row.
func (f Format) execute(w io.Writer, l Listing) error {
	rows, err := plain(l.Rows)
	if err != nil {
		return err
	}
	row := reflect.New(reflect.TypeOf(l.Rows).Elem()).Elem().Interface()
	whole := sample(row, true)
	var lines []string
	for _, r := range rows {
		complete(r, whole)
		var b strings.Builder
		if err := f.template.Execute(&b, r); err != nil {
			return wrongTemplate(f.text, err, row)
		}
		lines = append(lines, b.String())
	}
	if !f.heads {
		for _, line := range lines {
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
		return nil
	}
	cells := make([][]string, len(lines))
	for i, line := range lines {
		cells[i] = strings.Split(line, "\t")
	}
	return Table(w, strings.Split(f.header(whole), "\t"), cells, false)
}

// header is the template executed for the names of the fields; empty where it
// computes with what they hold.
func (f Format) header(whole map[string]any) string {
	title := func(v any) string { return fmt.Sprint(v) }
	heads, err := f.template.Clone()
	if err != nil {
		return ""
	}
	heads.Funcs(template.FuncMap{"json": title, "lower": title, "upper": title, "join": func(v any, _ string) string { return title(v) }})
	var b strings.Builder
	if err := heads.Execute(&b, titles(whole)); err != nil {
		return ""
	}
	return b.String()
}

func titles(row map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range row {
		if nested, ok := v.(map[string]any); ok {
			out[key] = titles(nested)
		} else {
			out[key] = strings.ToUpper(strings.ReplaceAll(key, "_", " "))
		}
	}
	return out
}

// plain gives rows as their JSON has them, in Go's own types.
func plain(rows any) ([]map[string]any, error) {
	text, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	err = json.Unmarshal(text, &out)
	for _, row := range out {
		whole(row)
	}
	return out, err
}

// whole makes integers of the numbers that are, which print as such.
func whole(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	case map[string]any:
		for key, one := range v {
			v[key] = whole(one)
		}
	case []any:
		for i, one := range v {
			v[i] = whole(one)
		}
	}
	return v
}

// complete adds to a row the keys that its JSON leaves out where they are empty.
func complete(row, sample map[string]any) {
	for key, v := range sample {
		switch has := row[key].(type) {
		case map[string]any:
			if nested, ok := v.(map[string]any); ok {
				complete(has, nested)
			}
		case nil:
			row[key] = nil
			if _, ok := v.([]any); ok {
				row[key] = []any{}
			}
		}
	}
}

// sample is a row with something in each field.
func sample(row any, yes bool) map[string]any {
	v := reflect.New(reflect.TypeOf(row)).Elem()
	fill(v, yes)
	rows, err := plain([]any{v.Interface()})
	if err != nil {
		return nil
	}
	return rows[0]
}

func fill(v reflect.Value, yes bool) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(yes)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), yes)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 9, 9)) // {{index .nodes 1}} is right
		for i := range v.Len() {
			fill(v.Index(i), yes)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), yes)
			}
		}
	}
}

// fields are the paths of the fields of a row, in their order.
func fields(t reflect.Type, prefix string) []string {
	var out []string
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		nested := t.Field(i).Type
		switch {
		case t.Field(i).Anonymous:
			out = append(out, fields(nested, prefix)...)
		case key == "" || key == "-":
		case nested.Kind() == reflect.Struct && len(fields(nested, "")) > 0:
			out = append(out, fields(nested, prefix+key+".")...)
		default:
			out = append(out, prefix+key)
		}
	}
	return slices.Clip(out)
}
