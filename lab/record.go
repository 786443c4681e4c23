package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

// recordFormat is the version of lab.json that this dcalab writes, and the
// newest that it reads.
const recordFormat = 1

// Record is what a lab remembers from the day that it was created
// (.dcalab/<lab>/lab.json), whatever labs.yaml says later.
type Record struct {
	// Format of the file.
	Format int `json:"format"`
	// ID tells this lab's bridges, machines and cgroups from those of a lab
	// of the same name in another folder: 12 hexadecimal digits, by chance.
	ID  string `json:"id"`
	Lab string `json:"lab"`
	// Driver that created the lab: never auto.
	Driver string `json:"driver"`
	// Provider that Vagrant was told to use; empty for other drivers.
	Provider string `json:"provider,omitempty"`
	// Subnet that the lab was created in.
	Subnet  string    `json:"subnet"`
	Created time.Time `json:"created"`
	// Dissolved are the ids of swarms that the lab dissolved while a node was
	// down, which may come back into one of them; the latest last.
	Dissolved []string `json:"dissolved,omitempty"`
}

// maxDissolved bounds Record.Dissolved.
const maxDissolved = 16

// Dissolve notes that these swarms were dissolved.
func (r *Record) Dissolve(swarms ...string) {
	for _, id := range swarms {
		r.Dissolved = append(slices.DeleteFunc(slices.Clone(r.Dissolved), func(have string) bool { return have == id }), id)
	}
	r.Dissolved = r.Dissolved[max(0, len(r.Dissolved)-maxDissolved):]
}

// NewRecord makes the record of a lab that is about to be created, with an id
// of its own. driver and provider are what was chosen; labs.yaml may have left
// the choice open.
func NewRecord(l *Lab, driver, provider string, now time.Time) Record {
	return Record{
		Format:   recordFormat,
		ID:       randomHex(6),
		Lab:      l.Name,
		Driver:   driver,
		Provider: provider,
		Subnet:   l.Subnet.String(),
		Created:  now.UTC().Truncate(time.Second),
	}
}

var recordID = regexp.MustCompile(`^[0-9a-f]{12}$`)

// ReadRecord reads the lab's record. ok is false where there is none: the lab
// was never created, or was destroyed.
func (s *State) ReadRecord() (r Record, ok bool, err error) {
	data, err := s.ReadFile(recordFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, err
	}
	broken := func(id, why string, cause error, next ...string) (Record, bool, error) {
		return Record{}, false, &trouble.Error{
			ID:    id,
			Where: s.path(recordFile),
			What:  "the record of lab " + s.lab + " cannot be read",
			Why:   why,
			Next:  next,
			Err:   cause,
		}
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return broken("record-corrupt", err.Error(), err, "restore the file, or move it away: dcalab then takes the lab for one that was never created")
	}
	switch {
	case r.Format > recordFormat:
		return broken("record-newer", fmt.Sprintf("it has format %d, and this dcalab knows formats up to %d", r.Format, recordFormat), nil, "use the dcalab that created the lab, or a newer one")
	case r.Format < 1 || !recordID.MatchString(r.ID) || r.Driver == "":
		return broken("record-corrupt", "it lacks a format, an id or a driver", nil, "restore the file, or move it away: dcalab then takes the lab for one that was never created")
	}
	return r, true, nil
}

// WriteRecord puts the lab's record in place of the one before.
func (s *State) WriteRecord(r Record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the record of lab %s: %w", s.lab, err)
	}
	return s.WriteFile(recordFile, append(data, '\n'), 0o600)
}
