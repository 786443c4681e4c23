package cmd

import (
	"testing"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/image"
)

func TestANodeHasWhatItHasUnderAllItsNames(t *testing.T) {
	have := []engine.Image{{ID: "sha256:a", Tags: []string{"web:1", "web:latest"}}, {ID: "sha256:b"}}
	for name, c := range map[string]struct {
		want []image.Image
		has  bool
	}{
		"one":                          {[]image.Image{{IDs: []string{"sha256:a"}, Tags: []string{"web:1"}}}, true},
		"both, one without a name":     {[]image.Image{{IDs: []string{"sha256:b"}}, {IDs: []string{"sha256:a"}}}, true},
		"by the digest of a manifest":  {[]image.Image{{IDs: []string{"sha256:c", "sha256:a"}, Tags: []string{"web:1"}}}, true},
		"another image of this name":   {[]image.Image{{IDs: []string{"sha256:c"}, Tags: []string{"web:1"}}}, false},
		"another name of this image":   {[]image.Image{{IDs: []string{"sha256:a"}, Tags: []string{"web:1", "web:2"}}}, false},
		"one of two":                   {[]image.Image{{IDs: []string{"sha256:a"}}, {IDs: []string{"sha256:c"}}}, false},
		"the name is another image's":  {[]image.Image{{IDs: []string{"sha256:b"}, Tags: []string{"web:1"}}}, false},
		"an archive without an image?": {nil, true},
	} {
		if got := hasAll(have, c.want); got != c.has {
			t.Errorf("%s: %v, want %v", name, got, c.has)
		}
	}
}
