package timeline

import (
	"testing"

	"github.com/dcalab/dcalab/lab"
)

func state(t *testing.T) *lab.State {
	t.Helper()
	s, err := lab.OpenState(t.TempDir(), "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
