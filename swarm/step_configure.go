package swarm

import (
	"context"
	"fmt"
	"strconv"
)

// configureStep sets the settings of the whole swarm that can be changed; a
// nil field is left alone.
type configureStep struct {
	on
	Want settings
}

func (configureStep) Kind() Kind       { return KindConfigure }
func (s configureStep) String() string { return "set " + s.Want.String() }

func (s configureStep) Do(ctx context.Context, r *Run) error {
	err := r.viaManagerWithRetry(ctx, func(e Engine) error { return e.UpdateSwarm(ctx, s.Want.apply) })
	// All of them: what the leader says of the settings is what counts next.
	for i, t := range r.targets {
		if r.manages(i) {
			r.ask(ctx, t.Name)
		}
	}
	return err
}

// manages tells whether a node is a manager, as far as is known by now.
func (r *Run) manages(i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.facts[i].answered() && r.facts[i].info.Control
}

func (s configureStep) Runbook(w *RunbookWriter) {
	line := []string{"docker", "swarm", "update"}
	why := ""
	if e := s.Want.CertExpiry; e != nil {
		line = append(line, "--cert-expiry", inHours(*e))
	}
	if h := s.Want.TaskHistory; h != nil {
		line = append(line, "--task-history-limit", strconv.Itoa(*h))
	}
	if on := s.Want.Autolock; on != nil {
		line = append(line, fmt.Sprintf("--autolock=%t", *on))
		if *on {
			why = "keep the unlock key that it shows"
		}
	}
	w.ask(why, line...)
}
