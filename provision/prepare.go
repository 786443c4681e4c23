package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// enginePatience is how long an engine may take to answer after a start: on an
// emulated machine, the better part of a minute.
const enginePatience = 2 * time.Minute

// Want is what a node is to be like when it is ready.
type Want struct {
	// Engine's registries are set in the engine's daemon.json. Others that
	// stand there already are kept; what an earlier Prepare set there, and is
	// not wanted any more, goes.
	Engine lab.Engine
	// EngineLabels are set in the engine's daemon.json. Labels with other
	// keys that stand there already are kept.
	EngineLabels map[string]string
	// Hostname is the full host name that kernel and engine are to report;
	// empty leaves it alone.
	Hostname string
	// Address is the node's lab address, by which its interface is found.
	Address netip.Addr
	// Gently: an engine that is in a swarm, and would have to be restarted for
	// new settings, is left as it is (Work.Deferred): the swarm may not bear that
	// several are restarted at once.
	Gently bool
}

// EngineFacts is what Prepare found and did.
type EngineFacts struct {
	Version      string // of the running engine, "20.10.24+dfsg1"
	InstalledNow bool
	StartedNow   bool // it was there and stopped
	Restarted    bool // for its daemon.json, or its group
	GroupAdded   bool // the user was put into the docker group
	Reconnected  bool
	HostnameSet  bool
	// Interface has the lab address; empty where no interface has it (or no
	// address was asked for).
	Interface string
	OS        string // "debian 12 (bookworm)"
	Arch      string // "x86_64"
	// Warnings are things that differ from what was wanted and were left so.
	Warnings []string
	// Work is what was done.
	Work Work
}

// Work is what is missing on a node, in the order in which it is done.
type Work struct {
	Hostname string     // set it to this; empty when it is right
	Daemon   daemonWork // the engine's configuration
	Install  *recipe
	Packages []string // what was installed; nil before
	Start    bool
	// Patient: an engine runs and may be about to listen (a node that has just
	// booted); it is started only when it does not.
	Patient bool
	Restart bool
	// Turn: the engine is in a swarm, so that it is restarted when those before
	// it are back.
	Turn     bool
	AddGroup bool
	// Systemd starts the engine there; where it does not, service(8) does.
	Systemd bool
}

// Deferred tells that the restart was left out, because the engine is in a swarm.
func (w Work) Deferred() bool { return w.Turn && !w.Restart }

// plan decides what to do to a node from what the probe found.
func plan(p probe, want Want) (Work, error) {
	w := Work{Systemd: p.Systemd}
	if want.Hostname != "" && p.Hostname != want.Hostname {
		w.Hostname = want.Hostname
	}
	var err error
	if w.Daemon, err = planDaemon(p.DaemonJSON, p.DaemonOurs, want.EngineLabels, want.Engine); err != nil {
		return Work{}, err
	}
	switch {
	case p.Listening: // by whatever means it came, a snap for instance
		w.Restart = w.Daemon.Config != nil
	case p.Dockerd:
		w.Start = true
		w.Patient = p.Running && w.Daemon.Config == nil
	default:
		r, err := chooseRecipe(p.OS, want.Engine)
		if err != nil {
			return Work{}, err
		}
		w.Install = &r
		w.Start = true // RHEL's packages start nothing
	}
	w.AddGroup = p.UID != "0" && !slices.Contains(p.Groups, "docker") && !p.Writable
	return w, nil
}

// Prepare connects to a node and makes it ready for a swarm: an engine
// installed, running and answering, the user allowed to speak to it, labels
// and host name as wanted. It asks first (one round trip) and then does only
// what is missing. An engine of another version than the one pinned is left
// alone, with a warning. step is told what is being done, in a few words in
// the present participle; it may be nil. The returned Node is the caller's to
// close.
//
// Besides Dial's errors: "no-network-in-node", "engine-install-failed",
// "engine-version-unavailable", "distribution-unknown", "sudo-refused",
// "engine-down", "engine-dies", "engine-start-failed", "docker-group-missing",
// "daemon-json-invalid".
func Prepare(ctx context.Context, ep node.Endpoint, o Options, want Want, step func(string)) (*Node, EngineFacts, error) {
	if step == nil {
		step = func(string) {}
	}
	step("connecting")
	n, err := Dial(ctx, ep, o)
	if err != nil {
		return nil, EngineFacts{}, err
	}
	n, facts, err := prepare(ctx, n, o, want, step)
	if err != nil {
		_ = n.Close()
		// The pure parts do not know which node they speak of.
		if t := (*trouble.Error)(nil); errors.As(err, &t) && t.Where == "" {
			t.Where = ep.Node
		}
		return nil, EngineFacts{}, err
	}
	return n, facts, nil
}

// Foresee looks at a node and tells what Prepare would do there. It changes
// nothing.
func (n *Node) Foresee(ctx context.Context, want Want) (Work, error) {
	p, err := n.probe(ctx, want)
	if err != nil {
		return Work{}, err
	}
	w, err := plan(p, want)
	if w.Patient {
		w.Start = false // it will most likely listen in a moment
	}
	w.Turn = w.Restart && n.mayBeInSwarm(ctx, w)
	return w, err
}

// mayBeInSwarm tells whether the engine is in a swarm, or does not say that it
// is in none. One that does not let the user in yet is new.
func (n *Node) mayBeInSwarm(ctx context.Context, w Work) bool {
	if w.AddGroup {
		return false
	}
	state, err := n.swarmState(ctx)
	return err != nil || state != "inactive"
}

func (n *Node) probe(ctx context.Context, want Want) (probe, error) {
	address := ""
	if want.Address.IsValid() {
		address = want.Address.String()
	}
	r, err := n.script(ctx, "probe.sh", address, engineSocket)
	if err != nil {
		return probe{}, fmt.Errorf("look at the node: %w", err)
	}
	p, err := parseProbe(r.Stdout)
	if err != nil {
		return probe{}, fmt.Errorf("%s: %w", n.Name(), err)
	}
	return p, nil
}

// prepare gives back the connection to go on with, also with an error: it may
// be another than n.
func prepare(ctx context.Context, n *Node, o Options, want Want, step func(string)) (*Node, EngineFacts, error) {
	var facts EngineFacts
	p, err := n.probe(ctx, want)
	if err != nil {
		return n, facts, err
	}
	facts.Interface, facts.OS, facts.Arch = p.Interface, p.OS.String(), p.Arch
	if p.InterfaceDown {
		return n, facts, &trouble.Error{
			ID: "interface-down", Where: n.Name(), What: "look at the lab's interface",
			Why: fmt.Sprintf("%s, which has the address %s, is down", p.Interface, want.Address),
			Next: []string{
				"dcalab ssh " + n.Name() + " -- sudo ip link set " + p.Interface + " up",
				"or: dcalab halt " + n.Name() + ", then dcalab start " + n.Name(),
			},
		}
	}
	w, err := plan(p, want)
	if err != nil {
		return n, facts, err
	}
	if w.Restart && want.Gently && n.mayBeInSwarm(ctx, w) {
		w.Turn, w.Restart, w.Daemon = true, false, daemonWork{}
	}
	root := rooted{n: n, sudo: p.UID != "0"}

	if w.Hostname != "" {
		step("setting the host name")
		if _, err := root.run(ctx, nil, "hostname.sh", w.Hostname); err != nil {
			return n, facts, fmt.Errorf("set the host name: %w", err)
		}
		facts.HostnameSet = true
	}
	if err := root.configure(ctx, w.Daemon, step); err != nil {
		return n, facts, fmt.Errorf("write daemon.json: %w", err)
	}
	if w.Install != nil {
		if w.Install.Note != "" {
			facts.Warnings = append(facts.Warnings, w.Install.Note)
		}
		if w.Packages, err = root.install(ctx, *w.Install, step); err != nil {
			return n, facts, err
		}
		facts.InstalledNow = true
	}
	if w.AddGroup {
		step("adding " + n.endpoint.User + " to the docker group")
		out, err := root.run(ctx, nil, "group.sh", n.endpoint.User)
		if err != nil {
			return n, facts, fmt.Errorf("add %s to the docker group: %w", n.endpoint.User, err)
		}
		facts.GroupAdded = true
		if strings.Contains(out, "created") && p.Listening {
			w.Restart = true // its socket belongs to a group that was not there
		}
	}
	if w.Patient {
		step("waiting for the engine")
		if _, err := n.script(ctx, "await.sh", engineSocket, "100"); err == nil {
			w.Start = false
		} else if ctx.Err() != nil {
			return n, facts, ctx.Err()
		}
	}
	if w.Start || w.Restart {
		verb := "start"
		step("starting the engine")
		if w.Restart {
			verb = "restart"
		}
		if err := root.service(ctx, verb, w.Daemon.Config != nil); err != nil {
			return n, facts, err
		}
		facts.StartedNow = w.Start && w.Install == nil
		facts.Restarted = w.Restart
	}
	if w.AddGroup {
		// A session on this connection would still lack the group: sshd gives
		// it at login.
		step("reconnecting")
		fresh, err := Dial(ctx, n.endpoint, o)
		if err != nil {
			return n, facts, err
		}
		_ = n.Close()
		n, facts.Reconnected = fresh, true
	}
	if facts.Version, err = n.awaitEngine(ctx, enginePatience); err != nil {
		return n, facts, err
	}
	facts.Work = w
	if pin := want.Engine.Version; pin != "" {
		if _, same := pickVersion([]string{facts.Version}, pin); !same {
			facts.Warnings = append(facts.Warnings, fmt.Sprintf(
				"engine %s is there and labs.yaml pins %s: left as it is", facts.Version, pin))
		}
	}
	return n, facts, nil
}

// rooted runs the scripts that need root on a node.
type rooted struct {
	n    *Node
	sudo bool
}

// run gives what the script wrote to stdout, also with an error.
func (r rooted) run(ctx context.Context, stdin []byte, name string, args ...string) (string, error) {
	cmd := script(name, args...)
	if r.sudo {
		cmd = "sudo -n " + cmd
	}
	var in io.Reader
	if stdin != nil {
		in = bytes.NewReader(stdin)
	}
	result, err := r.n.ask(ctx, name, cmd, in, r.n.patience.of(name))
	var failed *RunError
	if errors.As(err, &failed) {
		failed.Command = Quote(append([]string{name}, args...)...) // the text of the script says nothing to the reader
		if r.sudo && sudoRefused(failed) {
			return "", &trouble.Error{
				ID: "sudo-refused", Where: r.n.Name(), What: "become root",
				Why: "sudo on the node asks " + r.n.endpoint.User + " for a password, or is not there: " + failed.Stderr,
				Next: []string{
					"let the user run everything without one: " + r.n.endpoint.User + " ALL=(ALL) NOPASSWD:ALL in the node's /etc/sudoers.d/dcalab",
				},
				Err: err,
			}
		}
	}
	return string(result.Stdout), err
}

// sudoRefused tells sudo's own refusals from a failure of what it ran.
func sudoRefused(e *RunError) bool {
	switch e.Exit {
	case 1:
		return strings.Contains(e.Stderr, "sudo: a password is required") ||
			strings.Contains(e.Stderr, "is not in the sudoers file") ||
			strings.Contains(e.Stderr, "is not allowed to execute")
	case 127:
		return strings.Contains(e.Stderr, "sudo")
	}
	return false
}

// configure writes the engine's configuration, which counts from its next
// start on.
func (r rooted) configure(ctx context.Context, w daemonWork, step func(string)) error {
	var args []string
	if w.Ours != nil {
		args = append(args, string(w.Ours))
	}
	var err error
	switch {
	case w.Config != nil:
		step("configuring the engine")
		_, err = r.run(ctx, w.Config, "daemon-json.sh", append([]string{"write"}, args...)...)
	case w.Ours != nil:
		_, err = r.run(ctx, nil, "daemon-json.sh", append([]string{"ours"}, args...)...)
	}
	return err
}

// install follows the recipe, and gives the packages that it put there.
func (r rooted) install(ctx context.Context, how recipe, step func(string)) ([]string, error) {
	step("finding an engine to install")
	out, err := r.run(ctx, nil, how.Manager+"-prepare.sh", how.Source, how.Repository, how.Release, how.Package)
	if err != nil {
		return nil, r.installFailed(ctx, out, err)
	}
	log, versions := splitVersions(out)
	if len(versions) == 0 && noNetwork.MatchString(log) {
		return nil, explainInstall(r.n.Name(), log, nil) // apt-get update ends with 0 all the same
	}
	packages, err := how.packages(versions)
	if err != nil {
		return nil, err
	}
	step("installing " + packages[0])
	if out, err = r.run(ctx, nil, how.Manager+"-install.sh", packages...); err != nil {
		return nil, r.installFailed(ctx, log+"\n"+out, err)
	}
	return packages, nil
}

func (r rooted) installFailed(ctx context.Context, out string, err error) error {
	var failed *RunError
	if ctx.Err() != nil || !errors.As(err, &failed) {
		return err
	}
	var refused *trouble.Error
	if errors.As(err, &refused) {
		return err
	}
	return explainInstall(r.n.Name(), out+"\n"+failed.Stderr, err)
}

// service starts or restarts the engine. An engine that refuses its new
// configuration gets the one before back.
func (r rooted) service(ctx context.Context, verb string, configured bool) error {
	out, err := r.run(ctx, nil, "service.sh", verb)
	var failed *RunError
	if !errors.As(err, &failed) {
		return err // nil as well
	}
	var refused *trouble.Error
	if errors.As(err, &refused) {
		return err
	}
	e := &trouble.Error{
		ID: "engine-start-failed", Where: r.n.Name(), What: verb + " the engine",
		Why:  lastLines(out+"\n"+failed.Stderr, 6),
		Next: []string{"dcalab ssh " + r.n.Name() + " -- sudo service docker status"},
		Err:  err,
	}
	if configured {
		_, undo := r.run(ctx, nil, "daemon-json.sh", "undo")
		if undo == nil {
			_, undo = r.run(ctx, nil, "service.sh", verb)
		}
		if undo == nil { // without systemd a start is only begun by then
			_, undo = r.n.script(ctx, "await.sh", engineSocket, "200")
		}
		e.Why += "\n(with the labels and registries of labs.yaml; daemon.json is as it was before)"
		if undo != nil {
			e.Why += "\nand it does not start without them either"
		}
	}
	return e
}
