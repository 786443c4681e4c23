package provision

import (
	"context"
	"errors"
	"fmt"
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
// the present participle; it may be nil. The returned Conn is the caller's to
// close.
//
// Besides Dial's errors: "no-network-in-node", "engine-install-failed",
// "engine-version-unavailable", "distribution-unknown", "sudo-refused",
// "engine-down", "engine-dies", "engine-start-failed", "docker-group-missing",
// "daemon-json-invalid".
func Prepare(ctx context.Context, ep node.Endpoint, o node.Options, want Want, step func(string)) (*node.Conn, EngineFacts, error) {
	if step == nil {
		step = func(string) {}
	}
	step("connecting")
	c, err := node.Dial(ctx, ep, o)
	if err != nil {
		return nil, EngineFacts{}, err
	}
	c, facts, err := prepare(ctx, c, o, want, step)
	if err != nil {
		_ = c.Close()
		// The pure parts do not know which node they speak of.
		if t := (*trouble.Error)(nil); errors.As(err, &t) && t.Where == "" {
			t.Where = ep.Node
		}
		return nil, EngineFacts{}, err
	}
	return c, facts, nil
}

// Foresee looks at a node and tells what Prepare would do there. It changes
// nothing.
func Foresee(ctx context.Context, c *node.Conn, want Want) (Work, error) {
	p, err := probeNode(ctx, c, want)
	if err != nil {
		return Work{}, err
	}
	w, err := plan(p, want)
	if w.Patient {
		w.Start = false // it will most likely listen in a moment
	}
	w.Turn = w.Restart && mayBeInSwarm(ctx, c, w)
	return w, err
}

// mayBeInSwarm tells whether the engine is in a swarm, or does not say that it
// is in none. One that does not let the user in yet is new.
func mayBeInSwarm(ctx context.Context, c *node.Conn, w Work) bool {
	if w.AddGroup {
		return false
	}
	state, err := swarmState(ctx, c)
	return err != nil || state != "inactive"
}

func probeNode(ctx context.Context, c *node.Conn, want Want) (probe, error) {
	address := ""
	if want.Address.IsValid() {
		address = want.Address.String()
	}
	r, err := c.Script(ctx, script(c, "probe.sh"), address, node.EngineSocket)
	if err != nil {
		return probe{}, fmt.Errorf("look at the node: %w", err)
	}
	p, err := parseProbe(r.Stdout)
	if err != nil {
		return probe{}, fmt.Errorf("%s: %w", c.Name(), err)
	}
	return p, nil
}

// prepare gives back the connection to go on with, also with an error: it may
// be another than c.
func prepare(ctx context.Context, c *node.Conn, o node.Options, want Want, step func(string)) (*node.Conn, EngineFacts, error) {
	var facts EngineFacts
	p, err := probeNode(ctx, c, want)
	if err != nil {
		return c, facts, err
	}
	facts.Interface, facts.OS, facts.Arch = p.Interface, p.OS.String(), p.Arch
	if p.InterfaceDown {
		return c, facts, &trouble.Error{
			ID: "interface-down", Where: c.Name(), What: "look at the lab's interface",
			Why: fmt.Sprintf("%s, which has the address %s, is down", p.Interface, want.Address),
			Next: []string{
				"dcalab ssh " + c.Name() + " -- sudo ip link set " + p.Interface + " up",
				"or: dcalab halt " + c.Name() + ", then dcalab start " + c.Name(),
			},
		}
	}
	w, err := plan(p, want)
	if err != nil {
		return c, facts, err
	}
	if w.Restart && want.Gently && mayBeInSwarm(ctx, c, w) {
		w.Turn, w.Restart, w.Daemon = true, false, daemonWork{}
	}

	if w.Hostname != "" {
		step("setting the host name")
		if _, err := c.Root(ctx, script(c, "hostname.sh"), nil, w.Hostname); err != nil {
			return c, facts, fmt.Errorf("set the host name: %w", err)
		}
		facts.HostnameSet = true
	}
	if err := configure(ctx, c, w.Daemon, step); err != nil {
		return c, facts, fmt.Errorf("write daemon.json: %w", err)
	}
	if w.Install != nil {
		if w.Install.Note != "" {
			facts.Warnings = append(facts.Warnings, w.Install.Note)
		}
		if w.Packages, err = install(ctx, c, *w.Install, step); err != nil {
			return c, facts, err
		}
		facts.InstalledNow = true
	}
	if w.AddGroup {
		step("adding " + c.Endpoint().User + " to the docker group")
		out, err := c.Root(ctx, script(c, "group.sh"), nil, c.Endpoint().User)
		if err != nil {
			return c, facts, fmt.Errorf("add %s to the docker group: %w", c.Endpoint().User, err)
		}
		facts.GroupAdded = true
		if strings.Contains(out, "created") && p.Listening {
			w.Restart = true // its socket belongs to a group that was not there
		}
	}
	if w.Patient {
		step("waiting for the engine")
		if _, err := c.Script(ctx, script(c, "await.sh"), node.EngineSocket, "100"); err == nil {
			w.Start = false
		} else if ctx.Err() != nil {
			return c, facts, ctx.Err()
		}
	}
	if w.Start || w.Restart {
		verb := "start"
		step("starting the engine")
		if w.Restart {
			verb = "restart"
		}
		if err := service(ctx, c, verb, w.Daemon.Config != nil); err != nil {
			return c, facts, err
		}
		facts.StartedNow = w.Start && w.Install == nil
		facts.Restarted = w.Restart
	}
	if w.AddGroup {
		// A session on this connection would still lack the group: sshd gives
		// it at login.
		step("reconnecting")
		fresh, err := node.Dial(ctx, c.Endpoint(), o)
		if err != nil {
			return c, facts, err
		}
		_ = c.Close()
		c, facts.Reconnected = fresh, true
	}
	if facts.Version, err = awaitEngine(ctx, c); err != nil {
		return c, facts, err
	}
	facts.Work = w
	if pin := want.Engine.Version; pin != "" {
		if _, same := pickVersion([]string{facts.Version}, pin); !same {
			facts.Warnings = append(facts.Warnings, fmt.Sprintf(
				"engine %s is there and labs.yaml pins %s: left as it is", facts.Version, pin))
		}
	}
	return c, facts, nil
}

// configure writes the engine's configuration, which counts from its next
// start on.
func configure(ctx context.Context, c *node.Conn, w daemonWork, step func(string)) error {
	var args []string
	if w.Ours != nil {
		args = append(args, string(w.Ours))
	}
	var err error
	switch {
	case w.Config != nil:
		step("configuring the engine")
		_, err = c.Root(ctx, script(c, "daemon-json.sh"), w.Config, append([]string{"write"}, args...)...)
	case w.Ours != nil:
		_, err = c.Root(ctx, script(c, "daemon-json.sh"), nil, append([]string{"ours"}, args...)...)
	}
	return err
}

// install follows the recipe, and gives the packages that it put there.
func install(ctx context.Context, c *node.Conn, how recipe, step func(string)) ([]string, error) {
	step("finding an engine to install")
	out, err := c.Root(ctx, script(c, how.Manager+"-prepare.sh"), nil, how.Source, how.Repository, how.Release, how.Package)
	if err != nil {
		return nil, installFailed(ctx, c, out, err)
	}
	log, versions := splitVersions(out)
	if len(versions) == 0 && noNetwork.MatchString(log) {
		return nil, explainInstall(c.Name(), log, nil) // apt-get update ends with 0 all the same
	}
	packages, err := how.packages(versions)
	if err != nil {
		return nil, err
	}
	step("installing " + packages[0])
	if out, err = c.Root(ctx, script(c, how.Manager+"-install.sh"), nil, packages...); err != nil {
		return nil, installFailed(ctx, c, log+"\n"+out, err)
	}
	return packages, nil
}

func installFailed(ctx context.Context, c *node.Conn, out string, err error) error {
	var failed *node.RunError
	if ctx.Err() != nil || !errors.As(err, &failed) {
		return err
	}
	var refused *trouble.Error
	if errors.As(err, &refused) {
		return err
	}
	return explainInstall(c.Name(), out+"\n"+failed.Stderr, err)
}

// service starts or restarts the engine. An engine that refuses its new
// configuration gets the one before back.
func service(ctx context.Context, c *node.Conn, verb string, configured bool) error {
	out, err := c.Root(ctx, script(c, "service.sh"), nil, verb)
	var failed *node.RunError
	if !errors.As(err, &failed) {
		return err // nil as well
	}
	var refused *trouble.Error
	if errors.As(err, &refused) {
		return err
	}
	e := &trouble.Error{
		ID: "engine-start-failed", Where: c.Name(), What: verb + " the engine",
		Why:  trouble.LastLines(out+"\n"+failed.Stderr, 6),
		Next: []string{"dcalab ssh " + c.Name() + " -- sudo service docker status"},
		Err:  err,
	}
	if configured {
		_, undo := c.Root(ctx, script(c, "daemon-json.sh"), nil, "undo")
		if undo == nil {
			_, undo = c.Root(ctx, script(c, "service.sh"), nil, verb)
		}
		if undo == nil { // without systemd a start is only begun by then
			_, undo = c.Script(ctx, script(c, "await.sh"), node.EngineSocket, "200")
		}
		e.Why += "\n(with the labels and registries of labs.yaml; daemon.json is as it was before)"
		if undo != nil {
			e.Why += "\nand it does not start without them either"
		}
	}
	return e
}
