package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
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
	return &session{lab: l, state: state, created: true}
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
			bare, has := withoutBlock(block+text, "dca")
			if !has || bare != text {
				t.Errorf("%v: %q", has, bare)
			}
			if bare, has := withoutBlock(text, "dca"); has || bare != text {
				t.Errorf("out of nothing: %v: %q", has, bare)
			}
		})
	}
	// What its user moved, or half removed, is not taken for it.
	if bare, has := withoutBlock("Host x\n"+block+"User y\n", "dca"); !has || bare != "Host x\nUser y\n" {
		t.Errorf("moved: %v: %q", has, bare)
	}
	if bare, has := withoutBlock("Host x "+block, "dca"); has {
		t.Errorf("in the middle of a line: %q", bare)
	}
	half := strings.Replace(block, blockEnd("dca"), "", 1)
	if bare, has := withoutBlock(half, "dca"); has || bare != half {
		t.Errorf("half removed: %v: %q", has, bare)
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
	if err := two.otherBlock("config", block); err == nil || !strings.Contains(err.Error(), one.place().Root) {
		t.Errorf("another folder's: %v", err)
	}
	if err := one.state.Forget(); err != nil {
		t.Fatal(err)
	}
	if err := two.otherBlock("config", block); err != nil {
		t.Errorf("of a lab that is gone: %v", err)
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
	if _, err := (&session{lab: &lab.Lab{Name: "dca"}, state: state}).sshBlock(); err == nil {
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
