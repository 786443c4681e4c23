package session

import (
	"fmt"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/drivers"
	"github.com/dcalab/dcalab/trouble"
)

// ChooseDriver picks the driver: the one that made the lab, else the one asked
// for, else the first that this machine can run. It refuses another one than
// made the lab.
func (s *OnDisk) ChooseDriver() (drivers.Kind, error) {
	_, provider := s.overrides["provider"]
	if !s.created {
		return drivers.Choose(s.settings.getenv, s.lab, s.lab.Driver, provider), nil
	}
	if want := s.lab.Driver; s.OtherDriverAsked() {
		return drivers.Kind{}, &trouble.Error{
			ID: "driver-differs", What: "--driver " + want,
			Why:  fmt.Sprintf("lab %s was made by the %s driver", s.lab.Name, s.record.Driver),
			Next: []string{"leave --driver out, or remove the lab first: dcalab destroy"}, Exit: trouble.ExitRefused,
		}
	}
	if provider && s.record.Provider != s.lab.Provider {
		return drivers.Kind{}, &trouble.Error{
			ID: "provider-differs", What: "--provider " + s.lab.Provider,
			Why:  fmt.Sprintf("lab %s was made by %s", s.lab.Name, s.MadeBy()),
			Next: []string{"leave --provider out, or remove the lab first: dcalab destroy"}, Exit: trouble.ExitRefused,
		}
	}
	return drivers.Find(s.record.Driver), nil
}

// settle chooses the driver, and of a lab that does not exist makes the record that
// it would have.
func (s *OnDisk) settle() error {
	kind, err := s.ChooseDriver()
	if err != nil || s.created {
		return err
	}
	provider := ""
	if kind.Provider != nil {
		provider = kind.Provider(s.settings.getenv, s.lab)
	}
	s.record = lab.NewRecord(s.lab, kind.Name, provider, time.Now())
	return nil
}

// OtherDriverAsked tells whether the settings name another driver than made the lab.
func (s *OnDisk) OtherDriverAsked() bool {
	_, asked := s.overrides["driver"]
	return asked && s.created && s.lab.Driver != lab.DriverAuto && s.lab.Driver != s.record.Driver
}

// AsIfNew makes the session one of a lab that does not exist, and that this
// driver would make: to look at the one driver where the other made the lab.
func (s *Session) AsIfNew(driver string) {
	s.created, s.record = false, lab.NewRecord(s.lab, driver, "", time.Now())
}

// UseDriver makes the driver that the record names the session's. After Open
// it is.
func (s *Session) UseDriver() (err error) {
	s.driver, err = s.newDriver()
	return err
}

func (s *Session) newDriver() (machine.Driver, error) {
	return drivers.Find(s.record.Driver).New(drivers.Config{
		Lab: s.lab, ID: s.record.ID, Provider: s.record.Provider, ProviderOrigin: s.overrides["provider"], State: s.state, Place: s.Place().Real(),
		Owner: s.owner, UID: uid(s.owner), Template: s.settings.Template, Getenv: s.settings.getenv, Log: s, ReadLog: readLog{s},
	})
}

// HostImager is the driver that has an image of its own. It is made for no lab.
func (set Settings) HostImager() (machine.HostImager, error) {
	return drivers.HostImager(drivers.Config{Lab: &lab.Lab{}, Owner: set.User, Getenv: set.getenv})
}
