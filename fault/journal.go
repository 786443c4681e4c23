package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

const (
	journalFile   = "faults.json"
	journalFormat = 1
)

// Journal is the faults of a lab, in its state folder. Who writes it holds the
// lab's lock.
type Journal struct {
	Format int `json:"format"`
	// Last is the number of the id that was given last.
	Last   int     `json:"last"`
	Faults []Fault `json:"faults"`
}

// JournalChanged tells whether a lab's journal is another one than at the last look, with
// what was seen then; nil before the first.
func JournalChanged(s *lab.State, seen fs.FileInfo) (is fs.FileInfo, changed bool) {
	is, err := os.Lstat(filepath.Join(s.Dir(), journalFile))
	if err != nil {
		return nil, seen != nil || !errors.Is(err, fs.ErrNotExist)
	}
	return is, seen == nil || !os.SameFile(is, seen) || is.ModTime() != seen.ModTime() || is.Size() != seen.Size()
}

// JournalChanges gives a sign when a lab's journal may be another one, as State.Changes does.
func JournalChanges(ctx context.Context, s *lab.State) <-chan struct{} {
	return s.Changes(ctx, journalFile, 50*time.Millisecond, time.Second)
}

// ReadJournal reads a lab's journal; one that is absent is empty.
func ReadJournal(s *lab.State) (Journal, error) {
	data, err := s.ReadFile(journalFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Journal{Format: journalFormat}, nil
	}
	if err != nil {
		return Journal{}, err
	}
	var j Journal
	if err := json.Unmarshal(data, &j); err != nil || j.Format != journalFormat {
		return Journal{}, &trouble.Error{
			ID: "faults-unreadable", Where: s.Dir() + "/" + journalFile, What: "the lab's list of faults cannot be read",
			Why:  "it is damaged, or of another dcalab",
			Next: []string{"heal whatever there is on the nodes, and begin a new list: dcalab heal --all"}, Err: err,
		}
	}
	return j, nil
}

// Write puts the journal onto the disk, and returns when it is there.
func (j Journal) Write(s *lab.State) error {
	j.Format = journalFormat
	if j.Faults == nil {
		j.Faults = []Fault{}
	}
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return fmt.Errorf("write the list of faults: %w", err)
	}
	return s.WriteFile(journalFile, append(data, '\n'), 0o600)
}

// Now are the faults whose time is not over.
func (j Journal) Now(now time.Time) []Fault {
	return slices.DeleteFunc(slices.Clone(j.Faults), func(f Fault) bool { return f.Over(now) })
}

// NextID is the id that Begin gives a fault.
func (j Journal) NextID(f Fault) string {
	if at := slices.IndexFunc(j.Faults, f.Same); at >= 0 {
		return j.Faults[at].ID
	}
	return idOf(j.Last + 1)
}

func idOf(n int) string { return "f" + strconv.Itoa(n) }

// Get gives the fault of an id. known is false where there never was one; a fault
// that is healed has no ID any more.
func (j Journal) Get(id string) (f Fault, known bool) {
	for _, f := range j.Faults {
		if f.ID == id {
			return f, true
		}
	}
	for n := 1; n <= j.Last; n++ {
		if idOf(n) == id {
			return Fault{}, true
		}
	}
	return Fault{}, false
}

// Begin enters a fault that is about to be applied, under its NextID. again tells
// that it is there already; its end is the new one then.
func (j *Journal) Begin(f Fault) (_ Fault, again bool) {
	f.ID = j.NextID(f)
	if at := slices.IndexFunc(j.Faults, f.Same); at >= 0 {
		f.Begun, f.Active, f.Applied = j.Faults[at].Begun, j.Faults[at].Active, j.Faults[at].Applied
		if f.JitterMS > 0 {
			f.Seed = j.Faults[at].Seed // what is drawn goes on as it is
		}
		j.Faults[at] = f
		return f, true
	}
	j.Last++
	j.Faults = append(j.Faults, f)
	return f, false
}

// Applied marks a fault that was seen on its nodes, on the first of them at a time.
func (j *Journal) Applied(id string, at time.Time) {
	for i := range j.Faults {
		if f := &j.Faults[i]; f.ID == id {
			f.Active = true
			if f.Applied == nil {
				f.Applied = &at
			}
		}
	}
}

// Healed takes faults out.
func (j *Journal) Healed(ids ...string) {
	j.Faults = slices.DeleteFunc(j.Faults, func(f Fault) bool { return slices.Contains(ids, f.ID) })
}

// On takes note that these machines have been started: they have power.
func (j *Journal) On(nodes ...string) {
	j.without(nodes, func(f Fault) bool { return f.Power() })
}

// Off takes note that these machines have been powered off, or removed: what was broken
// on them is gone.
func (j *Journal) Off(nodes ...string) {
	j.without(nodes, func(Fault) bool { return true })
}

// Lost takes note that these machines have lost their power in another way: they boot
// without what was broken on them.
func (j *Journal) Lost(nodes ...string) {
	j.without(nodes, func(f Fault) bool { return !f.Power() })
}

// Keep keeps those of a fault's nodes for which kept tells so.
func (j *Journal) Keep(kept func(f Fault, node string) bool) {
	for i, f := range j.Faults {
		gone := func(name string) bool { return slices.Contains(f.On, name) && !kept(f, name) }
		j.Faults[i].On = slices.DeleteFunc(slices.Clone(f.On), gone)
		if !f.Network() {
			j.Faults[i].Nodes = slices.DeleteFunc(slices.Clone(f.Nodes), gone)
		}
	}
	j.Faults = slices.DeleteFunc(j.Faults, func(f Fault) bool { return len(f.On) == 0 })
}

func (j *Journal) without(nodes []string, of func(Fault) bool) {
	j.Keep(func(f Fault, node string) bool { return !of(f) || !slices.Contains(nodes, node) })
}
