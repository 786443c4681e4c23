package provision

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

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
			wantTrouble(t, err, "daemon-json-invalid")
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
