package web

import (
	"bufio"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/observe"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/timeline"
)

// sentenceTable is ui/sentences.json: patterns, and what each comes to, by list.
type sentenceTable struct {
	lists map[string][][2]string
	rules map[string]*regexp.Regexp
	used  map[string]bool // patterns, once one was
}

func readSentences(t *testing.T) *sentenceTable {
	t.Helper()
	text, err := os.ReadFile("ui/sentences.json")
	if err != nil {
		t.Fatal(err)
	}
	s := &sentenceTable{rules: map[string]*regexp.Regexp{}, used: map[string]bool{}}
	if err := json.Unmarshal(text, &s.lists); err != nil {
		t.Fatal(err)
	}
	for name, list := range s.lists {
		for _, rule := range list {
			key := name + " " + rule[0]
			if s.rules[key] != nil || !strings.HasPrefix(rule[0], "^") || !strings.HasSuffix(rule[0], "$") {
				t.Errorf("%s: it is there twice, or is not of a whole sentence", key)
			}
			s.rules[key] = regexp.MustCompile(rule[0])
		}
	}
	return s
}

// translate is the page's own (ui/sentences.ts), in Go.
func (s *sentenceTable) translate(sentence, list string) string {
	holder := regexp.MustCompile(`\{(\d)(?::([a-z]+))?\}`)
	for _, rule := range s.lists[list] {
		key := list + " " + rule[0]
		found := s.rules[key].FindStringSubmatch(sentence)
		if found == nil {
			continue
		}
		s.used[key] = true
		return holder.ReplaceAllStringFunc(rule[1], func(hole string) string {
			of := holder.FindStringSubmatch(hole)
			n, _ := strconv.Atoi(of[1])
			if of[2] == "" {
				return found[n]
			}
			return s.translate(found[n], of[2])
		})
	}
	return sentence
}

// TestSentences: everything that the timeline and observe say has its Portuguese, no
// pattern is for nothing, and what nobody knows stays as it is.
func TestSentences(t *testing.T) {
	s := readSentences(t)
	said := slices.Concat(eventSentences(t), milestoneSentences(), ruleSentences(t), stepSentences(t), []string{
		"this kernel has no ip_vs, so the routing mesh does not answer; publish with mode=host", // report.MeshMissing
	})
	for _, sentence := range said {
		if s.translate(sentence, "sentence") == sentence {
			t.Errorf("there is no Portuguese for %q", sentence)
		}
	}
	for key := range s.rules {
		if !s.used[key] {
			t.Errorf("nothing that is said is as %s", key)
		}
	}
	for _, verbatim := range []string{
		"", "4", "isolate m1 (hears nobody)", "sudo asks for a password", "power off m1", "make a new root CA, and new certificates for all nodes", "it stopped",
		"a line\nof two", "task a b: running", "term x, no vote yet; committed 1, last entry 1", "<b>it is over</b>",
	} {
		if got := s.translate(verbatim, "sentence"); got != verbatim {
			t.Errorf("%q became %q", verbatim, got)
		}
	}
	inStep(t, said)
}

// TestTranslations compares some as a whole.
func TestTranslations(t *testing.T) {
	s := readSentences(t)
	for said, want := range map[string]string{
		"leads in term 12, with the votes of m2, m3; m1 still has term 11, m4 still has term 10":  "lidera no termo 12, com os votos de m2, m3; m1 ainda tem o termo 11, m4 ainda tem o termo 10",
		"the swarm is whole again, 33.6 s after it was healed":                                    "o swarm está inteiro de novo, 33,6 s depois de desfeita a falha",
		"writes through it are not accepted: no answer for 2 s":                                   "gravações por ele não são aceitas: sem resposta há 2 s",
		"writes through it are not accepted: config update: raft: node lost leader status":        "gravações por ele não são aceitas: config update: raft: node lost leader status",
		"task web.2: failed, on w1, to be shut down, task: non-zero exit (1), on w2":              "task web.2: failed, em w1, a ser encerrada, task: non-zero exit (1), on w2",
		"node m2: ready, manager, to be worker, active, Heartbeat failure, to be sure":            "nó m2: ready, manager, a ser worker, active, Heartbeat failure, to be sure",
		"service web: 3 replicas, publishes 8080->80/tcp, 53/udp (host), update rollback started": "serviço web: 3 réplicas, publica 8080->80/tcp, 53/udp (host), atualização: rollback started",
		"term 4, votes for m2; committed 118, last entry 120":                                     "termo 4, vota em m2; commit 118, última entrada 120",
		"swarm certificate until 2027-02-25 10:26 UTC":                                            "certificado do swarm até 25/02/2027 10:26 UTC",
		"f4 broken: partition m1 | m2, m3":                                                        "falha f4 causada: partition m1 | m2, m3",
	} {
		if got := s.translate(said, "sentence"); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}

// eventSentences are the timeline's, made by its own code.
func eventSentences(t *testing.T) []string {
	t.Helper()
	var events []timeline.Event
	add := func(all ...timeline.Event) { events = append(events, all...) }
	for _, is := range []machine.Status{machine.StatusRunning, machine.StatusHalted, machine.StatusAbsent} {
		add(timeline.Event{Kind: timeline.KindMachine, Machine: is})
	}
	add(timeline.Event{Kind: timeline.KindMachine, Machine: machine.StatusUnknown, Text: "vagrant does not answer"},
		timeline.Event{Kind: timeline.KindEngine, Engine: "up"}, timeline.Event{Kind: timeline.KindEngine, Engine: "up", Text: "Docker 20.10.24"},
		timeline.Event{Kind: timeline.KindEngine, Engine: "down"}, timeline.Event{Kind: timeline.KindEngine, Engine: "hangs"},
		timeline.Event{Kind: timeline.KindCertificate, Until: time.Date(2027, 2, 25, 10, 26, 0, 0, time.UTC)}, timeline.Event{Kind: timeline.KindCertificate},
		timeline.Event{Kind: timeline.KindStarted, Text: "nginx"}, timeline.Event{Kind: timeline.KindEnded, Text: "nginx ended, exit status 137"}, timeline.Event{Kind: timeline.KindEnded, Text: "nginx is out of memory"},
		timeline.Event{Kind: timeline.KindBroken, Fault: "f1", Text: "isolate m1"}, timeline.Event{Kind: timeline.KindHealed, Fault: "f1", Text: "isolate m1"},
		timeline.Event{Kind: timeline.KindWritable}, timeline.Event{Kind: timeline.KindLeft},
		timeline.Event{Kind: timeline.KindLeader, Raft: &timeline.Raft{Term: 4}})
	for _, why := range []string{
		"no answer for 2 s", "the swarm has no leader", "not a manager", "not part of a swarm", "the swarm is locked on this node", "the node's swarm certificate has expired",
		"the manager is being prepared or has trouble connecting to the swarm", "what an engine says",
	} {
		add(timeline.Event{Kind: timeline.KindUnwritable, Text: why})
	}
	for _, vote := range []string{"", "m1", "m2"} {
		add(timeline.Event{Node: "m1", Kind: timeline.KindTerm, Raft: &timeline.Raft{Term: 2, Vote: vote, Commit: 8, LastIndex: 9}})
	}
	add(changeEvents()...)
	for _, text := range []string{ // of listen.go, in Text
		"listening begins", "watched again; what it changed since 15:04:05 may be missing", "locked: its manager waits for the unlock key", "unlocked",
		"autolock is on", "autolock is off", "the root CA is being replaced", "the root CA was replaced",
	} {
		add(timeline.Event{Kind: timeline.KindNote, Text: text})
	}
	var out []string
	for _, e := range events {
		if c := e.Change; c != nil && c.Kind == raft.KindTask && c.Action == raft.ActionUpdate && c.Node == "" && (c.Desired == "running" || c.Desired == "") {
			continue // nothing in it but the swarm's own words
		}
		out = append(out, e.Words())
	}
	return append(out, recorded(t)...)
}

// changeEvents are changes of each kind, with all that may be told of one, or nothing.
func changeEvents() []timeline.Event {
	one, three := uint64(1), uint64(3)
	ports := []raft.Port{{Protocol: "tcp", Target: 80, Published: 8080}, {Protocol: "udp", Target: 53, Host: true}}
	objects := []raft.Object{
		{Kind: raft.KindNode, Name: "m2"},
		{Kind: raft.KindNode, Name: "m2", State: "ready", Role: "manager", Desired: "worker", Availability: "drain", Message: "Heartbeat failure"},
		{Kind: raft.KindService, Name: "web"},
		{Kind: raft.KindService, Name: "web", Replicas: &one},
		{Kind: raft.KindService, Name: "web", Replicas: &three, Ports: ports, State: "rollback_completed"},
		{Kind: raft.KindService, Name: "web", Ports: ports[:1]},
		{Kind: raft.KindService, Name: "web", State: "updating"},
		{Kind: raft.KindNetwork, Name: "net"},
		{Kind: raft.KindTask, Name: "web.1"},
	}
	for _, desired := range []string{"running", "shutdown", "remove"} {
		for _, on := range []string{"", "w1"} {
			for _, message := range []string{"", "task: non-zero exit (1)"} {
				objects = append(objects, raft.Object{Kind: raft.KindTask, Name: "web.1", State: "running", Desired: desired, Node: on, Message: message})
			}
		}
	}
	var out []timeline.Event
	for _, o := range objects {
		for _, action := range []raft.Action{raft.ActionCreate, raft.ActionUpdate, raft.ActionRemove} {
			out = append(out, timeline.Event{Source: timeline.SourceSwarm, Kind: timeline.KindChange, Change: &timeline.Change{Action: action, Object: o}})
		}
	}
	return out
}

// recorded is what was said in a real lab, but for what is of commands.
func recorded(t *testing.T) []string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "observe", "testdata", "partition.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	observer := observe.Newest("x")
	var out []string
	for in := bufio.NewScanner(f); in.Scan(); {
		var e timeline.Event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		for _, m := range observer.Add(e) {
			if m.ID != observe.Broken { // it is the fault's own words
				out = append(out, m.Text)
			}
		}
		if own := e.Change != nil && e.Change.Kind == raft.KindTask; !own && e.Source != timeline.SourceCommand {
			out = append(out, e.Words())
		}
	}
	return out
}

// milestoneSentences are those of observer.go, managers.go and load.go.
func milestoneSentences() []string {
	return []string{
		"the swarm is whole again", "the swarm is whole again, 33.6 s after it was healed", "f4 is over: partition m1 | m2, m3",
		"its machine runs", "its machine is halted", "its machine is absent", "its machine is unknown",
		"stands for election in term 12", "votes for m3 in term 12",
		"leads in term 12, with the votes of m2, m3", "leads in term 12, with the votes of m2, m3; m1 still has term 11, m4 still has term 10",
		"has what the leader has: term 15, committed 763", "is Down for the swarm", "all nodes are Ready again, the last w1",
		"tasks on it are given up", "1 task run anew, the last on w1", "3 tasks run anew, the last on w2",
		"the first write is accepted; none was for 15.1 s", "writes through it are accepted again, after 15.9 s", "writes through it are not accepted: no answer for 2 s",
		"containers of dcalab-load that run there: 3", "its containers cannot be counted: it cannot be connected to", "its containers cannot be counted: the engine does not answer",
	}
}

// ruleSentences are why milestones take as long.
func ruleSentences(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, text := range literals(t, "../observe/observe.go", "Rule") {
		if strings.Contains(text, " ") {
			out = append(out, text)
		}
	}
	if len(out) < 10 {
		t.Errorf("only %d rules were found", len(out))
	}
	return out
}

// stepSentences are what commands that a page may run say most.
func stepSentences(t *testing.T) []string {
	t.Helper()
	var out []string
	for file, texts := range map[string][]string{
		"machine/sandbox/driver_linux.go":   {"cutting its power", "stopping", "booting", "waiting for sshd"},
		"session/lifecycle/break.go":        {"without power", "breaking"},
		"session/lifecycle/faults.go":       {"healing", "healed"},
		"session/lifecycle/heal.go":         {"waiting for the swarm", "the nodes are in no swarm"},
		"session/lifecycle/halt.go":         {"halted", "was not running"},
		"session/lifecycle/power.go":        {"connecting"},
		"session/lifecycle/startandwait.go": {"starting the lab", "started", "started, in no swarm"},
		"swarm/step_promote.go":             {"promote to manager"},
		"swarm/step_demote.go":              {"demote to worker"},
		"swarm/step_drain.go":               {"wait until no task of a service is left on it"},
		"swarm/step_await_leader.go":        {"wait until the managers have elected a leader"},
	} {
		source, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if !strings.Contains(string(source), strconv.Quote(text)) {
				t.Errorf("%s does not say %q any more", file, text)
			}
		}
		out = append(out, texts...)
	}
	out = append(out, "set availability drain")
	costs := []string{
		"the leader m2 is cut off from the majority: the others elect a new one, which takes 10 to 20 s",
		"the quorum will be lost: at most 1 of 3 managers stay connected, and the majority is 2; services run on, and nothing can be changed",
		"managers wait 2s for an answer, and those of m3 to the leader m2 take longer: they count as unreachable",
		"managers wait 2s for an answer, and those of m1, m3 to the leader m2 take longer: it keeps the lead, and nothing can be changed",
	}
	holdsAll(t, "../fault/quorum.go", "Words", costs)
	return append(out, costs...)
}

// inStep holds that what is said here is all that the code says: each text of it with a
// space is in a sentence.
func inStep(t *testing.T, said []string) {
	t.Helper()
	for file, not := range map[string][]string{
		"../timeline/event.go":   nil,
		"../timeline/listen.go":  nil,
		"../timeline/stock.go":   nil,
		"../observe/observer.go": {"Missing", "unready"}, // which no page tells
		"../observe/managers.go": nil,
		"../observe/load.go":     {"load"}, // a command's steps
	} {
		holdsAll(t, file, "", said, not...)
	}
}

// holdsAll holds that each text of a file's functions is in one of the sentences.
func holdsAll(t *testing.T, file, only string, said []string, not ...string) {
	t.Helper()
	all := strings.Join(said, "\n")
	verb := regexp.MustCompile(`%[-+.0-9]*[a-z]`)
	for _, text := range literals(t, file, only, not...) {
		var parts []string
		for _, part := range verb.Split(text, -1) {
			parts = append(parts, regexp.QuoteMeta(part))
		}
		if !regexp.MustCompile(strings.Join(parts, ".*")).MatchString(all) {
			t.Errorf("%s: the list here has no sentence with %q", file, text)
		}
	}
}

// literals are the texts with a space or a verb in a file's functions: of one, or of all but some.
func literals(t *testing.T, file, only string, not ...string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || only != "" && f.Name.Name != only || slices.Contains(not, f.Name.Name) {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && strings.TrimSpace(text) != "" && strings.Contains(text, " ") && !strings.HasPrefix(text, "2006") {
					out = append(out, text)
				}
			}
			return true
		})
	}
	return out
}
