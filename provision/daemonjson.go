package provision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/trouble"
)

// mergeLabels sets labels in the text of an engine's daemon.json (which may be
// empty) and keeps everything else in it: other keys, and labels of other
// keys. It gives nil when nothing changes. Text that is not a JSON object, or
// whose labels are not a list of strings, is a trouble.Error
// "daemon-json-invalid".
func mergeLabels(text []byte, labels map[string]string) ([]byte, error) {
	if len(labels) == 0 {
		return nil, nil
	}
	config := map[string]json.RawMessage{} // raw: numbers keep every digit
	if len(bytes.TrimSpace(text)) > 0 {
		if err := json.Unmarshal(text, &config); err != nil {
			return nil, daemonJSONInvalid(err)
		}
		if config == nil { // the text was "null"
			config = map[string]json.RawMessage{}
		}
	}
	var have []string
	if raw, ok := config["labels"]; ok {
		if err := json.Unmarshal(raw, &have); err != nil {
			return nil, daemonJSONInvalid(err)
		}
	}
	var want []string
	for _, l := range have {
		key, _, _ := strings.Cut(l, "=")
		if _, ours := labels[key]; !ours {
			want = append(want, l)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		want = append(want, key+"="+labels[key])
	}
	if slices.Equal(slices.Sorted(slices.Values(have)), slices.Sorted(slices.Values(want))) {
		return nil, nil
	}
	raw, err := json.Marshal(want)
	if err != nil {
		return nil, err
	}
	config["labels"] = raw
	out, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(out, '\n'), nil
}

func daemonJSONInvalid(err error) error {
	return &trouble.Error{
		ID: "daemon-json-invalid", What: "set the engine's labels",
		Why:  fmt.Sprintf("/etc/docker/daemon.json is not what an engine reads: %v", err),
		Next: []string{"mend the file in the node, or remove engine_labels from labs.yaml"},
		Err:  err,
	}
}
