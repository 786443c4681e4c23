package drivers

import (
	"os"
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
