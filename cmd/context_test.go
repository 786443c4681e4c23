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

func TestTheLinesInSSHsConfigurationComeAndGo(t *testing.T) {
	s := contextSession(t, "dca")
	block, err := s.sshBlock()
	if err != nil {
		t.Fatal(err)
	}
	other, err := contextSession(t, "dca2").sshBlock()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"an empty file":       "",
		"settings for all":    "ServerAliveInterval 7\n",
		"no newline at all":   "Host x\n  User y",
		"another lab's lines": other + "Host x\n",
	} {
		t.Run(name, func(t *testing.T) {
			if bare := withoutBlock(block+text, "dca"); bare != text {
				t.Errorf("%q", bare)
			}
			if bare := withoutBlock(text, "dca"); bare != text {
				t.Errorf("out of nothing: %q", bare)
			}
		})
	}
	// What its user moved, or half removed, is not taken for it.
	if bare := withoutBlock("Host x\n"+block+"User y\n", "dca"); bare != "Host x\nUser y\n" {
		t.Errorf("moved: %q", bare)
	}
	if bare := withoutBlock("Host x "+block, "dca"); bare != "Host x "+block {
		t.Errorf("in the middle of a line: %q", bare)
	}
	// An editor has given all lines the ends that most of them had.
	crlf := strings.NewReplacer("\n", "\r\n")
	if bare := withoutBlock(crlf.Replace(block+"Host x\n"), "dca"); bare != "Host x\r\n" {
		t.Errorf("with the ends of lines of Windows: %q", bare)
	}
	if text := crlf.Replace("Host x\n" + block); withBlock(text, block, "dca") != text {
		t.Errorf("they were put there twice:\n%s", withBlock(text, block, "dca"))
	}
	half := strings.Replace(block, blockEnd("dca"), "", 1)
	if bare := withoutBlock(half, "dca"); bare != half {
		t.Errorf("half removed: %q", bare)
	}
}

func TestTheLinesOfAnotherFoldersLabStay(t *testing.T) {
	one, two := contextSession(t, "dca"), contextSession(t, "dca")
	block, err := one.sshBlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := one.otherBlock("config", block); err != nil {
		t.Errorf("its own: %v", err)
	}
	if err := two.otherBlock("config", block); err == nil || !strings.Contains(err.Error(), one.Place().Root) {
		t.Errorf("another folder's: %v", err)
	}
	if err := one.State().Forget(); err != nil {
		t.Fatal(err)
	}
	if err := two.otherBlock("config", block); err != nil {
		t.Errorf("of a lab that is gone: %v", err)
	}
}

// A lab that is reached through a link has the same context, and the same lines.
func TestAContextThroughALinkIsTheLabs(t *testing.T) {
	direct, other := contextSession(t, "dca"), contextSession(t, "dca")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(direct.Place().Root, link); err != nil {
		t.Skip(err)
	}
	state, err := lab.OpenState(link, "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	linked := &session{Session: labsession.Of(labsession.Settings{}, labsession.Parts{Lab: direct.Lab(), State: state, Created: true})}
	block, err := linked.sshBlock()
	if err != nil {
		t.Fatal(err)
	}
	made := dockerContext{description: linked.contextMark()}
	if !direct.ownContext(made) || !linked.ownContext(made) || other.ownContext(made) || direct.ownContext(dockerContext{}) {
		t.Errorf("whose is %q?", made.description)
	}
	if err := direct.otherBlock("config", block); err != nil {
		t.Error(err)
	}
	if err := other.otherBlock("config", block); err == nil {
		t.Error("another lab's lines are taken for its own")
	}
}

func TestAPathThatSSHCannotCarryIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "labs[1]")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	state, err := lab.OpenState(dir, "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&session{Session: labsession.Of(labsession.Settings{}, labsession.Parts{Lab: &lab.Lab{Name: "dca"}, State: state})}).sshBlock(); err == nil {
		t.Error("Include would take it for a pattern")
	}
}

func TestSSHsConfigurationIsReplacedWhole(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "dotfiles"), filepath.Join(dir, ".ssh", "config")
	if err := writeText(link, "new\n"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(link); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a new one is not its owner's alone: %v %v", info.Mode(), err)
	}
	// A link stays a link, and the mode what it was.
	if err := os.Rename(link, target); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(target, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	path, err := sshConfigPath(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeText(path, "newer\n"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link: %v %v", info.Mode(), err)
	}
	text, err := os.ReadFile(link)
	if err != nil || string(text) != "newer\n" {
		t.Errorf("%q %v", text, err)
	}
	if info, err = os.Stat(link); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode: %v %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("something is left behind: %v %v", entries, err)
	}
}

// Between the look at the file and the answer to the question, its user has
// edited it.
func TestWhatWasEditedMeanwhileStays(t *testing.T) {
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
			s := contextSession(t, "dca")
			s.app = &app{streams: ui.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, settings: viper.New()}
			s.Lab().Nodes = []lab.Node{{Name: "master", Role: lab.RoleManager}}
			s.drive(standIn{status: map[string]machine.Status{"master": machine.StatusRunning}, look: sync.OnceFunc(func() {
				if err := os.WriteFile(config, []byte("Host mine\nHost edited\n"), 0o600); err != nil {
					t.Error(err)
				}
			})})
			if err := s.createContext(t.Context(), "dcalab-dca", contextOptions{sshConfig: config, yes: true}); (err != nil) != fails {
				t.Fatal(err)
			}
			text, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			want := "Host mine\nHost edited\n# edited too\n"
			if block, _ := s.sshBlock(); !fails {
				want = block + want
			}
			if string(text) != want {
				t.Errorf("the file is now\n%swant\n%s", text, want)
			}
		})
	}
}
