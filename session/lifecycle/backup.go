package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
)

// unlockTimeout is how long a manager may take to be back, with its key, after a backup that
// was interrupted.
const unlockTimeout = 2 * time.Minute

type backingUp struct {
	Operator
	file string
}

// Backup writes what the swarm is (raft's log, keys and certificates of one manager) to a
// new file, which only its owner can read.
func (s Swarm) Backup(file string) Operation { return backingUp{s.of, file} }

func (backingUp) NeedsRoot() bool { return false }

func (b backingUp) target() newFile { return newFile{b.Owner(), b.file} }

// look finds the manager to copy from: one whose engine can be missed for a moment. The
// caller closes the engines.
func (b backingUp) look(ctx context.Context, tell session.Reporter) (backup, *session.Engines, swarm.View, error) {
	var none backup
	if err := b.MustExist(); err != nil {
		return none, nil, swarm.View{}, err
	}
	if err := b.target().free(); err != nil {
		return none, nil, swarm.View{}, err
	}
	v, engines, err := b.Settled(ctx, tell)
	if err != nil {
		return none, nil, v, err
	}
	found, err := b.describe(ctx, v, engines)
	if err != nil {
		engines.Close()
	}
	return found, engines, v, err
}

func (b backingUp) describe(ctx context.Context, v swarm.View, engines *session.Engines) (backup, error) {
	var from swarm.NodeView
	for _, n := range v.Nodes {
		if n.State == swarm.StateMember && n.Control && n.Reachability == engine.ReachabilityReachable && !n.Orphan && (from.Name == "" || from.Leader) {
			from = n
		}
	}
	if from.Name == "" {
		return backup{}, v.NeedManager()
	}
	holdings, err := engines.Cluster(swarm.Options{}).Holdings(ctx, v)
	if err != nil {
		return backup{}, err
	}
	out := backup{
		Format: backupFormat, Made: time.Now().UTC().Truncate(time.Second), Lab: b.Lab().Name, Node: from.Name, Address: from.Addr.String(), Cluster: v.Cluster, Engine: from.Engine,
		Locked:   v.Settings != nil && v.Settings.Autolock,
		Services: append([]string{}, holdings.Services...), Secrets: append([]string{}, holdings.Secrets...),
		Configs: append([]string{}, holdings.Configs...), Networks: append([]string{}, holdings.Networks...),
	}
	for _, n := range v.Nodes {
		if n.Listed {
			out.Nodes = append(out.Nodes, backupNode{n.Name, n.Role, n.Availability, n.Labels})
		}
	}
	return out, nil
}

// cost says what is missing while the engine is stopped.
func cost(v swarm.View, from string) (what string, quorum bool) {
	what = "the engine of " + from + " is stopped for some seconds, with its containers"
	if v.Quorum.MayFail() > 0 {
		return what, false
	}
	return what + "; the swarm has no quorum meanwhile, and cannot be changed", true
}

func (b backingUp) Plan(ctx context.Context, tell session.Reporter) (Plan, error) {
	found, engines, v, err := b.look(ctx, tell)
	if err != nil {
		return Plan{}, err
	}
	engines.Close()
	what, quorum := cost(v, found.Node)
	p := Plan{Warnings: []string{what, b.secret(found)}, Runbook: b.typed(found)}
	if quorum {
		p.Question = "stop the engine of " + found.Node + " for the backup?"
	}
	p.add("%s: stop the engine, copy /var/lib/docker/swarm to %s, start the engine", found.Node, b.file)
	return p, nil
}

// secret says how the file is to be kept.
func (b backingUp) secret(found backup) string {
	if found.Locked {
		return "autolock is on: the file is of no use without the unlock key of now, so keep that, too: dcalab swarm unlock-key"
	}
	return b.target().secret()
}

func (b backingUp) typed(found backup) runbook.Runbook {
	systemd := b.Driver().Traits().Systemd
	l := runbook.Runbook{
		{Node: found.Node, Text: node.TypedService(systemd, "stop"), Why: "the log must not change while it is copied"},
		{Node: found.Node, Text: "sudo tar -C /var/lib/docker -czf swarm.tar.gz swarm", Why: "keep it where only you can read it"},
		{Node: found.Node, Text: node.TypedService(systemd, "start")},
	}
	if found.Locked {
		l = slices.Insert(l, 0, runbook.Command{Node: found.Node, Text: runbook.Line("docker", "swarm", "unlock-key", "--quiet"), Gives: runbook.UnlockKey})
		l = append(l, runbook.Command{Node: found.Node, Text: "docker swarm unlock", Asks: runbook.UnlockKey})
	}
	return l
}

func (b backingUp) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	found, engines, v, err := b.look(ctx, tell)
	if err != nil {
		return Outcome{}, err
	}
	defer engines.Close()
	// Before its engine, which may be the only one that has it, is stopped.
	key, err := engines.Cluster(swarm.Options{}).UnlockKey(ctx)
	if err != nil {
		return Outcome{}, err
	}
	found.Locked = key != ""
	what, _ := cost(v, found.Node)
	warn(tell, what, b.secret(found))
	tell.Step(found.Node, "copying the swarm's data, with the engine stopped")
	conn := engines.Pool.Held(found.Node)
	size, err := b.target().write(func(f *os.File) error {
		r, w := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			err := provision.SwarmData{Conn: conn}.Save(ctx, w)
			_ = w.CloseWithError(err)
			ended <- err
		}()
		err := writeBackup(f, found, r)
		_ = r.CloseWithError(err) // which ends the copy
		return errors.Join(err, <-ended)
	})
	engines.Release() // their connections ended with the engine
	if err != nil {
		err = cut(ctx, err, "nothing was written; the engine of "+found.Node+" is started again", "the same command begins anew: dcalab swarm backup FILE")
		if !found.Locked {
			return Outcome{}, err
		}
	}
	unlocking, cancel := ctx, context.CancelFunc(func() {})
	if found.Locked { // nobody else may have the key: also after Ctrl-C
		unlocking, cancel = context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
	}
	defer cancel()
	if _, failed := b.back(unlocking, session.Waiting(tell), engines.Pool, key, found.Node); failed != nil || err != nil {
		return Outcome{}, errors.Join(err, failed)
	}
	tell.Done(found.Node, "copied, and back in the swarm")
	note := fmt.Sprintf("swarm %s: backed up to %s, %s; restore it: dcalab swarm restore %[2]s", found.Cluster, b.file, node.Size(size))
	return Outcome{Notes: []string{note}, Runbook: b.typed(found)}, nil
}

type restoring struct {
	Operator
	file   string
	unlock *engine.Secret
}

// Restore makes the swarm of a backup the lab's, from the manager that it was made
// of. No node of the lab may be in a swarm. unlock is the key of a swarm that had autolock
// on; nil where none was given.
func (s Swarm) Restore(file string, unlock *engine.Secret) Operation {
	return restoring{s.of, file, unlock}
}

func (restoring) NeedsRoot() bool { return false }

// restoredSwarm is what is to be restored, and where.
type restoredSwarm struct {
	backup
	at      string
	plan    swarm.Plan
	view    swarm.View
	engines *session.Engines
}

// look reads the whole file, and looks whether it fits. The caller closes the engines.
func (r restoring) look(ctx context.Context) (restoredSwarm, error) {
	out := restoredSwarm{}
	if err := r.MustExist(); err != nil {
		return out, err
	}
	f, err := os.Open(r.file)
	if err != nil {
		return out, unfitBackup(r.file, err)
	}
	defer f.Close()
	if out.backup, err = readBackup(f, nil); err != nil {
		return out, unfitBackup(r.file, err)
	}
	if err := r.unlocks(out.backup); err != nil {
		return out, err
	}
	if out.view, out.engines, err = r.Observe(ctx); err != nil {
		return out, err
	}
	if err := r.place(&out); err != nil {
		out.engines.Close()
		return out, err
	}
	return out, nil
}

// unlocks: the key that was given is the backup's, if it needs one.
func (r restoring) unlocks(b backup) error {
	switch {
	case !b.Locked:
		return nil
	case r.unlock == nil:
		return needsUnlockKey(r.file, "refused to restore the swarm", "swarm restore --unlock "+r.file)
	case *r.unlock == "": // a dry run
		return nil
	}
	return unlocks(provision.Unlocks(b.Key, r.unlock.Reveal()), r.file, "restore the swarm")
}

// place finds the node, and refuses a lab that has a swarm.
func (r restoring) place(out *restoredSwarm) error {
	var in, silent []string
	for _, n := range out.view.Nodes {
		switch {
		case !n.State.Answered() && !errors.Is(n.Err, swarm.ErrAbsent):
			silent = append(silent, n.Name)
		case n.State.Answered() && n.State != swarm.StateInactive:
			in = append(in, n.Name)
		}
	}
	if len(silent) > 0 {
		return &trouble.Error{
			ID: "managers-may-return", What: "refused to restore a swarm", Exit: trouble.ExitRefused,
			Why: "nodes that do not answer may be in one, and go on with it later, with the same id: " + strings.Join(silent, ", "),
			Next: []string{
				"start them: dcalab start " + strings.Join(silent, " "),
				"if they are lost for good: dcalab destroy --force " + strings.Join(silent, " "),
			},
		}
	}
	if len(in) > 0 {
		return &trouble.Error{
			ID: "restore-into-swarm", What: "refused to restore a swarm", Exit: trouble.ExitRefused,
			Why:  "nodes are in one already, whose services and secrets would be lost: " + strings.Join(in, ", "),
			Next: []string{"give that one up first: dcalab swarm dissolve", "or keep the lab as it is: dcalab snapshot save NAME"},
		}
	}
	at := slices.IndexFunc(r.Lab().Nodes, func(n lab.Node) bool { return n.IP.String() == out.Address && n.Role == lab.RoleManager })
	if at < 0 {
		return &trouble.Error{
			ID: "restore-elsewhere", What: "refused to restore the swarm", Exit: trouble.ExitRefused,
			Why:  fmt.Sprintf("it was made of %s at %s, an address that is in the data and that Docker keeps; labs.yaml has no node there with role: manager", out.Node, out.Address),
			Next: []string{"give a node with role: manager the address " + out.Address + " in labs.yaml"},
		}
	}
	if out.at = r.Lab().Nodes[at].Name; !out.engines.Running(out.at) {
		return session.NotRunning(out.at, out.engines.Machines[out.at])
	}
	out.plan = swarm.PlanFromState(out.view, out.at)
	if out.Locked {
		out.plan.Unlock(*r.unlock)
	}
	return nil
}

func (r restoring) warnings(found restoredSwarm) []string {
	out := found.plan.Warnings
	if n, _ := found.view.Node(found.at); n.Engine != "" && n.Engine != found.Engine {
		out = append(out, fmt.Sprintf("the backup was made with Docker Engine %s, and %s has %s: an older one may not read it", found.Engine, found.at, n.Engine))
	}
	return out
}

func (r restoring) Plan(ctx context.Context, _ session.Reporter) (Plan, error) {
	found, err := r.look(ctx)
	if err != nil {
		return Plan{}, err
	}
	found.engines.Close()
	p := Plan{Warnings: r.warnings(found)}
	p.add("%s: put the swarm of %s, %s, in the place of /var/lib/docker/swarm, and restart the engine", found.at, r.file, found.Made.Format(time.RFC3339))
	p.change(found.plan.Result())
	p.add("take the other nodes in, in the roles that labs.yaml gives them")
	p.Runbook = r.typed(found)
	return p, nil
}

func (r restoring) typed(found restoredSwarm) runbook.Runbook {
	systemd := r.Driver().Traits().Systemd
	return slices.Concat(runbook.Runbook{
		{Node: found.at, Text: node.TypedService(systemd, "stop")},
		{Node: found.at, Text: "sudo mv /var/lib/docker/swarm /var/lib/docker/swarm.before"},
		{Node: found.at, Text: "sudo tar -C /var/lib/docker -xzf swarm.tar.gz swarm", Why: "the backup, copied to the node before"},
		{Node: found.at, Text: "sudo rm -f /var/lib/docker/swarm/docker-state.json", Why: "it would look for its old peers"},
		{Node: found.at, Text: node.TypedService(systemd, "start")},
	}, found.plan.Runbook)
}

func (r restoring) Run(ctx context.Context, tell session.Reporter) (Outcome, error) {
	r.Faults().warn(tell)
	found, err := r.look(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer func() { found.engines.Close() }()
	warn(tell, r.warnings(found)...)
	out := Outcome{Runbook: r.typed(found)}
	if err := r.put(ctx, tell, &found); err != nil {
		return out, err
	}
	running := runningOf(r.Lab().Nodes, found.engines.Machines)
	cluster := found.engines.Cluster(swarm.Options{Progress: session.Events(tell)})
	result, err := cluster.Converge(ctx, r.Lab(), swarm.PlanOptions{Only: running})
	out.Warnings, out.Runbook = result.Warnings, slices.Concat(out.Runbook, result.Runbook)
	if err != nil {
		return out, err
	}
	tellMembers(tell, result.View, swarm.NodeView.Summary)
	if err := r.relabel(ctx, cluster, result.View, found.backup); err != nil {
		return out, err
	}
	if err := r.check(ctx, cluster, result.View, found.backup); err != nil {
		return out, err
	}
	out.Notes = append(out.Notes,
		fmt.Sprintf("swarm %s as of %s: %s, %s, %s", found.Cluster, found.Made.Format(time.RFC3339),
			trouble.Count(len(found.Services), "service"), trouble.Count(len(found.Secrets), "secret"), trouble.Count(len(found.Configs), "config")),
		result.View.Quorum.String())
	return out, nil
}

// put brings the data to the node, and has its engine go on from it.
func (r restoring) put(ctx context.Context, tell session.Reporter, found *restoredSwarm) error {
	f, err := os.Open(r.file)
	if err != nil {
		return err
	}
	defer f.Close()
	tell.Step(found.at, "putting the swarm's data in place")
	in, w := io.Pipe()
	go func() {
		_, err := readBackup(f, w)
		_ = w.CloseWithError(err)
	}()
	err = provision.SwarmData{Conn: found.engines.Pool.Held(found.at)}.Put(ctx, in)
	_ = in.CloseWithError(err) // which ends the reading
	if err != nil {
		return cut(ctx, err, "the data may be in place, and no swarm is made of it yet", "the same command begins anew: dcalab swarm restore FILE")
	}
	found.engines.Release()
	pool := found.engines.Pool
	engines, err := r.AllEngines(ctx, pool)
	if err != nil {
		return err
	}
	found.engines = engines
	_, err = found.engines.Cluster(swarm.Options{Progress: session.Events(tell)}).Run(ctx, found.plan)
	return err
}

// relabel gives nodes the labels back that they had: those that joined anew have those of
// labs.yaml alone.
func (r restoring) relabel(ctx context.Context, cluster *swarm.Cluster, v swarm.View, b backup) error {
	for _, was := range b.Nodes {
		n, ok := v.Node(was.Name)
		if !ok || !n.Listed || len(was.Labels) == 0 {
			continue
		}
		plan, err := swarm.PlanLabels(v, []string{was.Name}, was.Labels, nil)
		if err == nil && !plan.Empty() {
			_, err = cluster.Run(ctx, plan)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// check compares what the swarm has with what the backup told.
func (r restoring) check(ctx context.Context, cluster *swarm.Cluster, v swarm.View, b backup) error {
	var missing []string
	if v.Cluster != b.Cluster {
		missing = append(missing, "its id is "+v.Cluster+", and was "+b.Cluster)
	}
	have, err := cluster.Holdings(ctx, v)
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		one       string
		was, have []string
	}{{"service", b.Services, have.Services}, {"secret", b.Secrets, have.Secrets}, {"config", b.Configs, have.Configs}, {"network", b.Networks, have.Networks}} {
		for _, name := range kind.was {
			if !slices.Contains(kind.have, name) {
				missing = append(missing, kind.one+" "+name)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &trouble.Error{ID: "restore-incomplete", What: "the swarm is not what the backup tells of", Why: "missing: " + strings.Join(missing, ", "),
		Exit: trouble.ExitUnfinished, Next: []string{"look at it: dcalab status"}}
}
