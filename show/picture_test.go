package show

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session/report"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/swarm/raft"
	"github.com/dcalab/dcalab/timeline"
	"github.com/dcalab/dcalab/ui"
)

func TestTaskCount(t *testing.T) {
	running := engine.Task{State: "running", Desired: "running"}
	for _, tt := range []struct {
		name  string
		tasks []engine.Task
		told  bool
		want  string
	}{
		{"nobody tells", nil, false, "-"},
		{"none", nil, true, "0"},
		{"two", []engine.Task{running, running}, true, "2"},
		{"one starts", []engine.Task{running, {State: "preparing", Desired: "running"}}, true, "1/2"},
		{"ended ones do not count", []engine.Task{running, {State: "failed", Desired: "shutdown"}}, true, "1"},
		{"one is to go, and its node is silent", []engine.Task{{State: "running", Desired: "shutdown"}}, true, "1/0"},
	} {
		if got := taskCount(tt.tasks, tt.told); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPictureOfALab(t *testing.T) {
	r := report.Status{Lab: "dca", Driver: "sandbox", Quorum: swarm.QuorumOf(1, 1), Warnings: []string{"take care"}, Nodes: []report.Node{
		{Name: "master", Hostname: "master.docker-dca.example", IP: "10.20.20.100", Machine: machine.StatusRunning, Engine: "29.1",
			Swarm: report.Membership{State: swarm.StateMember, ID: "id1", Role: lab.RoleManager, Leader: true, Reachability: "reachable", Availability: "active", Status: "ready"}},
		{Name: "node01", IP: "10.20.20.110", Machine: machine.StatusHalted, Error: "its machine is halted", Swarm: report.Membership{State: swarm.StateUnreachable}},
	}}
	v := swarm.View{
		Leader: "master", Quorum: r.Quorum, Swarms: []swarm.SwarmMembers{{Cluster: "c"}},
		Nodes: []swarm.NodeView{{Name: "master", State: swarm.StateMember, Labels: map[string]string{"zone": "north", "disk": "ssd"}}, {Name: "node01", Err: errors.New("halted")}},
	}
	tasks := []engine.Task{
		{NodeID: "id1", Name: "web.2", State: "failed", Desired: "shutdown"},
		{NodeID: "id1", Name: "web.1", State: "running", Desired: "running"},
		{NodeID: "", Name: "web.3", State: "pending", Desired: "running"},
	}
	r.View = v
	same := func(s string) string { return s }
	p := picture(report.Picture{Status: r, Tasks: tasks, Told: true}, same, time.Now())
	if want := []string{"master", "running", "manager (Leader)", "Active", "Ready", "1", "29.1", "10.20.20.100"}; !reflect.DeepEqual(p.Rows[0].Cells, want) {
		t.Errorf("got %q", p.Rows[0].Cells)
	}
	if want := []string{"node01", "halted", "-", "-", "-", "-", "-", "10.20.20.110"}; !reflect.DeepEqual(p.Rows[1].Cells, want) {
		t.Errorf("got %q", p.Rows[1].Cells)
	}
	for i := range p.Rows {
		if len(p.Rows[i].Cells) != len(p.Columns) {
			t.Errorf("%d cells under %d titles", len(p.Rows[i].Cells), len(p.Columns))
		}
	}
	if want := [][]string{{"web.1", "running", "running"}, {"web.2", "failed", "shutdown"}}; !reflect.DeepEqual(p.Rows[0].Details[1].Rows, want) {
		t.Errorf("tasks: %q", p.Rows[0].Details[1].Rows)
	}
	about := map[string]string{}
	for _, pair := range p.Rows[0].Details[0].Rows {
		about[pair[0]] = pair[1]
	}
	if about["labels"] != "disk=ssd zone=north" || about["error"] != "-" || about["id"] != "id1" {
		t.Errorf("got %q", about)
	}
	if p.Facts[0].Value != "master" || p.Meter == nil || p.Meter.Of != 1 || p.Meter.Lost || strings.Contains(p.Meter.Text, "\n") {
		t.Errorf("got %+v, %+v", p.Facts, p.Meter)
	}
	if !reflect.DeepEqual(p.Warnings, r.Warnings) {
		t.Errorf("got %q", p.Warnings)
	}

	// An election: as many answer as are needed, and nobody leads.
	r.View.Leader, r.Quorum = "", swarm.Quorum{Managers: 3, Reachable: 2, Majority: 2}
	p = picture(report.Picture{Status: r}, same, time.Now())
	if p.Facts[0].Value != "none" || !p.Meter.Lost || p.Rows[0].Cells[5] != "-" {
		t.Errorf("got %+v, %+v, %q", p.Facts, p.Meter, p.Rows[0].Cells)
	}
	// No swarm: no leader to speak of.
	p = picture(report.Picture{Status: report.Status{Lab: "dca"}}, same, time.Now())
	if p.Meter != nil || len(p.Facts) != 1 || p.Facts[0].Label != "swarm" {
		t.Errorf("got %+v, %+v", p.Facts, p.Meter)
	}
}

// What the timeline tells is beside what was asked for: the election, the logs, and what
// has happened since the view began.
func TestPictureOfAnElection(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(1_800_000_000+int64(second), 0) }
	raftIs := func(second int, kind timeline.Kind, node string, term uint64, vote string, last uint64) timeline.Event {
		return timeline.Event{Time: at(second), Source: timeline.SourceRaft, Kind: kind, Node: node, Raft: &timeline.Raft{Term: term, Vote: vote, Commit: last - 1, LastIndex: last}}
	}
	task := timeline.Event{Time: at(8), Source: timeline.SourceSwarm, Kind: timeline.KindChange, Node: "m2", Change: &timeline.Change{
		Version: 9, Action: raft.ActionUpdate, On: "w1", Object: raft.Object{Kind: raft.KindTask, ID: "t", Name: "web.1", State: "running"},
	}}
	var now timeline.Present
	show := func(r report.Status) ui.Picture {
		p := picture(report.Picture{Status: r}, func(s string) string { return s }, at(20))
		addPresent(&p, &now, r, at(5))
		return p
	}
	q := report.Status{Lab: "dca", Quorum: swarm.QuorumOf(3, 3), View: swarm.View{Leader: "m1", Cluster: "c", Quorum: swarm.QuorumOf(3, 3)}}
	if p := show(q); len(p.Facts) != 1 || p.Tables != nil || p.News != nil {
		t.Errorf("before anything was told: %+v", p)
	}
	for _, e := range []timeline.Event{
		raftIs(0, timeline.KindState, "m1", 2, "m1", 30), raftIs(0, timeline.KindState, "m2", 2, "m1", 28), raftIs(1, timeline.KindLeader, "m1", 2, "m1", 30), task,
	} {
		now.Take(e)
	}
	p := show(q)
	if want := (ui.Fact{Label: "raft", Value: "term 2, won by m1"}); p.Facts[0].Label != "leader" || p.Facts[1] != want {
		t.Errorf("got %+v", p.Facts)
	}
	if want := [][]string{{"m1", "2", "m1", "29", "30", "0"}, {"m2", "2", "m1", "27", "28", "2"}}; len(p.Tables) != 1 || !reflect.DeepEqual(p.Tables[0].Rows, want) {
		t.Errorf("got %q", p.Tables)
	}
	if len(p.News) != 1 || p.News[0].About != "w1" || p.News[0].Text != "task web.1: running, on w1" {
		t.Errorf("got %+v", p.News)
	}
	now.Take(timeline.Event{Time: at(9), Source: timeline.SourceMachine, Kind: timeline.KindMachine, Node: "m1", Machine: machine.StatusHalted})
	now.Take(raftIs(14, timeline.KindTerm, "m2", 3, "m2", 28))
	if p = show(q); p.Facts[1] != (ui.Fact{Label: "raft", Value: "electing, term 3", From: at(9)}) {
		t.Errorf("got %+v", p.Facts)
	}
	q.View.Leader, q.View.Quorum.HasQuorum = "", false
	if p = show(q); p.Facts[1] != (ui.Fact{Label: "raft", Value: "no leader, term 3", From: at(9)}) {
		t.Errorf("too few to elect one: %+v", p.Facts)
	}
}
