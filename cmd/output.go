package cmd

import (
	"encoding/json"
	"slices"

	"go.yaml.in/yaml/v3"
)

// checkFormat refuses what -o does not know; empty is for people.
func checkFormat(format string) error {
	if format == "" || slices.Contains(formats(), format) {
		return nil
	}
	return oneOf("output format", format, formats(), "")
}

// formats are the values of -o.
func formats() []string { return []string{"json", "yaml"} }

// encode gives a report in the format that -o names, with a newline at the
// end. The keys of every report are a promise.
func encode(format string, report any) ([]byte, error) {
	if format == "yaml" {
		return yaml.Marshal(report)
	}
	text, err := json.MarshalIndent(report, "", "  ")
	return append(text, '\n'), err
}
