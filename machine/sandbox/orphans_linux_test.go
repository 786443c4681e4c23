package sandbox

import (
	"testing"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/machinetest"
)

func TestOrphans(t *testing.T) {
	f := newFixture(t, "master", "node01", "node02")
	machinetest.RunOrphans(t, machinetest.Setup{
		Lab: f.Lab, Boot: time.Minute, Prompt: 10 * time.Second,
		New:     func(*testing.T) machine.Driver { return f.driver() },
		HostKey: f.hostKey,
	}, func(l *lab.Lab) machine.Driver {
		cfg := f.driver().cfg
		cfg.Lab = l
		return New(cfg)
	})
}
