package cmd

import (
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// checkFormat refuses what -o does not know; empty is for people.
func checkFormat(format string) error {
	switch format {
	case "", "json", "yaml":
		return nil
	}
	return usage(fmt.Sprintf("there is no output format %q", format), "the formats are json and yaml")
}

// encode gives a report in the format that -o names, with a newline at the
// end. The keys of every report are a promise.
func encode(format string, report any) ([]byte, error) {
	if format == "yaml" {
		return yaml.Marshal(report)
	}
	text, err := json.MarshalIndent(report, "", "  ")
	return append(text, '\n'), err
}
