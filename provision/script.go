package provision

import "embed"

// The scripts run on the nodes with any POSIX sh and take what they need as
// arguments.
//
//go:embed scripts/*.sh
var scripts embed.FS

// script is the command line that runs one of the scripts with arguments. The
// text goes as an argument of sh, not through its stdin: package managers read
// that, and would swallow the rest of the script.
func script(name string, args ...string) string {
	return Quote(append([]string{"sh", "-c", scriptText(name), name}, args...)...)
}

func scriptText(name string) string {
	text, err := scripts.ReadFile("scripts/" + name)
	if err != nil {
		panic("no script " + name) // a programmer's error: they are embedded
	}
	return string(text)
}
