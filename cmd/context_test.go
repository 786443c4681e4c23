package cmd

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/viper"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/ui"
)

// contextSession is one of a lab that was made in a folder of its own.
func contextSession(t *testing.T, name string) *session {
	t.Helper()
	state, err := lab.OpenState(t.TempDir(), name, lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab.Lab{Name: name}
	if err := state.WriteRecord(lab.Record{Format: 1, ID: "0123456789ab", Lab: name, Driver: lab.DriverSandbox}); err != nil {
		t.Fatal(err)
	}
	return &session{Session: labsession.Of(labsession.Settings{}, labsession.Parts{Lab: l, State: state, Created: true})}
}

// The whole command, with a stand-in for docker; and its user has edited the file
// between the look at it and the answer to the question.
func TestContextCreate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for docker is a shell script")
	}
	for name, fails := range map[string]bool{"and it works": false, "and docker fails": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			config := filepath.Join(dir, "config")
			script := "#!/bin/sh\ncase $2 in create) echo '# edited too' >>" + config + "; exit 0;; esac\n"
			if fails {
				script = strings.Replace(script, "exit 0", "exit 1", 1)
			}
			if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			if err := os.WriteFile(config, []byte("Host mine\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := contextSession(t, "ha")
			s.app = &app{streams: ui.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, settings: viper.New()}
			s.Lab().Nodes = []lab.Node{{Name: "master", Role: lab.RoleManager}}
			s.useDriver(standIn{status: map[string]machine.Status{"master": machine.StatusRunning}, look: sync.OnceFunc(func() {
				if err := os.WriteFile(config, []byte("Host mine\nHost edited\n"), 0o600); err != nil {
					t.Error(err)
				}
			})})
			plan, err := contextsOf(s, config).PlanCreate(t.Context(), "dcalab-ha", func() (string, error) { return "master", nil })
			if err != nil {
				t.Fatal(err)
			}
			block := plan.Block
			if err := createContext(t.Context(), s, "dcalab-ha", contextOptions{sshConfig: config, yes: true}); (err != nil) != fails {
				t.Fatal(err)
			}
			text, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			want := "Host mine\nHost edited\n# edited too\n"
			if !fails {
				want = block + want
			}
			if string(text) != want {
				t.Errorf("the file is now\n%swant\n%s", text, want)
			}
		})
	}
}
