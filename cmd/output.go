package cmd

import (
	"bytes"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/show"
	"github.com/dcalab/dcalab/ui"
)

// checkFormat refuses what -o does not know; empty is for people.
func checkFormat(format string) error {
	if format == "" || slices.Contains(formats(), format) {
		return nil
	}
	return oneOf("output format", format, formats(), "")
}

// formats are the values of -o of what is no list.
func formats() []string { return []string{ui.FormatJSON, ui.FormatYAML} }

// listing are the flags that say how a list is shown.
type listing struct{ output, template string }

func (l *listing) flags(c *cobra.Command) {
	c.Flags().StringVarP(&l.output, "output", "o", "", "table, wide, json, yaml or name (default: table)")
	c.Flags().StringVar(&l.template, "format", "", "a Go template for each row, as docker's: '{{.name}}'")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(ui.Formats(), noFiles)) // fails for a flag that is not there
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{ui.FormatTable, ui.FormatJSON}, noFiles))
}

// format is what the flags mean for rows of the type of row. Nothing has been
// asked of the nodes yet.
func (l *listing) format(row any) (ui.Format, error) {
	switch {
	case l.output != "" && l.template != "":
		return ui.Format{}, usage("--output and --format both say how the list is shown", "give one of them")
	case l.template != "":
		return ui.NewTemplate(l.template, row)
	case l.output != "" && !slices.Contains(ui.Formats(), l.output):
		return ui.Format{}, oneOf("output format", l.output, ui.Formats(), "")
	}
	return ui.Named(l.output), nil
}

// print writes a list to stdout, all of it or nothing.
func (a *app) print(f ui.Format, l ui.Listing) error {
	var b bytes.Buffer
	if err := f.Write(&b, l); err != nil {
		return err
	}
	_, err := a.streams.Out.Write(b.Bytes())
	return err
}

// outColor tells whether stdout gets colours.
func (a *app) outColor() bool { return a.streams.OutColor(a.settings.GetBool("no-color")) }

// style is how standard output is drawn.
func (a *app) style(wide bool) show.Style {
	return show.Style{Color: a.outColor(), Wide: wide, Width: a.streams.OutFit(), Hint: a.hint}
}
