package provision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// registries are the lists of an engine's daemon.json that dcalab keeps as
// labs.yaml has them. What of them dcalab itself wrote is remembered in the
// node, in /etc/docker/daemon.json.dcalab (an engine refuses keys in its
// daemon.json that it does not know), so that what goes from labs.yaml goes
// from the engine too, and what others wrote there stays.
type registries struct {
	Mirrors  []string `json:"registry-mirrors,omitempty"`
	Insecure []string `json:"insecure-registries,omitempty"`
}

func (r registries) equal(o registries) bool {
	return slices.Equal(r.Mirrors, o.Mirrors) && slices.Equal(r.Insecure, o.Insecure)
}

// daemonWork is what is to be written on a node; nil for what is right.
type daemonWork struct {
	Config []byte // daemon.json
	Own    []byte // of Config, the keys that dcalab sets; nil where these are all
	Ours   []byte // daemon.json.dcalab
}

// planDaemon sets the engine labels and registries wanted in the text of an
// engine's daemon.json (which may be empty) and keeps everything else in it:
// other keys, labels of other keys, registries that dcalab did not write. ours
// is the text of daemon.json.dcalab; one that cannot be read counts as none.
// Text that is not a JSON object, or whose lists are not lists of strings, is
// a trouble.Error "daemon-json-invalid".
func planDaemon(text, ours []byte, labels map[string]string, engine lab.Engine) (daemonWork, error) {
	var was registries
	if json.Unmarshal(ours, &was) != nil {
		was = registries{}
	}
	if len(labels) == 0 && len(engine.RegistryMirrors) == 0 && len(engine.InsecureRegistries) == 0 && was.equal(registries{}) {
		return daemonWork{}, nil
	}
	config := map[string]json.RawMessage{} // raw: numbers keep every digit
	if len(bytes.TrimSpace(text)) > 0 {
		if err := json.Unmarshal(text, &config); err != nil {
			return daemonWork{}, daemonJSONInvalid(err)
		}
		if config == nil { // the text was "null"
			config = map[string]json.RawMessage{}
		}
	}
	changed, err := setLabels(config, labels)
	if err != nil {
		return daemonWork{}, err
	}
	var now registries
	for _, list := range []struct {
		key       string
		was, want []string
		now       *[]string
	}{
		{"registry-mirrors", was.Mirrors, engine.RegistryMirrors, &now.Mirrors},
		{"insecure-registries", was.Insecure, engine.InsecureRegistries, &now.Insecure},
	} {
		keep, other, err := setList(config, list.key, list.was, list.want)
		if err != nil {
			return daemonWork{}, err
		}
		*list.now, changed = keep, changed || other
	}
	var w daemonWork
	if changed {
		if w.Config, err = indented(config); err != nil {
			return daemonWork{}, err
		}
		maps.DeleteFunc(config, func(key string, _ json.RawMessage) bool {
			return !slices.Contains([]string{"labels", "registry-mirrors", "insecure-registries"}, key)
		})
		own, err := indented(config)
		if err != nil {
			return daemonWork{}, err
		}
		if !bytes.Equal(own, w.Config) {
			w.Own = own
		}
	}
	if !now.equal(was) {
		if w.Ours, err = indented(now); err != nil {
			return daemonWork{}, err
		}
	}
	return w, nil
}

// setLabels sets labels, and tells whether that changes anything.
func setLabels(config map[string]json.RawMessage, labels map[string]string) (bool, error) {
	if len(labels) == 0 {
		return false, nil
	}
	have, err := strs(config, "labels")
	if err != nil {
		return false, err
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
		return false, nil
	}
	return true, store(config, "labels", want)
}

// setList puts what is wanted in front of a list, in its order (mirrors are
// tried in theirs), and takes away what dcalab wrote and nobody wants any
// more. It gives what of the result is dcalab's: not what stood there before.
func setList(config map[string]json.RawMessage, key string, was, want []string) (now []string, changed bool, err error) {
	if len(was) == 0 && len(want) == 0 {
		return nil, false, nil
	}
	have, err := strs(config, key)
	if err != nil {
		return nil, false, err
	}
	result := slices.Clone(want)
	for _, entry := range have {
		if !slices.Contains(want, entry) && !slices.Contains(was, entry) {
			result = append(result, entry)
		}
	}
	for _, entry := range want {
		if slices.Contains(was, entry) || !slices.Contains(have, entry) {
			now = append(now, entry)
		}
	}
	if slices.Equal(have, result) {
		return now, false, nil
	}
	if len(result) == 0 {
		delete(config, key)
		return now, true, nil
	}
	return now, true, store(config, key, result)
}

func strs(config map[string]json.RawMessage, key string) ([]string, error) {
	raw, ok := config[key]
	if !ok {
		return nil, nil
	}
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, daemonJSONInvalid(fmt.Errorf("%s: %w", key, err))
	}
	return list, nil
}

func store(config map[string]json.RawMessage, key string, list []string) error {
	raw, err := json.Marshal(list)
	config[key] = raw
	return err
}

func indented(v any) ([]byte, error) {
	out, err := json.MarshalIndent(v, "", "  ")
	return append(out, '\n'), err
}

func daemonJSONInvalid(err error) error {
	return &trouble.Error{
		ID: "daemon-json-invalid", What: "set up the engine",
		Why:  fmt.Sprintf("/etc/docker/daemon.json is not what an engine reads: %v", err),
		Next: []string{"fix the file in the node, or remove engine_labels, registry_mirrors and insecure_registries from labs.yaml"},
		Err:  err,
	}
}
