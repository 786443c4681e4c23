package provision

import (
	"testing"
	"time"
)

func TestClockOffset(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.TimeOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return time.Date(2026, 1, 1, v.Hour(), v.Minute(), v.Second(), 900e6, time.UTC)
	}
	for name, c := range map[string]struct {
		before, after time.Time
		printed       string
		want          time.Duration
		bad           bool
	}{
		"the same second":           {at("12:00:00"), at("12:00:00"), "1767268800", 0, false},
		"asking took three":         {at("12:00:00"), at("12:00:03"), "1767268802", 0, false},
		"an hour behind":            {at("12:00:00"), at("12:00:01"), "1767265200", -time.Hour, false},
		"ten seconds ahead":         {at("12:00:00"), at("12:00:01"), "1767268811", 10 * time.Second, false},
		"a date without %s":         {at("12:00:00"), at("12:00:00"), "%s", 0, true},
		"a shell that said nothing": {at("12:00:00"), at("12:00:00"), "", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := clockOffset(c.before, c.after, c.printed)
			if got != c.want || (err != nil) != c.bad {
				t.Errorf("%v, %v; want %v", got, err, c.want)
			}
		})
	}
}
