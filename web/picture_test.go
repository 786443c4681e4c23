package web

import (
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/timeline"
)

// TestCertificate: until when a node's is good, now and when one looks back.
func TestCertificate(t *testing.T) {
	s := server(t)
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for i, until := range []time.Time{at.AddDate(0, 0, 90), at.AddDate(0, 0, 99)} {
		s.Take(timeline.Event{Time: at.Add(time.Duration(i) * time.Minute), Source: timeline.SourceEngine, Kind: timeline.KindCertificate, Node: "w1", Until: until})
	}
	for i, want := range []string{`"certificate":"2026-04-02T03:00:00Z"`, `"certificate":"2026-04-11T03:00:00Z"`} {
		if got := string(s.hub.at(at.Add(time.Duration(i) * time.Minute)).Set["node/w1"]); !strings.Contains(got, want) {
			t.Errorf("after %d minutes: %s, want %s", i, got, want)
		}
	}
}
