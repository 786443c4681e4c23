package prove

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

// Counts are how many operations ended how.
type Counts struct {
	// Reads that were answered, and ReadsFailed those that were not.
	Reads       int `json:"reads" yaml:"reads"`
	ReadsFailed int `json:"reads_failed" yaml:"reads_failed"`
	// Writes, by their outcome.
	Acknowledged int `json:"acknowledged" yaml:"acknowledged"`
	Refused      int `json:"refused" yaml:"refused"`
	Failed       int `json:"failed" yaml:"failed"`
	Unknown      int `json:"unknown" yaml:"unknown"`
}

// Tally counts operations.
func Tally(ops []Operation) Counts {
	var c Counts
	for _, o := range ops {
		switch {
		case o.Kind == Read && o.Outcome == OK:
			c.Reads++
		case o.Kind == Read:
			c.ReadsFailed++
		case o.Outcome == OK:
			c.Acknowledged++
		case o.Outcome == Refused:
			c.Refused++
		case o.Outcome == Failed:
			c.Failed++
		default:
			c.Unknown++
		}
	}
	return c
}

// Report is a run and its verdict, as `dcalab prove -o json` prints it. Its keys are a
// promise. Times are seconds since the run's beginning.
type Report struct {
	Lab  string `json:"lab" yaml:"lab"`
	Seed uint64 `json:"seed" yaml:"seed"`
	// Began is in RFC 3339.
	Began    time.Time `json:"began" yaml:"began"`
	Seconds  float64   `json:"seconds" yaml:"seconds"`
	Managers []Manager `json:"managers" yaml:"managers"`
	Objects  []string  `json:"objects" yaml:"objects"`
	Faults   []Band    `json:"faults" yaml:"faults"`
	// Elections are those that managers won meanwhile.
	Elections []Won `json:"elections" yaml:"elections"`
	// Missed are faults that could not be applied, and why.
	Missed []string `json:"missed" yaml:"missed"`
	// State is kept, violated or undecided; Sentence says it.
	State    State  `json:"state" yaml:"state"`
	Sentence string `json:"sentence" yaml:"sentence"`
	Counts   `yaml:",inline"`
	// Found are acknowledged writes that are there in the end, and Lost those that are not.
	Found int       `json:"found" yaml:"found"`
	Lost  []Example `json:"lost" yaml:"lost"`
	// Unstored are reads of what was never stored.
	Unstored []Example `json:"unstored" yaml:"unstored"`
	// Writes is whether the writes alone are linearizable, and All whether all operations
	// are: "linearizable", "not linearizable" or "undecided".
	Writes Answer `json:"writes" yaml:"writes"`
	All    Answer `json:"all" yaml:"all"`
	// Stale reads, of which Oldest is the one that was out of date for the longest time,
	// OldestSeconds; null where there is none.
	Stale         int      `json:"stale" yaml:"stale"`
	Oldest        *Example `json:"oldest" yaml:"oldest"`
	OldestSeconds float64  `json:"oldest_seconds" yaml:"oldest_seconds"`
	ReadSentence  string   `json:"read_sentence" yaml:"read_sentence"`
	// Agree: in the end all managers told the same of every object.
	Agree bool `json:"agree" yaml:"agree"`

	stale []StaleRead // for the picture
}

// Manager is what was done through one.
type Manager struct {
	Name   string `json:"name" yaml:"name"`
	Counts `yaml:",inline"`
	Stale  int `json:"stale" yaml:"stale"`
}

// Band is a fault of a run.
type Band struct {
	ID    string   `json:"id" yaml:"id"`
	Asked string   `json:"asked" yaml:"asked"`
	Words string   `json:"words" yaml:"words"`
	On    []string `json:"on" yaml:"on"`
	From  float64  `json:"from" yaml:"from"`
	To    float64  `json:"to" yaml:"to"`
}

// Won is an election.
type Won struct {
	At     float64 `json:"at" yaml:"at"`
	Leader string  `json:"leader" yaml:"leader"`
	Term   uint64  `json:"term" yaml:"term"`
}

// Example is an operation, for who wants to see one.
type Example struct {
	Client  int     `json:"client" yaml:"client"`
	Manager string  `json:"manager" yaml:"manager"`
	Object  string  `json:"object" yaml:"object"`
	Value   string  `json:"value" yaml:"value"`
	Call    float64 `json:"call" yaml:"call"`
	Return  float64 `json:"return" yaml:"return"`
}

// examples is how many of each kind a report has.
const examples = 20

func exampleOf(o Operation) Example {
	return Example{o.Client, o.Manager, o.Object, o.Value, seconds(o.Call), seconds(o.Return)}
}

func examplesOf(ops []Operation) []Example {
	out := []Example{}
	for _, o := range ops[:min(len(ops), examples)] {
		out = append(out, exampleOf(o))
	}
	return out
}

// seconds are to the millisecond.
func seconds(d time.Duration) float64 { return math.Round(float64(d)/float64(time.Millisecond)) / 1000 }

// NewReport judges a run.
func NewReport(lab string, seed uint64, r Ran) Report {
	return reportOf(lab, seed, r, Judge(r.History, searchTimeout))
}

func reportOf(lab string, seed uint64, r Ran, v Verdict) Report {
	out := Report{
		Lab: lab, Seed: seed, Began: r.Began, Seconds: seconds(r.Took), Managers: []Manager{}, Objects: r.Objects, Faults: []Band{}, Elections: []Won{}, Missed: append([]string{}, r.Missed...),
		State: v.State, Sentence: v.Sentence(), Counts: Tally(r.Operations), Found: v.Found, Lost: examplesOf(v.Lost), Unstored: examplesOf(v.Unstored),
		Writes: v.Writes, All: v.All, Stale: len(v.Stale), ReadSentence: v.ReadSentence(), Agree: len(v.Unread) == 0, stale: v.Stale,
	}
	if len(v.Stale) > 0 {
		oldest := exampleOf(v.Stale[0].Operation)
		out.Oldest, out.OldestSeconds = &oldest, seconds(v.Stale[0].Age)
	}
	for _, name := range r.Managers {
		m := Manager{Name: name, Counts: Tally(slices.DeleteFunc(slices.Clone(r.Operations), func(o Operation) bool { return o.Manager != name }))}
		for _, s := range v.Stale {
			if s.Manager == name {
				m.Stale++
			}
		}
		out.Managers = append(out.Managers, m)
	}
	for _, f := range r.Faults {
		out.Faults = append(out.Faults, Band{f.ID, f.Asked, f.Words(), append([]string{}, f.On...), seconds(f.From), seconds(f.To)})
	}
	for _, e := range r.Elections {
		out.Elections = append(out.Elections, Won{seconds(e.At), e.Leader, e.Term})
	}
	if len(r.Faults) == 0 && len(r.Missed) > 0 && out.State == Kept {
		out.State, out.Sentence = Undecided, out.Sentence+" But no fault could be applied, so this says nothing of one."
	}
	for _, views := range r.Views {
		told := ""
		for _, value := range views {
			out.Agree = out.Agree && (told == "" || told == value)
			told = value
		}
		out.Agree = out.Agree && len(views) == len(r.Managers)
	}
	return out
}

// Write says it in words.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.Sentence + "\n")
	for _, line := range r.Lines() {
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Lines are what there is to say beside the sentence.
func (r Report) Lines() []string {
	lines := []string{r.ReadSentence}
	switch {
	case len(r.Faults) == 0:
		lines = append(lines, "Nothing was broken meanwhile.")
	case len(r.Faults) == 1:
		lines = append(lines, "Meanwhile: "+r.Faults[0].Words+".")
	default:
		var words []string
		for _, f := range r.Faults {
			words = append(words, f.Words)
		}
		lines = append(lines, "Meanwhile: "+strings.Join(words, "; ")+".")
	}
	if len(r.Elections) > 0 {
		var won []string
		for _, e := range r.Elections {
			won = append(won, fmt.Sprintf("%s in term %d after %.1f s", e.Leader, e.Term, e.At))
		}
		lines = append(lines, "Elected: "+strings.Join(won, "; ")+".")
	}
	lines = append(lines, fmt.Sprintf("Of %s %d were acknowledged, %d refused because another was faster, %d failed, %d had no answer; of %s %d were answered.",
		trouble.Count(r.Acknowledged+r.Refused+r.Failed+r.Unknown, "write"), r.Acknowledged, r.Refused, r.Failed, r.Unknown,
		trouble.Count(r.Reads+r.ReadsFailed, "read"), r.Reads))
	if r.Agree {
		lines = append(lines, "In the end all managers tell the same.")
	} else {
		lines = append(lines, "In the end managers did not all tell the same, or not all told something.")
	}
	return lines
}

// Trouble is the error that a verdict other than Kept is.
func (r Report) Trouble() error {
	switch r.State {
	case Violated:
		return &trouble.Error{
			ID: "prove-violated", What: "dcalab prove", Why: r.Sentence, Exit: trouble.ExitUnfinished,
			Next: []string{fmt.Sprintf("the same faults again, with a picture: --report prove.html --seed %d", r.Seed), "what the managers say: dcalab logs --bundle lab.tar.gz"},
		}
	case Undecided:
		return &trouble.Error{
			ID: "prove-undecided", What: "dcalab prove", Why: r.Sentence, Exit: trouble.ExitUnfinished,
			Next: []string{"look at the lab: dcalab status", fmt.Sprintf("once more, with the same faults: --seed %d", r.Seed)},
		}
	case Kept:
	}
	return nil
}
