//go:build unix

package docker

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// docker on PATH, with a current context of that name.
func fakeDocker(t *testing.T, context string) {
	t.Helper()
	bin := t.TempDir()
	script := "#!/bin/sh\n[ \"$1 $2\" = \"context ls\" ] && echo '" + context + "'\n"
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(script), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
}

func driverIn(t *testing.T, state *lab.State, host string) *Driver {
	t.Helper()
	return New(Config{Lab: &lab.Lab{Name: "dca"}, State: state, Getenv: func(name string) string {
		if name == "DOCKER_HOST" {
			return host
		}
		return ""
	}})
}

// A lab stays in the Docker that it was made in.
func TestTarget(t *testing.T) {
	state, err := lab.OpenState(t.TempDir(), "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	options := func(host string) []string {
		t.Helper()
		_, in, err := driverIn(t, state, host).docker.find(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return in.options()
	}
	fakeDocker(t, "desktop-linux")
	if got := options(""); !slices.Equal(got, []string{"--context", "desktop-linux"}) {
		t.Errorf("the current context is %q", got)
	}
	if got := options("tcp://there:2376"); !slices.Equal(got, []string{"--host", "tcp://there:2376"}) {
		t.Errorf("DOCKER_HOST is %q", got)
	}
	if err := driverIn(t, state, "").docker.keep(target{Host: "tcp://there:2376"}); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "tcp://elsewhere:2376"} {
		if got := options(host); !slices.Equal(got, []string{"--host", "tcp://there:2376"}) {
			t.Errorf("with DOCKER_HOST=%q the lab is in %q", host, got)
		}
	}
	if err := state.WriteFile(targetFile, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := driverIn(t, state, "").docker.find(context.Background()); err == nil || !strings.Contains(err.Error(), targetFile) {
		t.Errorf("a target that names nothing: %v", err)
	}
}

func TestNoLabInANode(t *testing.T) {
	fakeDocker(t, "dcalab-dca")
	_, _, err := driverIn(t, nil, "").docker.find(context.Background())
	if trouble.ExitStatus(err) != trouble.ExitRequirement || len(trouble.Advice(err)) == 0 {
		t.Errorf("error is %v", err)
	}
}
