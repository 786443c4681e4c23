// Package sudo runs this program once more through sudo: once, for a command that needs
// root, or as a helper that does what it is asked for.
package sudo

import (
	"errors"
	"os"
	"os/exec"
	"strings"
)

// Variable is set for a dcalab that another one runs through sudo, to how its user called
// that one.
const Variable = "DCALAB_THROUGH_SUDO"

// What runs through sudo ends with programFailed in place of 1, which is left to sudo itself.
const (
	sudoFailed    = 1
	programFailed = 101
)

// ErrMissing and ErrRefused tell that sudo did not run the program. Why it refused, sudo has
// said itself.
var (
	ErrMissing = errors.New("sudo is not installed")
	ErrRefused = errors.New("sudo did not run it")
)

// Command is this program with args, through sudo; called is how its user called it.
func Command(called string, args []string) (*exec.Cmd, error) {
	sudo, err := exec.LookPath("sudo")
	if err != nil {
		return nil, ErrMissing
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	keep := []string{"NO_COLOR", "TERM", "XDG_STATE_HOME", Variable}
	for _, kv := range os.Environ() {
		if key, _, _ := strings.Cut(kv, "="); strings.HasPrefix(key, "DCALAB_") {
			keep = append(keep, key)
		}
	}
	args = append([]string{"--preserve-env=" + strings.Join(keep, ","), "--", self}, args...)
	cmd := exec.Command(sudo, args...) //nolint:noctx,gosec // Ctrl-C reaches sudo and its child from the terminal
	cmd.Env = append(os.Environ(), Variable+"="+called)
	return cmd, nil
}

// ExitStatus is what a program that runs through sudo ends with to tell a status.
func ExitStatus(status int) int {
	if status == sudoFailed {
		return programFailed
	}
	return status
}

// Outcome is the exit status of a program that ran through sudo, by the error that Run or
// Wait gave. It is ErrRefused where sudo did not run the program, and the error itself where
// that tells no status.
func Outcome(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit) || exit.ExitCode() <= 0:
		return 0, err
	case exit.ExitCode() == sudoFailed:
		return sudoFailed, ErrRefused
	case exit.ExitCode() == programFailed:
		return sudoFailed, nil
	}
	return exit.ExitCode(), nil
}
