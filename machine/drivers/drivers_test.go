package drivers

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/dcalab/dcalab/lab"
)

func TestChoosingADriver(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // Vagrant is nowhere
	first := lab.DriverVagrant
	if runtime.GOOS == "linux" {
		first = lab.DriverSandbox
	}
	for name, c := range map[string]struct {
		want     string
		provider bool
		driver   string
	}{
		"the one that is wanted":         {lab.DriverVagrant, false, lab.DriverVagrant},
		"the other":                      {lab.DriverSandbox, false, lab.DriverSandbox},
		"the first that can be run":      {lab.DriverAuto, false, first},
		"one that has providers":         {lab.DriverAuto, true, lab.DriverVagrant},
		"the wanted one, provider or no": {lab.DriverSandbox, true, lab.DriverSandbox},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Choose(os.Getenv, &lab.Lab{}, c.want, c.provider); got.Name != c.driver {
				t.Errorf("%s, want %s", got.Name, c.driver)
			}
		})
	}
}

// Where there is neither Vagrant nor Linux, auto takes the user's Docker, if there
// is one.
func TestAutoWithoutLinux(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	choose := func(goos string) string { return firstOf(allOn(goos), os.Getenv, &lab.Lab{}, false).Name }
	if got := choose("darwin"); got != lab.DriverVagrant {
		t.Errorf("without anything: %s, want the one that says what it lacks", got)
	}
	program := "docker"
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	if err := os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for goos, want := range map[string]string{"darwin": lab.DriverDocker, "windows": lab.DriverDocker, "linux": lab.DriverSandbox} {
		if got := choose(goos); got != want {
			t.Errorf("with Docker on %s: %s, want %s", goos, got, want)
		}
	}
}

func TestTheRegister(t *testing.T) {
	if got := Names(); !slices.Equal(got, []string{lab.DriverAuto, lab.DriverDocker, lab.DriverSandbox, lab.DriverVagrant}) {
		t.Errorf("%q", got)
	}
	for _, k := range All() {
		if Find(k.Name).Name != k.Name || k.Usable == nil || k.New == nil || (k.Knows == nil) != (k.Remembered == nil) {
			t.Errorf("%s is not whole", k.Name)
		}
	}
}

func TestLinuxBuildBesideDcalab(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := func(elem ...string) string {
		path := filepath.Join(append([]string{base}, elem...)...)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	unpacked, brewed, alone := file("unpacked", "dcalab.exe"), file("1.0", "bin", "dcalab"), file("alone", "dcalab")
	beside, kept := file("unpacked", "dcalab-linux"), file("1.0", "libexec", "dcalab-linux")
	link := filepath.Join(base, "dcalab")
	if err := os.Symlink(brewed, link); err != nil {
		t.Skip("no links here:", err)
	}
	for _, c := range []struct{ self, goos, want string }{
		{unpacked, "windows", beside},
		{brewed, "darwin", kept},
		{link, "darwin", kept},
		{alone, "darwin", ""},
		{alone, "linux", alone},
	} {
		if got := linuxBuild(c.self, c.goos); got != c.want && filepath.Clean(got) != c.want {
			t.Errorf("%s on %s: %q, want %q", c.self, c.goos, got, c.want)
		}
	}
}
