//go:build unix

package ui

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
)

// guardScript waits for what its program says at its end. When that is not
// that all is done, the program has died (of a panic in any of its goroutines,
// of kill -9), and the script gives the terminal (3 for its modes, 4 for its
// screen) back as it was, and then shows the program's last words, which the
// full screen had swallowed. It ignores what ends or stops the rest of its job.
const guardScript = `trap '' HUP INT TERM TTOU
saved=$(stty -g <&3) || exit 1
echo ready
said=$(cat)
[ "$said" = done ] && exit 0
stty "$saved" <&3
printf '\033[<u\033[>4m\033[?25h\033[?1049l\r\n%s\n' "$said" >&4
`

// guardTerminal starts a small process that restores the terminal should this
// one die without doing so itself, which recover cannot prevent. The caller
// calls the function that it gives when the terminal is in order again. Without
// sh or stty there is no guard.
func guardTerminal(in, out *os.File) (done func()) {
	unguarded := func() {}
	r, w, err := os.Pipe()
	if err != nil {
		return unguarded
	}
	defer r.Close()
	cmd := exec.Command("sh", "-c", guardScript)
	cmd.Stdin, cmd.ExtraFiles = r, []*os.File{in, out}
	stdout, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		_ = w.Close()
		return unguarded
	}
	// Its modes are to be read before they are changed.
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		_ = w.Close()
		_ = cmd.Wait()
		return unguarded
	}
	_ = debug.SetCrashOutput(w, debug.CrashOptions{})
	return func() {
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
		_, _ = io.WriteString(w, "done")
		_ = w.Close()
		_ = cmd.Wait()
	}
}
