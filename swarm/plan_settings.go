package swarm

import (
	"context"
	"errors"

	"github.com/dcalab/dcalab/trouble"
)

// PlanAutolock plans to turn autolock on or off: whether managers that were restarted
// wait for the swarm's unlock key. It is pure, and empty where it is so already. Errors
// are those of NeedManager.
func PlanAutolock(v View, on bool) (Plan, error) {
	if err := v.NeedManager(); err != nil {
		return Plan{}, err
	}
	p := Plan{View: v, end: endSettings}
	if v.Settings == nil || v.Settings.Autolock != on {
		p.stageThat(stopRun, "configure", configureStep{Want: settings{Autolock: &on}})
	}
	p.Runbook = v.Runbook(p.Steps())
	return p, nil
}

// PlanRotateCA plans a new root CA, and new certificates for all nodes. It is pure.
// Errors are those of NeedManager.
func PlanRotateCA(v View) (Plan, error) {
	if err := v.NeedManager(); err != nil {
		return Plan{}, err
	}
	p := Plan{View: v, end: endSettings}
	p.stageThat(stopRun, "rotate", rotateCAStep{})
	p.Runbook = v.Runbook(p.Steps())
	return p, nil
}

// endSettings says what did not come true.
func endSettings(ctx context.Context, _ *Run, _ Plan, failed []failure, _ *Result) error {
	var errs []error
	for _, f := range failed {
		errs = append(errs, &trouble.Error{ID: "change-unfinished", Exit: trouble.ExitUnfinished, What: f.step.String(), Why: cause("", f.err),
			Next: []string{"check the state: dcalab status"}, Err: f.err})
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(errs...)
}
