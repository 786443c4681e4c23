package trouble

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestKinds(t *testing.T) {
	err := fmt.Errorf("demote: %w", &Error{ID: "change-unfinished", Err: &Error{ID: string(ErrLastManager)}})
	if !errors.Is(err, ErrLastManager) || !IsAny(err, ErrNoSwarm, ErrLastManager) || IsAny(err, ErrNoSwarm) || errors.Is(&Error{}, Kind("x")) {
		t.Error("errors of a kind are not told apart")
	}
	var ids []string
	for _, topic := range Catalogue() {
		for _, e := range topic.Entries {
			ids = append(ids, e.ID)
		}
	}
	for _, k := range []Kind{ErrConnectionLost, ErrNodeUnreachable, ErrEngineDown, ErrLastManager, ErrNobodyAnswers, ErrNodeTimeout, ErrNoQuorum, ErrNoSwarm, ErrTwoSwarms} {
		if !slices.Contains(ids, string(k)) {
			t.Errorf("nothing is of the kind %s", k)
		}
	}
}
