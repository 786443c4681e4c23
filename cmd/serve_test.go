package cmd

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/ui"
)

// TestServeGivesItsFlagsOn: what the page asks for is about the lab that it shows.
func TestServeGivesItsFlagsOn(t *testing.T) {
	t.Chdir(t.TempDir())
	a := &app{streams: ui.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, embedded: embedded(t), settings: viper.New()}
	root := a.root()
	root.SetOut(io.Discard)
	root.SetArgs([]string{"--lab", "dca", "version", "-q", "--driver=sandbox"})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"--driver=sandbox", "--lab=dca", "--quiet=true"}; !slices.Equal(a.given, want) {
		t.Errorf("other commands get %q, want %q", a.given, want)
	}
	if done := a.act(t.Context(), []string{"halt", "nobody"}); !strings.Contains(done.Text, "lab dca has no node") {
		t.Errorf("a page's command: %+v", done)
	}
	a.given = []string{"--lab=other"}
	if done := a.act(t.Context(), []string{"halt", "nobody"}); !strings.Contains(done.Text, "other") {
		t.Errorf("a page's command on another lab: %+v", done)
	}
}
