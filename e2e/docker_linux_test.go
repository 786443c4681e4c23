package e2e

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/docker"
	"github.com/dcalab/dcalab/machine/machinetest"
)

// TestDocker has labs in containers of a Docker of the test's own: the
// contracts of a driver and of snapshots, and an evening.
func TestDocker(t *testing.T) {
	base := os.Getenv("DCALAB_DOCKER_BASE")
	if base == "" {
		t.Skip("a Docker of the test's own: make docker")
	}
	host := startDocker(t, base)
	t.Run("Contract", func(t *testing.T) { machinetest.Run(t, dockerSetup(t, host)) })
	t.Run("Snapshots", func(t *testing.T) { machinetest.RunSnapshots(t, dockerSetup(t, host)) })
	t.Run("Scenarios", func(t *testing.T) {
		bin := onPath(t, binary(t))
		testscript.Run(t, testscript.Params{
			Dir:                 "testdata/docker",
			RequireExplicitExec: true,
			RequireUniqueNames:  true,
			Setup: func(env *testscript.Env) error {
				env.Setenv("PATH", bin+":"+os.Getenv("PATH"))
				env.Setenv("HOME", env.WorkDir)
				env.Setenv("TERM", "dumb")
				env.Setenv("DCALAB_DRIVER", docker.Name)
				env.Setenv("DOCKER_HOST", host)
				return nil
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				"eventually": eventually,
				"json":       jsonEquals,
				"sh":         shell,
				"exits":      exits,
				"milestones": milestones,
			},
		})
	})
	for _, list := range [][]string{{"ps", "--all", "--quiet"}, {"volume", "ls", "--quiet"}} {
		out, err := exec.Command("docker", append([]string{"--host", host}, list...)...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("docker %s: %v: is there anything left of the labs?\n%s", strings.Join(list, " "), err, out)
		}
	}
}

// startDocker starts a Docker in a network namespace of its own, without a way
// out, that has the root file system in the folder base as the image that the
// host image is built on. It gives what DOCKER_HOST is for it.
func startDocker(t *testing.T, base string) string {
	t.Helper()
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	host := "unix://" + filepath.Join(dir, "docker.sock")
	cmd := exec.Command("bash", "-euc", `
		ip link set lo up
		mount -t tmpfs -o mode=755 tmpfs /run
		exec dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" --host "$2"`, "dockerd", dir, host)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			t.Error("the test's Docker did not end")
		}
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("what its Docker said:\n%s", text[max(0, len(text)-16<<10):])
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for exec.CommandContext(ctx, "docker", "--host", host, "version").Run() != nil {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the test's Docker ended: %v", err)
		case <-ctx.Done():
			t.Fatal("the test's Docker does not answer")
		case <-time.After(50 * time.Millisecond):
		}
	}
	out, err := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c",
		`tar -C "$1" --exclude=./boot --exclude=./usr/lib/modules --exclude=./usr/share/doc -c . | docker --host "$2" import - debian:trixie-slim`, "import", base, host).CombinedOutput()
	if err != nil {
		t.Fatalf("import the base image: %v\n%s", err, out)
	}
	return host
}

func dockerSetup(t *testing.T, host string) machinetest.Setup {
	t.Helper()
	l := &lab.Lab{
		Name: "contract", Domain: "docker-dca.example", Subnet: netip.MustParsePrefix("10.20.20.0/24"), Interface: "enp0s8",
		Driver: docker.Name,
	}
	for i, name := range []string{"master", "node01", "node02"} {
		l.Nodes = append(l.Nodes, lab.Node{
			Name: name, IP: netip.AddrFrom4([4]byte{10, 20, 20, byte(100 + 10*i)}), Role: lab.RoleManager, CPUs: 1, Memory: 1024,
		})
	}
	root := t.TempDir()
	state, err := lab.OpenState(root, l.Name, lab.Owner{})
	if err == nil {
		err = state.Create()
	}
	var line string
	if err == nil {
		line, err = state.EnsureIdentity()
	}
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	log, err := state.OpenLog()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		text, err := os.ReadFile(state.Log())
		if err := errors.Join(err, log.Close()); err == nil && t.Failed() {
			t.Logf("what the driver did:\n%s", text[max(0, len(text)-16<<10):])
		}
	})
	return machinetest.Setup{
		Lab: l,
		New: func(t *testing.T) machine.Driver {
			t.Helper()
			return docker.New(docker.Config{
				Lab: l, ID: "0123456789ab", Root: root, Binary: binary(t),
				AuthorizedKey: func() (ssh.PublicKey, error) { return key, nil },
				IdentityFile:  state.Identity(), PinHostKey: state.PinHost, ForgetHostKey: state.ForgetHost,
				State: state, Log: log,
				Getenv: func(name string) string {
					if name == "DOCKER_HOST" {
						return host
					}
					return ""
				},
			})
		},
		HostKey: machinetest.PinnedIn(state), Boot: 5 * time.Minute, Prompt: time.Minute,
	}
}
