package web

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

// Actor does what a person would type: a command of dcalab, by its words after the
// program's name.
type Actor func(ctx context.Context, words []string) Done

// Done is what became of a command.
type Done struct {
	// Exit is its exit status, Text what it said.
	Exit int    `json:"exit"`
	Text string `json:"text"`
	// Question is what it has to ask before it does anything; the answer is --yes.
	Question string `json:"question,omitempty"`
}

// request is what a page asks for. Dry: what would be done. Yes answers the question.
type request struct {
	Words []string `json:"words"`
	Dry   bool     `json:"dry"`
	Yes   bool     `json:"yes"`
}

// reply is the answer: the command as one would type it, what became of it, and in a dry
// run the plain commands for the same.
type reply struct {
	Command string `json:"command"`
	Done
	Plain string `json:"plain,omitempty"`
}

// requestMax is more than any command takes, in bytes.
const requestMax = 4096

// observeFlag is the flag of break that also writes through all managers, and lasts until the
// swarm is whole.
const observeFlag = "--observe"

// scaleTimeout is how long docker may take to scale a service: it waits for an engine that
// is frozen.
const scaleTimeout = 30 * time.Second

// What a page may say: argument is one of a command of dcalab, with which no flag begins,
// named what a service, a task or a node may be called, replicas a number of tasks.
var (
	argument = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.,:%±+-]*$`)
	named    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)
	replicas = regexp.MustCompile(`^[0-9]{1,3}$`)
)

// Act lets pages act: what they may ask for is done by actor, one after the other, and one
// that observes beside them. ctx ends with the server, and what is under way with it, in
// order.
func (s *Server) Act(ctx context.Context, actor Actor) {
	s.guard.acts = true
	s.hub.offer(func(l *Lab) { l.Acts = true })
	s.mux.HandleFunc("POST /act", func(w http.ResponseWriter, r *http.Request) {
		var asked request
		if !read(w, r, &asked) {
			return
		}
		words, err := permitted(asked.Words, s.hub.leader())
		if err != nil { // an answer, and no mistake of the page's
			answer(w, reply{Command: strings.Join(asked.Words, " "), Done: Done{Exit: trouble.ExitUsage, Text: err.Error()}})
			return
		}
		if !asked.Dry && words[0] != "heal" { // which may be what another one waits for
			turn := s.turn
			if slices.Contains(words, observeFlag) { // it takes minutes, in which others act
				turn = s.watch
			}
			select {
			case turn <- struct{}{}:
				defer func() { <-turn }()
			default:
				http.Error(w, "another command is under way: wait until it has ended, or heal", http.StatusConflict)
				return
			}
		}
		answer(w, do(ctx, actor, s.hub.hint, words, asked))
	})
}

// read takes what a page asks for, or answers why not.
func read(w http.ResponseWriter, r *http.Request, asked any) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "JSON is wanted", http.StatusUnsupportedMediaType)
		return false
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, requestMax)).Decode(asked); err != nil {
		http.Error(w, "this is no request: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func do(ctx context.Context, actor Actor, hint func(string) string, words []string, asked request) reply {
	if words[0] == "ssh" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, scaleTimeout)
		defer cancel()
	}
	out := reply{Command: hint("dcalab " + strings.Join(words, " "))}
	with := func(flags ...string) []string { // before what belongs to a node's own shell
		at := slices.Index(words, "--")
		if at < 0 {
			at = len(words)
		}
		return slices.Concat(words[:at], flags, words[at:])
	}
	switch {
	case asked.Dry:
		words = slices.DeleteFunc(words, func(w string) bool { return w == observeFlag })
		out.Done = actor(ctx, with("--dry-run"))
		out.Plain = actor(ctx, with("--dry-run", "--explain")).Text
	case asked.Yes:
		out.Done = actor(ctx, with("--yes"))
	default:
		out.Done = actor(ctx, words)
	}
	return out
}

// permitted gives the words of a command that a page may ask for. It may power machines on
// and off, change a node's part in the swarm, break and heal, and scale a service; it may
// not destroy anything, and run nothing of its own.
func permitted(words []string, leader string) ([]string, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("no command was given")
	}
	flags := map[string]bool{}
	switch words[0] {
	case "halt", "start", "promote", "demote", "drain", "activate":
	case "heal":
		flags["--all"] = true
	case "break":
		flags["--for"], flags["--one-way"], flags["--to"], flags[observeFlag] = true, true, true, true
	case "scale":
		return scaling(words, leader)
	default:
		return nil, fmt.Errorf("dcalab %s is for a terminal: here are halt, start, promote, demote, drain, activate, break, heal and scale", words[0])
	}
	if len(words) == 1 {
		return nil, fmt.Errorf("dcalab %s of what? name a node", words[0])
	}
	for _, word := range words[1:] {
		if !argument.MatchString(word) && !flags[word] {
			return nil, fmt.Errorf("%q is for a terminal, or a mistake", word)
		}
	}
	return words, nil
}

// AsRoot checks the words that an Actor was given once more, for who does them as root: it
// must be a command that a page may ask for, which may need root, and have no flag of its
// own but --yes. What it refuses needs no root.
func AsRoot(words []string) error {
	if n := len(words); n > 0 && words[n-1] == "--yes" {
		words = words[:n-1]
	}
	if _, err := permitted(words, ""); err != nil {
		return err
	}
	switch {
	case words[0] == "halt", words[0] == "start", words[0] == "heal", words[0] == "break" && words[1] == "kill":
		return nil
	}
	return fmt.Errorf("dcalab %s needs no root", strings.Join(words, " "))
}

// scaling is docker's own command, on a manager.
func scaling(words []string, leader string) ([]string, error) {
	if len(words) != 3 || !named.MatchString(words[1]) || !replicas.MatchString(words[2]) {
		return nil, fmt.Errorf("scale takes a service by its name, and how many tasks it is to have, up to 999: scale web 3")
	}
	if leader == "" {
		return nil, fmt.Errorf("nobody leads: a service cannot be scaled")
	}
	return []string{"ssh", leader, "--", "docker", "service", "scale", "--detach", words[1] + "=" + words[2]}, nil
}
