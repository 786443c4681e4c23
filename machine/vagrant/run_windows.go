package vagrant

import (
	"os"
	"os/exec"
)

// separate does nothing: Windows gives Ctrl-C to every program of the console.
func separate(*exec.Cmd) {}

// interrupt leaves it to the console, and to the kill that follows when the
// command does not end.
func interrupt(*os.Process) error { return nil }
