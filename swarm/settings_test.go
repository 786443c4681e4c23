package swarm

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
)

// What somebody set by hand, and labs.yaml does not mention, stays.
func TestSettingsByHandStay(t *testing.T) {
	all := lab.Unsaid{DefaultAddrPool: true, SubnetSize: true, DataPathPort: true, CertExpiry: true, Autolock: true, TaskHistory: true}
	byHand := func(s *engine.SwarmSettings) { s.Autolock, s.CertExpiry, s.TaskHistory = true, 720*time.Hour, 2 }
	for _, tt := range []struct {
		name string
		say  func(*lab.Unsaid)
		want string
	}{
		{"nothing is said", func(*lab.Unsaid) {}, ""},
		{"autolock", func(u *lab.Unsaid) { u.Autolock = false }, "set autolock off"},
		{"cert_expiry", func(u *lab.Unsaid) { u.CertExpiry = false }, "set certificate expiry 90d"},
		{"task_history", func(u *lab.Unsaid) { u.TaskHistory = false }, "set task history 5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(testLab("mw"))
				formed(w)
				_ = w.engines[0].UpdateSwarm(context.Background(), byHand)
				w.lab.Swarm.Unsaid = all
				w.lab.Swarm.DefaultAddrPool = []netip.Prefix{netip.MustParsePrefix("10.100.0.0/16")}
				tt.say(&w.lab.Swarm.Unsaid)
				p, err := PlanBootstrap(w.lab, observe(t.Context(), w.targets()), PlanOptions{})
				got := ""
				for _, s := range p.Steps() {
					if s.Kind() == KindConfigure {
						got += s.String()
					}
				}
				if err != nil || got != tt.want || len(p.Warnings) > 0 {
					t.Errorf("%v: %q, want %q, warnings %v", err, got, tt.want, p.Warnings)
				}
			})
		})
	}
}
