package provision

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node/nodetest"
)

// mergeLabels is planDaemon with labels alone.
func mergeLabels(text []byte, labels map[string]string) ([]byte, error) {
	w, err := planDaemon(text, nil, labels, lab.Engine{})
	return w.Config, err
}

func TestMergeLabels(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		labels map[string]string
		want   string // empty: unchanged
	}{
		"no file":                {"", map[string]string{"Zone": "a"}, `{"labels":["Zone=a"]}`},
		"no labels wanted":       {`{"mtu":1}`, nil, ""},
		"there already":          {`{"labels":["b=2","a=1"]}`, map[string]string{"a": "1", "b": "2"}, ""},
		"other keys stay":        {`{"mtu":1450,"log-opts":{"max-size":"10m"},"big":12345678901234567890}`, map[string]string{"a": "1"}, `{"big":12345678901234567890,"labels":["a=1"],"log-opts":{"max-size":"10m"},"mtu":1450}`},
		"another value":          {`{"labels":["a=1"]}`, map[string]string{"a": "2"}, `{"labels":["a=2"]}`},
		"labels of others stay":  {`{"labels":["box=x","a=1"]}`, map[string]string{"a": "2"}, `{"labels":["box=x","a=2"]}`},
		"case of keys matters":   {`{"labels":["zone=a"]}`, map[string]string{"Zone": "a"}, `{"labels":["zone=a","Zone=a"]}`},
		"quotes need no escapes": {"", map[string]string{"a": `"; rm -rf / #'`}, `{"labels":["a=\"; rm -rf / #'"]}`},
		"null is nothing":        {"null", map[string]string{"a": "1"}, `{"labels":["a=1"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mergeLabels([]byte(c.text), c.labels)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if got != nil {
					t.Fatalf("changed to %s", got)
				}
				return
			}
			var compact json.RawMessage = got
			flat, err := json.Marshal(compact)
			if err != nil || string(flat) != c.want {
				t.Errorf("got %s (%v), want %s", flat, err, c.want)
			}
			if again, err := mergeLabels(got, c.labels); again != nil || err != nil {
				t.Errorf("a second time changes it again: %s, %v", again, err)
			}
		})
	}
	for name, text := range map[string]string{"not JSON": "{", "a list": "[]", "labels of another kind": `{"labels":"a=1"}`} {
		t.Run(name, func(t *testing.T) {
			_, err := mergeLabels([]byte(text), map[string]string{"a": "1"})
			nodetest.WantTrouble(t, err, "daemon-json-invalid")
		})
	}
}

// Whatever else is configured is configured afterwards.
func TestMergeLabelsKeepsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := rapid.MapOf(rapid.StringMatching(`[a-z-]{1,8}`), rapid.OneOf(
			rapid.Just[any](true), rapid.Just[any]("x"), rapid.Just[any](map[string]any{"k": []any{"v"}}),
		)).Draw(t, "config")
		delete(config, "labels")
		labels := rapid.MapOfN(rapid.StringMatching(`[A-Za-z.]{1,6}`), rapid.String(), 1, 4).Draw(t, "labels")
		text, _ := json.Marshal(config)
		out, err := mergeLabels(text, labels)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if n := len(got["labels"].([]any)); n != len(labels) {
			t.Fatalf("%d labels of %d", n, len(labels))
		}
		delete(got, "labels")
		if d := cmp.Diff(config, got); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzMergeLabels(f *testing.F) {
	f.Add([]byte(`{"labels":["a=1"]}`), "a", "2")
	f.Add([]byte(`null`), "", "")
	f.Fuzz(func(t *testing.T, text []byte, key, value string) {
		out, err := mergeLabels(text, map[string]string{key: value})
		if err == nil && out != nil && !json.Valid(out) {
			t.Fatalf("not JSON: %q", out)
		}
	})
}

func TestRegistries(t *testing.T) {
	type is = []string
	for name, c := range map[string]struct {
		text, ours string
		mirrors    []string
		want, now  string // empty: not written
	}{
		"none wanted, none there":      {`{"mtu":1}`, "", nil, "", ""},
		"no file":                      {"", "", is{"http://a"}, `{"registry-mirrors":["http://a"]}`, `{"registry-mirrors":["http://a"]}`},
		"others stay, ours come first": {`{"registry-mirrors":["http://x"]}`, "", is{"http://b", "http://a"}, `{"registry-mirrors":["http://b","http://a","http://x"]}`, `{"registry-mirrors":["http://b","http://a"]}`},
		"another order":                {`{"registry-mirrors":["http://a","http://b","http://x"]}`, `{"registry-mirrors":["http://a","http://b"]}`, is{"http://b", "http://a"}, `{"registry-mirrors":["http://b","http://a","http://x"]}`, `{"registry-mirrors":["http://b","http://a"]}`},
		"one goes":                     {`{"registry-mirrors":["http://a","http://b"]}`, `{"registry-mirrors":["http://a","http://b"]}`, is{"http://b"}, `{"registry-mirrors":["http://b"]}`, `{"registry-mirrors":["http://b"]}`},
		"all go, the rest stays":       {`{"mtu":1450,"registry-mirrors":["http://a"]}`, `{"registry-mirrors":["http://a"]}`, nil, `{"mtu":1450}`, `{}`},
		"not ours, not taken away":     {`{"registry-mirrors":["http://a"]}`, "", nil, "", ""},
		"there before, so not ours":    {`{"registry-mirrors":["http://a"]}`, "", is{"http://a"}, "", ""},
		"ours, and taken by hand":      {`{}`, `{"registry-mirrors":["http://a"]}`, nil, "", `{}`},
		"a memory in shreds":           {`{"registry-mirrors":["http://x"]}`, `{"regi`, is{"http://a"}, `{"registry-mirrors":["http://a","http://x"]}`, `{"registry-mirrors":["http://a"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			engine := lab.Engine{RegistryMirrors: c.mirrors}
			w, err := planDaemon([]byte(c.text), []byte(c.ours), nil, engine)
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range []struct {
				what, want string
				got        []byte
			}{{"daemon.json", c.want, w.Config}, {"daemon.json.dcalab", c.now, w.Ours}} {
				flat := []byte{}
				if file.got != nil {
					flat, _ = json.Marshal(json.RawMessage(file.got))
				}
				if string(flat) != file.want {
					t.Errorf("%s: got %s, want %s", file.what, flat, file.want)
				}
			}
			config, ours := []byte(c.text), []byte(c.ours)
			if w.Config != nil {
				config = w.Config
			}
			if w.Ours != nil {
				ours = w.Ours
			}
			if again, err := planDaemon(config, ours, nil, engine); again.Config != nil || again.Ours != nil || err != nil {
				t.Errorf("a second time changes it again: %s, %s, %v", again.Config, again.Ours, err)
			}
		})
	}
	_, err := planDaemon([]byte(`{"insecure-registries":"a"}`), nil, nil, lab.Engine{InsecureRegistries: is{"a"}})
	nodetest.WantTrouble(t, err, "daemon-json-invalid")
}

// Whatever labs.yaml said in between, what others wrote is there at the end,
// and nothing else.
func TestRegistriesComeAndGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lists := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-e]`), 0, 4, rapid.ID[string])
		theirs := lists.Draw(t, "theirs")
		text, _ := json.Marshal(map[string]any{"insecure-registries": theirs})
		var ours []byte
		wanted := rapid.SliceOfN(lists, 1, 4).Draw(t, "wanted")
		for _, want := range append(wanted, nil) { // nothing in the end
			w, err := planDaemon(text, ours, nil, lab.Engine{InsecureRegistries: want})
			if err != nil {
				t.Fatal(err)
			}
			if w.Config != nil {
				text = w.Config
			}
			if w.Ours != nil {
				ours = w.Ours
			}
			var got struct {
				Insecure []string `json:"insecure-registries"`
			}
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			all := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(want), theirs...))))
			if !slices.Equal(slices.Sorted(slices.Values(got.Insecure)), all) {
				t.Fatalf("wanted %v, theirs are %v, got %v", want, theirs, got.Insecure)
			}
		}
	})
}
