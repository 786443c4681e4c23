package engine_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/engine"
)

// A config is labelled anew only where it has the version that was read.
func TestLabelConfigComparesTheVersion(t *testing.T) {
	f, c := fake(t, "1.41")
	f.answer("GET /v1.41/configs/id1", 200, json.RawMessage(`{"ID":"id1","Version":{"Index":7},"Spec":{"Name":"one","Labels":{"a":"1"},"Data":"eA=="}}`))
	var sent map[string]any
	f.mux.HandleFunc("POST /v1.41/configs/id1/update", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("version") != "7" {
			reply(w, 500, "rpc error: code = Unknown desc = update out of sequence")
			return
		}
		_ = json.NewDecoder(r.Body).Decode(&sent)
	})
	was, err := c.Configs.Get(t.Context(), "id1")
	if d := cmp.Diff(engine.Config{ID: "id1", Name: "one", Version: 7, Labels: map[string]string{"a": "1"}}, was); err != nil || d != "" {
		t.Fatal(err, d)
	}
	if err := c.Configs.Label(t.Context(), was, map[string]string{"a": "2"}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]any{"Name": "one", "Labels": map[string]any{"a": "2"}}, sent); d != "" {
		t.Error(d)
	}
	was.Version = 6
	if err := c.Configs.Label(t.Context(), was, nil); !errors.Is(err, engine.ErrOutOfSequence) {
		t.Errorf("an old version: %v", err)
	}
}

func TestConfigsAreFoundByTheirLabelAndRemovedOnce(t *testing.T) {
	f, c := fake(t, "1.41")
	f.mux.HandleFunc("GET /v1.41/configs", func(w http.ResponseWriter, r *http.Request) {
		if want := `{"label":{"ours":true}}`; r.URL.Query().Get("filters") != want {
			t.Errorf("filters %s", r.URL.Query().Get("filters"))
		}
		reply(w, 200, json.RawMessage(`[{"ID":"id1","Spec":{"Name":"one"}}]`))
	})
	f.answer("DELETE /v1.41/configs/id1", 404, "config id1 not found")
	list, err := c.Configs.List(t.Context(), "ours")
	if err != nil || len(list) != 1 || list[0].Name != "one" {
		t.Fatal(list, err)
	}
	if err := c.Configs.Remove(t.Context(), "id1"); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
}
