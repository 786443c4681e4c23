package swarm

import (
	"context"
	"errors"
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
	if err == nil && s.Want.Autolock != nil {
		err = r.awaitKeys(ctx, *s.Want.Autolock)
	}
	return err
}

// awaitKeys waits until each manager that answers has its key locked on disk, or not: it
// follows the setting a moment later, and one that is restarted before then would come
// back without asking for the key.
func (r *Run) awaitKeys(ctx context.Context, locked bool) error {
	return r.poll(ctx, func() error {
		errs := make([]error, len(r.targets))
		each(len(r.targets), func(i int) {
			t := r.targets[i]
			if t.Disk == nil || !r.manages(i) {
				return
			}
			if is, err := t.Disk.KeyLocked(ctx); err == nil && is != locked {
				errs[i] = fmt.Errorf("%s: its key is %s still", t.Name, map[bool]string{true: "locked", false: "not locked"}[is])
			}
		})
		return errors.Join(errs...)
	})
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
