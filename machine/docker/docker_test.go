package docker

import (
	"errors"
	"testing"

	"github.com/dcalab/dcalab/trouble"
)

// What Docker's program says is told apart: the object is not there, Docker is not
// there, or something else. The words are of versions 20.10 to 29.
func TestWhatDockerSays(t *testing.T) {
	for said, want := range map[string]string{
		"Error: No such container: dcalab-0123456789ab":                                                     "missing",
		"Error response from daemon: No such container: dcalab-0123456789ab":                                "missing",
		"Error: No such object: dcalab-0123456789ab":                                                        "missing",
		"Error response from daemon: No such image: dcalab-host:0123":                                       "missing",
		"Error response from daemon: get dcalab-0123456789ab: no such volume":                               "missing",
		"Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?": "docker-down",
		"failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the daemon is running: dial unix /var/run/docker.sock: connect: no such file or directory": "docker-down",
		"permission denied while trying to connect to the docker API at unix:///var/run/docker.sock":                                                                                                        "docker-denied",
		"Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock":                                                                                          "docker-denied",
		"OCI runtime create failed: mount /sys/fs/cgroup: permission denied":                                                                                                                                "",
	} {
		err := explain(&cliError{[]string{"container", "inspect"}, said, errors.New("exit status 1")})
		got := ""
		var known *trouble.Error
		switch {
		case isMissing(err):
			got = "missing"
		case errors.As(err, &known):
			got = known.ID
		}
		if got != want {
			t.Errorf("%q is %q, want %q", said, got, want)
		}
	}
}
