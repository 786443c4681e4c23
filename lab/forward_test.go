package lab

import (
	"errors"
	"testing"
)

func TestForwardedWhileItRuns(t *testing.T) {
	s, err := OpenState(t.TempDir(), "dca", Owner{})
	if err == nil {
		err = s.Create()
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Forwarded(); got != nil {
		t.Errorf("%v before it begins", got)
	}
	list := []Forwarded{{"127.0.0.1:8080", 8080}}
	end, err := s.Forward(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Forwarded(); len(got) != 1 || got[0] != list[0] {
		t.Errorf("%v, want %v", got, list)
	}
	if _, err := s.Forward(t.Context(), list); !errors.Is(err, ErrForwarding) {
		t.Errorf("a second one: %v", err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if got := s.Forwarded(); got != nil {
		t.Errorf("%v after its end", got)
	}
	// One that was killed leaves its file.
	if err := s.WriteFile(forwardFile, []byte(`[{"local":"127.0.0.1:8080","port":8080}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.Forwarded(); got != nil {
		t.Errorf("%v of one that is gone", got)
	}
}
