//go:build unix

package ui

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// unheardProgram tells a story that nobody hears, and then gives its result.
func unheardProgram() int {
	s := System()
	for range 3 {
		fmt.Fprintln(s.Err, "once upon a time")
	}
	fmt.Fprintln(s.Out, "the result")
	return 0
}

// In `dcalab up 2>&1 | tee log`, Ctrl-C ends tee too: dcalab still has machines
// to leave gracefully.
func TestAStoryThatNobodyHearsEndsNothing(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer w.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "UI_TEST_PROGRAM=unheard")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, w
	if err := cmd.Run(); err != nil || out.String() != "the result\n" {
		t.Errorf("it ended with %v, and gave %q", err, out.String())
	}
}
