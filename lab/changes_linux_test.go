package lab

import (
	"context"
	"testing"
	"time"
)

func TestChangesAreTold(t *testing.T) {
	s := newState(t)
	if err := s.Create(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	changes := s.Changes(ctx, "one", time.Hour, time.Hour) // so that a sign is one of the system's
	write := func(name string) {
		t.Helper()
		if err := s.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sign := func() bool {
		select {
		case <-changes:
			return true
		case <-ctx.Done():
			t.Fatal("no sign comes")
		case <-time.After(10 * time.Millisecond):
		}
		return false
	}
	for write("one"); !sign(); write("one") { // until it watches
	}
}

func TestChangesOfAFolderThatIsMadeLater(t *testing.T) {
	s := newState(t)
	changes := s.Changes(t.Context(), "one", time.Millisecond, time.Millisecond)
	<-changes
	if err := s.Create(); err != nil {
		t.Fatal(err)
	}
	<-changes
	if err := s.WriteFile("one", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-changes
}
