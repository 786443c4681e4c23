package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/node/nodetest"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// fake is a driver of which m1 runs, and m2 does not.
type fake struct {
	machine.Driver
	at nodetest.Login
}

func (fake) Name() string           { return "fake" }
func (fake) Traits() machine.Traits { return machine.Traits{} }
func (fake) Status(context.Context) (map[string]machine.Status, error) {
	return map[string]machine.Status{"m1": machine.StatusRunning, "m2": machine.StatusHalted}, nil
}

func (d fake) Endpoint(context.Context, string) (node.Endpoint, error) {
	return node.Endpoint{Node: "m1", Network: d.at.Network, Address: d.at.Address, User: d.at.User, IdentityFile: d.at.IdentityFile, HostKeyAlias: d.at.HostKeyAlias}, nil
}

// opened is a lab of which m1 answers what exec says.
func opened(t *testing.T, exec func(command string, ch ssh.Channel) int) *session.Session {
	t.Helper()
	sshd := nodetest.NewHostile(t) // it behaves
	sshd.Exec = exec
	sshd.Start(t)
	state, err := lab.OpenState(t.TempDir(), "small", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := state.Create(); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(sshd.IdentityFile) // the host key as well
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := state.PinHost(sshd.HostKeyAlias, signer.PublicKey()); err != nil {
		t.Fatal(err)
	}
	l := &lab.Lab{Name: "small", Nodes: []lab.Node{{Name: "m1", Role: lab.RoleManager}, {Name: "m2", Role: lab.RoleManager}}}
	return session.Of(session.Settings{}, session.Parts{Lab: l, State: state, Created: true, Driver: fake{at: sshd.Login}})
}

func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(text)
	}
}

func TestABundleHoldsWhatNodesAndPartsSay(t *testing.T) {
	s := opened(t, func(command string, ch ssh.Channel) int {
		_, _ = io.WriteString(ch, "with "+nodetest.HostileToken+"\n")
		if command == "docker node ls" {
			_, _ = io.WriteString(ch.Stderr(), "no leader\n")
			return 1
		}
		return 0
	})
	file := filepath.Join(t.TempDir(), "class.tar.gz")
	packed, err := Make(t.Context(), s, file, []Part{
		{"status.json", func(_ context.Context, text, _ io.Writer) { _, _ = io.WriteString(text, "{}\n") }},
		{"doctor.json", func(_ context.Context, _, story io.Writer) { _, _ = io.WriteString(story, "error: no\n") }},
	})
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, file)
	for name, want := range map[string]string{
		"status.json":                 "{}\n",
		"doctor.json":                 "",
		"doctor.json.errors.txt":      "error: no\n",
		"nodes/m1/docker-info.txt":    "$ docker info\nwith SWMTKN-***\n",
		"nodes/m1/docker-node-ls.txt": "(exit status 1)\n",
		"nodes/m1/engine.log":         "with SWMTKN-***\n",
		"README.txt":                  "  m2 did not answer: its machine is halted\n",
	} {
		if text, ok := files["class/"+name]; !ok || !strings.Contains(text, want) {
			t.Errorf("%s holds %q", name, text)
		}
	}
	if len(packed.Files) != len(files) || len(files) != 3+len(questions())+len([]string{"engine.log", "README.txt"}) {
		t.Errorf("%d files are told of, and there are %d", len(packed.Files), len(files))
	}
	for name, text := range files {
		if strings.Contains(text, nodetest.HostileToken) {
			t.Errorf("%s holds a token", name)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestABundleOverwritesNothing(t *testing.T) {
	s := opened(t, func(string, ssh.Channel) int { return 0 })
	file := filepath.Join(t.TempDir(), "class.tgz")
	if err := Absent(file); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{Absent(file), func() error { _, err := Make(t.Context(), s, file, nil); return err }()} {
		var e *trouble.Error
		if !errors.As(err, &e) || e.ID != "bundle-exists" || e.Exit != trouble.ExitRefused {
			t.Errorf("%v", err)
		}
	}
	if text, _ := os.ReadFile(file); string(text) != "mine" {
		t.Errorf("it holds %q", text)
	}
	nodetest.WantTrouble(t, func() error {
		_, err := Make(t.Context(), s, filepath.Join(file, "..", "nowhere", "x.tgz"), nil)
		return err
	}(), "bundle-place")
}

func TestAnInterruptedBundleIsNone(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	s := opened(t, func(string, ssh.Channel) int { stop(); return 0 })
	file := filepath.Join(t.TempDir(), "class.tar.gz")
	if _, err := Make(ctx, s, file, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("there is one: %v", err)
	}
}
