package cmd

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// "Start the machines that are halted: dcalab start" is advised also where
// another node was never created.
func TestStartLeavesOutWhatWasNeverCreated(t *testing.T) {
	nodes := []lab.Node{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}
	start := func(absent ...string) (started []string, story string, err error) {
		var said bytes.Buffer
		s := &session{app: &app{settings: viper.New(), streams: ui.Streams{Err: &said}}}
		err = s.ofThoseMade(nodes, func(nodes []lab.Node) error {
			for _, n := range nodes {
				if slices.Contains(absent, n.Name) {
					return &trouble.Error{ID: "node-absent", Where: n.Name}
				}
			}
			started = names(nodes)
			return nil
		})
		return started, said.String(), err
	}
	started, story, err := start("b", "d")
	if err != nil || !slices.Equal(started, []string{"a", "c"}) || !strings.Contains(story, "dcalab up b d") {
		t.Errorf("it starts %v: %v, %s", started, err, story)
	}
	if started, story, err = start(); err != nil || len(started) != 4 || story != "" {
		t.Errorf("it starts %v: %v, %s", started, err, story)
	}
	var tr *trouble.Error
	if _, _, err = start("a", "b", "c", "d"); !errors.As(err, &tr) || tr.ID != "node-absent" {
		t.Errorf("nothing was created: %v", err)
	}
}
