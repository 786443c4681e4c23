package swarm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/runbook"
)

type initStep struct {
	on
	Options engine.InitOptions
	// Locked: its data is, and the engine, which is not given Key for it (moby#36852), is
	// restarted with data that is not.
	Locked bool
	Key    engine.Secret
}

func (initStep) Kind() Kind { return KindInit }
func (s initStep) String() string {
	if s.Locked {
		return "unlock its raft log with the key that you give, and go on alone from it, advertising " + s.Options.Advertise
	}
	if s.Options.FromState {
		return "go on alone from its raft log, advertising " + s.Options.Advertise
	}
	return "start a new swarm, advertising " + s.Options.Advertise
}

func (s initStep) Do(ctx context.Context, r *Run) error {
	defer r.ask(ctx, s.Node())
	e, err := r.engine(s.Node())
	if err != nil {
		return err
	}
	disk := r.target(s.Node()).Disk
	if s.Locked && disk != nil {
		if err := disk.SetAside(ctx, s.Key.Reveal()); err != nil {
			return err
		}
	}
	_, err = e.Init(ctx, s.Options)
	if s.Options.FromState && disk != nil && errors.Is(err, engine.ErrNotManager) {
		// It holds on to the swarm that it could not start.
		if err = disk.SetAside(ctx, ""); err == nil {
			_, err = e.Init(ctx, s.Options)
		}
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.via = []string{s.Node()}
	return nil
}

func (s initStep) Runbook(w *RunbookWriter) {
	o := s.Options
	if o.FromState {
		n, _ := w.v.Node(s.Node())
		if s.Locked {
			w.add(runbook.Command{Node: s.Node(), Text: "# Docker has no command that decrypts /var/lib/docker/swarm/certificates/swarm-node.key (moby#36852): dcalab swarm recover --unlock does"})
		} else if n.failed() {
			w.add(runbook.Command{Node: s.Node(), Text: "sudo service docker stop", Why: "it holds on to the swarm that it cannot start"})
			w.add(runbook.Command{Node: s.Node(), Text: "sudo mv /var/lib/docker/swarm/docker-state.json /var/lib/docker/swarm/docker-state.old"})
			w.add(runbook.Command{Node: s.Node(), Text: "sudo service docker start"})
		}
		w.add(runbook.Command{Node: s.Node(), Text: runbook.Template("docker", "swarm", "init", "--force-new-cluster", "--advertise-addr", o.Advertise), Why: "the same swarm, with this manager alone"})
		w.arrive(s.Node(), engine.RoleManager)
		return
	}
	line := []string{"docker", "swarm", "init", "--advertise-addr", o.Advertise}
	option := func(given bool, flag string, value any) {
		if given {
			line = append(line, flag, fmt.Sprint(value))
		}
	}
	for _, p := range o.Pools {
		option(true, "--default-addr-pool", p)
	}
	// What Docker does by itself is not written.
	option(o.SubnetSize != 0 && o.SubnetSize != dockerSubnetSize, "--default-addr-pool-mask-length", o.SubnetSize)
	option(o.DataPathPort != 0 && o.DataPathPort != dockerDataPathPort, "--data-path-port", o.DataPathPort)
	option(o.CertExpiry != 0 && o.CertExpiry != dockerCertExpiry, "--cert-expiry", inHours(o.CertExpiry))
	option(o.TaskHistory >= 0 && o.TaskHistory != dockerTaskHistory, "--task-history-limit", o.TaskHistory)
	option(o.Availability != "" && o.Availability != engine.AvailabilityActive, "--availability", o.Availability)
	why := "start the swarm"
	if o.Autolock {
		line = append(line, "--autolock")
		why += ", and keep the unlock key that it shows"
	}
	w.add(runbook.Command{Node: s.Node(), Text: runbook.Template(line...), Why: why})
	w.arrive(s.Node(), engine.RoleManager)
}

// Docker's own defaults of docker swarm init.
const (
	dockerSubnetSize   = 24
	dockerDataPathPort = 4789
	dockerCertExpiry   = 90 * 24 * time.Hour
	dockerTaskHistory  = 5
)

// inHours writes a time as docker takes it.
func inHours(d time.Duration) string {
	if d%time.Hour == 0 {
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	}
	return d.String()
}
