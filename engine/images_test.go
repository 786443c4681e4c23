package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/engine"
)

func TestImages(t *testing.T) {
	f, c := fake(t, "1.41")
	f.answer("GET /v1.41/images/json", 200, json.RawMessage(`[
		{"Id":"sha256:aa","RepoTags":["b:1","a:1"],"Size":42},
		{"Id":"sha256:bb","RepoTags":["<none>:<none>"],"Size":7},
		{"Id":"sha256:cc","RepoTags":null}]`))
	got, err := c.Images.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []engine.Image{{ID: "sha256:aa", Tags: []string{"a:1", "b:1"}, Size: 42}, {ID: "sha256:bb", Tags: []string{}, Size: 7}, {ID: "sha256:cc"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPlatform(t *testing.T) {
	f, c := fake(t, "1.44")
	f.answer("GET /v1.44/version", 200, map[string]string{"Os": "linux", "Arch": "arm64"})
	if os, arch, err := c.Platform(t.Context()); os != "linux" || arch != "arm64" || err != nil {
		t.Error(os, arch, err)
	}
}

func TestLoadImages(t *testing.T) {
	f, c := fake(t, "1.41")
	var answer, got string
	f.mux.HandleFunc("POST /v1.41/images/load", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	})
	answer = `{"stream":"Loaded image: a:1\n"}{"stream":"Loaded image: b:1\n"}`
	if err := c.Images.Load(t.Context(), strings.NewReader("a tar")); err != nil || got != "a tar" {
		t.Errorf("sent %q, %v", got, err)
	}

	// The engine says 200 before it begins, and fails afterwards.
	answer = `{"stream":"…"}` + `{"errorDetail":{"message":"no space left on device"},"error":"Error processing tar file(exit status 1): write /x: no space left on device"}`
	if err := c.Images.Load(t.Context(), strings.NewReader("a tar")); err == nil || !strings.Contains(err.Error(), "node01: image load: Error processing tar file") {
		t.Errorf("got %v", err)
	}
	answer = `{"stream":`
	if err := c.Images.Load(t.Context(), strings.NewReader("a tar")); err == nil {
		t.Error("an answer that breaks off is no success")
	}

	// What cannot be read is not the engine's fault.
	answer = ""
	broken := errors.New("the file has gone")
	if err := c.Images.Load(t.Context(), iotest.ErrReader(broken)); !errors.Is(err, broken) || errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestSaveImages(t *testing.T) {
	f, c := fake(t, "1.41")
	f.answer("GET /v1.41/images/here/json", 200, map[string]string{"Id": "sha256:aa"})
	f.answer("GET /v1.41/images/absent/json", 404, "No such image: absent")
	f.mux.HandleFunc("GET /v1.41/images/get", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "tar of "+strings.Join(r.URL.Query()["names"], ","))
	})
	var b bytes.Buffer
	if err := c.Images.Save(t.Context(), &b, "here"); err != nil || b.String() != "tar of here" {
		t.Errorf("got %q, %v", b.String(), err)
	}
	b.Reset()
	if err := c.Images.Save(t.Context(), &b, "here", "absent"); !errors.Is(err, engine.ErrNotFound) || b.Len() > 0 {
		t.Errorf("got %q, %v", b.String(), err)
	}
}
