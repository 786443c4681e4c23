package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/lesson"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/sandbox"
	"github.com/dcalab/dcalab/machine/vagrant"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// session is a command's hold on one lab: its settings, its state folder and
// its driver. Nothing on disk is changed by opening one.
type session struct {
	app    *app
	file   *lab.File
	lab    *lab.Lab
	state  *lab.State
	owner  lab.Owner
	record lab.Record
	driver machine.Driver
	// created: the lab has a record, so something of it may exist.
	created bool
	// overrides of labs.yaml, and what set them.
	overrides map[string]string
	log       io.WriteCloser
	// changed: the command came to where it changes the lab.
	changed bool
	// typed is what a person would have typed for what was done to machines so
	// far; kept with --explain only.
	typed lesson.Lesson
	// deferred are nodes whose engines were not restarted for the settings of
	// labs.yaml, because they are in a swarm.
	deferred []string
	// gone are the nodes of whole that labs.yaml no longer has.
	gone map[string]machine.Status
	// unwritten is why the lab's ssh_config is not what it should be; told at
	// the end.
	unwritten error
}

// load reads labs.yaml: the one named, the nearest, or the embedded one.
func (a *app) load() (*lab.File, error) {
	if path := a.settings.GetString("config"); path != "" {
		return lab.Load(path, owner())
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	found, err := lab.Find(dir, owner())
	if err != nil {
		return nil, err
	}
	for _, path := range found.Passed {
		a.warnOnce(path + " is not read: it belongs to another user; where you trust it, name it: dcalab --config " + path)
	}
	for _, path := range found.Misspelt {
		if filepath.Dir(path) == dir && len(made(lab.StateFolder)) == 0 {
			return nil, misspelt(path)
		}
		a.warnOnce(path + " is not read: dcalab reads labs.yaml, which is how it is to be called, or name it: dcalab --config " + path)
	}
	if found.Path != "" {
		return lab.LoadFound(found.Path, owner())
	}
	return lab.Parse("labs.yaml (built in)", a.embedded.Labs)
}

// misspelt refuses to take another lab than the one that lies here.
func misspelt(path string) error {
	name := filepath.Base(path)
	return &trouble.Error{
		ID: "labs-misspelt", Where: path, What: "this file is not read", Why: "dcalab reads labs.yaml, and there is none in this folder",
		Next: []string{"mv " + name + " " + lab.FileName, "or name it each time: dcalab --config " + name, "or, for the built-in lab, take another folder"}, Exit: trouble.ExitConfig,
	}
}

// warnOnce warns of what one command may meet several times.
func (a *app) warnOnce(line string) {
	if a.told[line] {
		return
	}
	if a.told == nil {
		a.told = map[string]bool{}
	}
	a.told[line] = true
	(&session{app: a}).warn(line)
}

// choice loads labs.yaml and picks the lab, with what flags and environment
// override in it.
func (a *app) choice() (*lab.File, *lab.Lab, map[string]string, error) {
	file, err := a.load()
	if err != nil {
		return nil, nil, nil, err
	}
	l, err := file.Lab(a.settings.GetString("lab"))
	if err != nil {
		name := a.settings.GetString("lab")
		kept, ok := a.kept(file, name)
		if !ok {
			return nil, nil, nil, err
		}
		a.warnOnce(fmt.Sprintf("%s no longer has lab %s: it is taken as it was when it was last brought up", place(file), name))
		l = kept
	}
	overrides := map[string]string{}
	if driver := a.settings.GetString("driver"); driver != "" {
		if !slices.Contains(drivers(), driver) {
			return nil, nil, nil, oneOf("driver", driver, drivers(), "")
		}
		l.Driver = driver
		overrides["driver"] = a.origin("driver")
	}
	if provider := a.settings.GetString("provider"); provider != "" {
		if !slices.Contains(vagrant.Providers(), provider) {
			return nil, nil, nil, oneOf("provider", provider, vagrant.Providers(), "")
		}
		l.Provider = provider
		overrides["provider"] = a.origin("provider")
	}
	return file, l, overrides, nil
}

// origin tells whether a setting came from its flag or from the environment.
func (a *app) origin(key string) string {
	if a.flags != nil && a.flags.Changed(key) {
		return "flag --" + key
	}
	return "environment DCALAB_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

// owner is who the state folder belongs to: under sudo, the user behind it.
func owner() lab.Owner {
	if os.Geteuid() != 0 {
		return lab.Owner{}
	}
	uid, errU := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, errG := strconv.Atoi(os.Getenv("SUDO_GID"))
	if errU != nil || errG != nil {
		return lab.Owner{}
	}
	return lab.Owner{UID: uid, GID: gid}
}

// open gives the session of the lab that flags, environment and folder mean.
func (a *app) open() (*session, error) {
	s, err := a.identify()
	if err != nil {
		return nil, err
	}
	s.driver, err = s.newDriver(s.record.Driver)
	return s, err
}

// existing is open for commands that make no sense before the lab was made.
func (a *app) existing() (*session, error) {
	s, err := a.open()
	if err != nil {
		return nil, err
	}
	return s, s.needCreated()
}

// identify is open without a driver, for commands that touch no machine.
func (a *app) identify() (*session, error) {
	file, l, overrides, err := a.choice()
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	s := &session{app: a, file: file, lab: l, overrides: overrides, owner: owner()}
	root, err := lab.StateRoot(file, dir, s.owner)
	if err != nil {
		return nil, err
	}
	if err := s.hold(root, l.Name); err != nil {
		return nil, err
	}
	a.opened = s
	driver, err := s.choose()
	if err != nil {
		return nil, err
	}
	if !s.created {
		s.record = s.newRecord(driver)
	}
	return s, nil
}

// newRecord is that of a lab which is about to be made.
func (s *session) newRecord(driver string) lab.Record {
	provider := ""
	if driver == lab.DriverVagrant {
		// Where there is none, the driver's preflight says why.
		provider, _, _ = vagrant.PickProvider(os.Getenv, "", s.lab.Provider)
	}
	return lab.NewRecord(s.lab, driver, provider, time.Now())
}

// choose picks the driver: the one that made the lab, else the one asked for,
// else the first that this machine can run.
func (s *session) choose() (string, error) {
	want := s.lab.Driver
	if s.created {
		if _, asked := s.overrides["driver"]; asked && want != lab.DriverAuto && want != s.record.Driver {
			return "", &trouble.Error{
				ID: "driver-differs", What: "--driver " + want,
				Why:  fmt.Sprintf("lab %s was made by the %s driver", s.lab.Name, s.record.Driver),
				Next: []string{"leave --driver out, or remove the lab first: dcalab destroy"}, Exit: trouble.ExitRefused,
			}
		}
		if _, asked := s.overrides["provider"]; asked && s.record.Provider != s.lab.Provider {
			return "", &trouble.Error{
				ID: "provider-differs", What: "--provider " + s.lab.Provider,
				Why:  fmt.Sprintf("lab %s was made by %s", s.lab.Name, s.madeBy()),
				Next: []string{"leave --provider out, or remove the lab first: dcalab destroy"}, Exit: trouble.ExitRefused,
			}
		}
		return s.record.Driver, nil
	}
	if want != lab.DriverAuto {
		return want, nil
	}
	_, usable, _ := vagrant.Usable(os.Getenv, s.lab.Provider)
	if _, asked := s.overrides["provider"]; usable || asked || runtime.GOOS != "linux" {
		return lab.DriverVagrant, nil
	}
	return lab.DriverSandbox, nil
}

// madeBy names the driver of the lab, with its provider where it has one.
func (s *session) madeBy() string {
	if s.record.Provider != "" {
		return s.record.Driver + ", provider " + s.record.Provider
	}
	return s.record.Driver
}

func (s *session) newDriver(name string) (machine.Driver, error) {
	if name == lab.DriverVagrant {
		return s.newVagrant()
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	here := s.place().Real()
	return sandbox.New(sandbox.Config{
		Lab: s.lab, ID: s.record.ID, Dir: sandbox.Dir(s.record.ID), Root: here.Root, Config: here.Config, Executable: self,
		AuthorizedKey: s.authorizedKey, IdentityFile: s.state.Identity(),
		PinHostKey: s.state.PinHost, ForgetHostKey: s.state.ForgetHost,
		UID: s.uid(), GID: s.owner.GID,
		Hidden: []string{sandbox.Ground, filepath.Dir(s.state.Dir())}, Log: s,
	}), nil
}

func (s *session) newVagrant() (machine.Driver, error) {
	index, err := lab.OpenIndex(os.Getenv, s.owner)
	if err != nil {
		return nil, err
	}
	return vagrant.New(vagrant.Config{
		Lab: s.lab, ID: s.record.ID, Provider: s.record.Provider, Template: s.app.embedded.Vagrantfile,
		State: s.state, Index: index, Log: &lateLog{s: s},
	}), nil
}

// lateLog is the lab's log for what the Vagrant driver says, also in a command
// that only reads, which opens it when there is something to say: that Vagrant
// was asked, and why.
type lateLog struct {
	s  *session
	mu sync.Mutex
	f  io.Writer
}

func (l *lateLog) Write(p []byte) (int, error) {
	if l.s.log != nil || !l.s.created || l.s.app.dryRun() || l.s.app.watching {
		return l.s.Write(p)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		l.f = io.Discard // of a folder that is not ours
		if f, err := l.s.state.OpenLog(); err == nil {
			l.f = f // until the command ends
			fmt.Fprintf(l.f, "%s dcalab %s\n", time.Now().UTC().Format(time.RFC3339), trouble.Redact(strings.Join(l.s.app.args, " ")))
		}
	}
	if _, err := io.WriteString(l.f, trouble.Redact(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *session) authorizedKey() (ssh.PublicKey, error) {
	line, err := s.state.EnsureIdentity()
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	return key, err
}

// errDryRun: a command came, in a dry run, to where it would have begun to
// change things.
var errDryRun = errors.New("stopped: a dry run changes nothing (this is a mistake in dcalab)")

// change locks the lab for a command that changes it, makes its state folder
// and opens its log. The caller calls the function that it gives.
func (s *session) change(ctx context.Context) (func(), error) {
	if s.app.dryRun() {
		return nil, errDryRun
	}
	if err := s.state.Create(); err != nil {
		return nil, err
	}
	unlock, err := s.state.Lock(ctx, trouble.Redact("dcalab "+strings.Join(s.app.args, " ")), time.Minute, func(h lab.Holder) {
		fmt.Fprintf(s.app.streams.Err, "lab %[3]s is locked by %[1]q (pid %[2]d); waiting\n", h.Command, h.PID, s.lab.Name)
	})
	if err != nil {
		return nil, err
	}
	if err := s.refresh(); err != nil {
		return nil, errors.Join(err, unlock())
	}
	f, err := s.state.OpenLog()
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	s.log, s.changed = f, true
	fmt.Fprintf(s, "%s dcalab %s\n", time.Now().UTC().Format(time.RFC3339), strings.Join(s.app.args, " "))
	return func() {
		_ = f.Close()
		_ = unlock()
	}, nil
}

// refresh reads the record again, now that nobody else can change it: another
// dcalab may have made the lab, or destroyed it, while this one waited.
func (s *session) refresh() error {
	record, created, err := s.state.ReadRecord()
	if err != nil || created == s.created && (!created || record.ID == s.record.ID) {
		return err
	}
	if created {
		if err := s.vouch(record); err != nil {
			return err
		}
	}
	s.record, s.created = record, created
	driver, err := s.choose()
	if err != nil {
		return err
	}
	if !created {
		s.record = s.newRecord(driver)
	}
	s.driver, err = s.newDriver(driver)
	return err
}

// unchanged refuses to go on with machines that were made for another subnet
// than labs.yaml now gives the lab.
func (s *session) unchanged() error {
	if !s.created || s.record.Subnet == s.lab.Subnet.String() {
		return nil
	}
	return &trouble.Error{
		ID: "subnet-changed", What: "lab " + s.lab.Name,
		Why:  fmt.Sprintf("it was made in the subnet %s, and labs.yaml now says %s", s.record.Subnet, s.lab.Subnet),
		Next: []string{"put the subnet back in labs.yaml, or make the lab anew: dcalab destroy, dcalab up"}, Exit: trouble.ExitRefused,
	}
}

// Write writes to the lab's log, without secrets; before change it writes
// nowhere.
func (s *session) Write(p []byte) (int, error) {
	if s.log == nil {
		return len(p), nil
	}
	if _, err := io.WriteString(s.log, trouble.Redact(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// progress begins the story of a command on the nodes.
func (s *session) progress(nodes []string) *ui.Progress {
	a := s.app
	return ui.NewProgress(a.streams, ui.ProgressOptions{
		Quiet: a.settings.GetBool("quiet"), Verbose: a.settings.GetBool("verbose"),
		Color: a.streams.ErrColor(a.settings.GetBool("no-color")), Nodes: nodes, Log: s, Hint: a.hint,
	})
}

func (s *session) warn(lines ...string) {
	for _, w := range lines {
		fmt.Fprintf(s, "warning: %s\n", w)
	}
	if s.app.settings.GetBool("quiet") {
		return
	}
	for _, w := range lines {
		ui.PrintWarning(s.app.streams.Err, s.app.hint(w), s.app.streams.ErrColor(s.app.settings.GetBool("no-color")))
	}
}

func (s *session) note(format string, args ...any) {
	fmt.Fprintf(s, format+"\n", args...)
	if !s.app.settings.GetBool("quiet") {
		fmt.Fprintln(s.app.streams.Err, s.app.hint(fmt.Sprintf(format, args...)))
	}
}

// pick turns arguments into nodes of the lab; with none, all of them.
func (s *session) pick(args []string) ([]lab.Node, error) {
	if len(args) == 0 {
		return s.lab.Nodes, nil
	}
	var nodes []lab.Node
	for _, arg := range args {
		n, ok := s.lab.Node(arg)
		if !ok {
			return nil, s.noSuchNode(arg)
		}
		if !slices.ContainsFunc(nodes, func(m lab.Node) bool { return m.Name == n.Name }) {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

func (s *session) noSuchNode(name string) error {
	names := s.lab.NodeNames()
	e := &trouble.Error{
		ID: "unknown-node", Why: fmt.Sprintf("lab %s has no node %q", s.lab.Name, name),
		Next: []string{"its nodes are " + strings.Join(names, ", ")}, Exit: trouble.ExitUsage,
	}
	addresses := map[string]string{}
	for _, n := range s.lab.Nodes {
		addresses[n.IP.String()] = n.Name
	}
	if c := s.app.called; c != nil && pathIn(c) == "exec" && strings.EqualFold(name, "all") {
		e.Next = append([]string{"all nodes: dcalab exec --all -- COMMAND"}, e.Next...)
		return e
	}
	e.Next = append(lab.NodeMeant(name, names, addresses), e.Next...)
	return e
}

// notYet advises somebody who names a node that labs.yaml does not have yet.
func notYet(err error) error {
	var t *trouble.Error
	if errors.As(err, &t) && t.ID == "unknown-node" {
		t.Next = append(t.Next, "a new one: first write it into labs.yaml")
		if strings.HasSuffix(t.Why, `"yes"`) || strings.HasSuffix(t.Why, `"true"`) {
			t.Next = []string{"a switch such as --swarm takes no value after it"}
		}
	}
	return err
}

// namesFirst tells of a name that is misspelt rather than of what kept the
// names from being looked at: it would be met next. What was refused later, or
// failed, stands: the swarm knew the names, and they may be ids.
func (s *session) namesFirst(names []string, err error) error {
	var t *trouble.Error
	if !errors.As(err, &t) || !slices.Contains([]string{"no-swarm", "no-quorum", "two-swarms", "nobody-answers"}, t.ID) {
		return err
	}
	for _, name := range names {
		if _, ok := s.lab.Node(name); ok {
			continue
		}
		var unknown *trouble.Error
		if e := s.noSuchNode(name); errors.As(e, &unknown) && len(unknown.Next) > 1 {
			return e
		}
	}
	return err
}

func names(nodes []lab.Node) []string {
	out := make([]string, len(nodes))
	for i, n := range nodes {
		out[i] = n.Name
	}
	return out
}

// needCreated refuses what makes no sense for a lab that was never made.
func (s *session) needCreated() error {
	if s.created {
		return nil
	}
	e := &trouble.Error{
		ID: "lab-absent", What: "lab " + s.lab.Name, Why: "it has not been created here (" + filepath.Dir(filepath.Dir(s.state.Dir())) + ")",
		Next: []string{"bring it up: dcalab up"},
	}
	e.Next = append(e.Next, s.neighbours()...)
	return e
}

// made names the labs that have a record in a folder of states.
func made(folder string) []string {
	entries, _ := os.ReadDir(folder) // none where there is no such folder
	var labs []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(folder, e.Name(), "lab.json")); err == nil {
			labs = append(labs, e.Name())
		}
	}
	return labs
}

// builtIn tells whether the labs.yaml that dcalab carries has a lab.
func (a *app) builtIn(name string) bool {
	file, err := lab.Parse("labs.yaml (built in)", a.embedded.Labs)
	if err != nil {
		return false
	}
	_, err = file.Lab(name)
	return err == nil
}

func (s *session) dialOptions() node.Options {
	return node.Options{KnownHosts: s.state.KnownHosts(), AgentSocket: os.Getenv("SSH_AUTH_SOCK")}
}

// reach opens the SSH connection to one node of a running lab.
func (s *session) reach(ctx context.Context, n lab.Node) (*node.Conn, error) {
	if err := s.needCreated(); err != nil {
		return nil, err
	}
	machines, err := s.driver.Status(ctx)
	if err != nil {
		return nil, err
	}
	return s.dial(ctx, n.Name, machines[n.Name])
}

// dial opens the SSH connection to a node whose machine has this status.
func (s *session) dial(ctx context.Context, name string, status machine.Status) (*node.Conn, error) {
	if err := notRunning(name, status); err != nil {
		return nil, err
	}
	ep, err := s.driver.Endpoint(ctx, name)
	if err != nil {
		return nil, err
	}
	return node.Dial(ctx, ep, s.dialOptions())
}

// notRunning is why a machine that does not run cannot be asked.
func notRunning(node string, status machine.Status) error {
	switch status {
	case machine.StatusRunning:
		return nil
	case machine.StatusHalted:
		return &trouble.Error{ID: "node-halted", Where: node, Why: "its machine is halted", Next: []string{"dcalab start " + node}}
	case machine.StatusAbsent:
		return &trouble.Error{ID: "node-absent", Where: node, Why: "its machine is not created", Next: []string{"dcalab up " + node}, Err: swarm.ErrAbsent}
	default:
		return &trouble.Error{ID: "node-unknown", Where: node, Why: "the state of its machine is not known"}
	}
}

// crew is the lab's nodes, connected where they can be.
type crew struct {
	connected
	machines map[string]machine.Status
	targets  []swarm.Target
	clients  []*engine.Client
}

func (c *crew) Close() {
	c.closeEngines()
	c.connected.Close()
}

// nobody is an error where no node at all could be reached: nothing is known
// then of what there would be to do.
func (c *crew) nobody() error {
	var why []string
	for _, t := range c.targets {
		if t.Unreachable == nil {
			return nil
		}
		why = append(why, t.Unreachable.Error())
	}
	return &trouble.Error{ID: "nobody-answers", What: "no node answers", Why: strings.Join(why, "; "), Next: []string{"bring the machines up: dcalab up"}}
}

func (c *crew) closeEngines() {
	for _, e := range c.clients {
		_ = e.Close()
	}
}

// connected are nodes that a command has an SSH connection to.
type connected struct {
	nodes map[string]*node.Conn
	// formed is the number of steps that brought them into the swarm already,
	// lesson what a person would have typed so far.
	formed int
	lesson lesson.Lesson
}

func (c *connected) Close() {
	for _, n := range c.nodes {
		_ = n.Close()
	}
}

// muster connects to every node of the lab at once. Those that cannot be
// reached carry the reason.
func (s *session) muster(ctx context.Context) (*crew, error) { return s.gather(ctx, nil) }

// gather is muster for nodes of which some are connected already; the crew
// takes these over.
func (s *session) gather(ctx context.Context, have *connected) (*crew, error) {
	var machines map[string]machine.Status
	if have == nil || len(have.nodes) < len(s.lab.Nodes) {
		var err error
		if machines, err = s.driver.Status(ctx); err != nil {
			return nil, err
		}
	}
	nodes := map[string]*node.Conn{}
	if have != nil {
		nodes, have.nodes = have.nodes, nil
	}
	failed := map[string]error{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var absent []lab.Node
	for _, n := range s.lab.Nodes {
		if nodes[n.Name] == nil {
			absent = append(absent, n)
		}
	}
	for _, n := range absent {
		wg.Go(func() {
			node, err := s.dial(ctx, n.Name, machines[n.Name])
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[n.Name] = err
				return
			}
			nodes[n.Name] = node
		})
	}
	wg.Wait()
	return s.assemble(machines, nodes, failed)
}

// assemble makes the swarm's targets of connected nodes.
func (s *session) assemble(machines map[string]machine.Status, nodes map[string]*node.Conn, failed map[string]error) (*crew, error) {
	c := &crew{connected: connected{nodes: nodes}, machines: machines}
	for _, n := range s.lab.Nodes {
		t := swarm.TargetFor(s.lab, n)
		_, t.Stray = s.gone[n.Name]
		t.Dissolved = s.record.Dissolved
		conn := nodes[n.Name]
		if conn == nil {
			t.Unreachable = failed[n.Name]
			if t.Unreachable == nil {
				t.Unreachable = notRunning(n.Name, machines[n.Name])
			}
		} else {
			client, err := engine.New(n.Name, conn.DialEngine)
			if err != nil {
				c.Close()
				return nil, err
			}
			c.clients = append(c.clients, client)
			t.Engine, t.Certificate = client, certificateOf(conn)
		}
		c.targets = append(c.targets, t)
	}
	return c, nil
}

// certificateOf reads a node's own certificate, as swarm.Target wants it.
func certificateOf(c *node.Conn) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) { return provision.Certificate(ctx, c) }
}

// asRoot tells whether this command must be run again as root: the driver makes
// and removes machines with rights that only root has.
func (s *session) asRoot() bool {
	return s.driver.Traits().NeedsRoot && os.Geteuid() != 0
}

// sudo runs this same command again through sudo, and gives its outcome.
func (s *session) sudo(ctx context.Context) error {
	if s.app.dryRun() {
		return errDryRun
	}
	sudo, err := exec.LookPath("sudo")
	if err != nil {
		return &trouble.Error{
			ID: "sandbox-needs-root", What: "the sandbox driver", Why: "making namespaces, mounts and links needs root, and sudo is not installed",
			Next: []string{"run this command as root"}, Exit: trouble.ExitRequirement,
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	keep := []string{"NO_COLOR", "TERM", "XDG_STATE_HOME", ThroughSudo}
	for _, kv := range os.Environ() {
		if key, _, _ := strings.Cut(kv, "="); strings.HasPrefix(key, "DCALAB_") {
			keep = append(keep, key)
		}
	}
	s.note("the sandbox driver needs root for this: %s", lesson.Line(append([]string{"sudo", s.app.calledAs()}, s.app.args...)...))
	// Ctrl-C reaches sudo and its child by itself, from the terminal.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), sudo,
		append([]string{"--preserve-env=" + strings.Join(keep, ","), "--", self}, s.app.args...)...)
	cmd.Env = append(os.Environ(), ThroughSudo+"="+s.app.calledAs())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.app.streams.In, s.app.streams.Out, s.app.streams.Err
	err = cmd.Run()
	s.app.delegated = err == nil
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		status := exit.ExitCode()
		if status == refusedBySudo {
			return s.noSudo()
		}
		s.app.delegated = true
		if status == failedThroughSudo {
			return remoteError(trouble.ExitFailure)
		}
		return remoteError(status)
	}
	return err
}

const (
	// ThroughSudo is the variable that is set for a dcalab that another one runs
	// through sudo, to how its user called that one. It ends with
	// failedThroughSudo in place of 1, which is left to sudo itself.
	ThroughSudo       = "DCALAB_THROUGH_SUDO"
	refusedBySudo     = 1
	failedThroughSudo = 101
)

// noSudo is said after sudo has said why it did not run the command.
func (s *session) noSudo() error {
	e := &trouble.Error{
		ID: "sandbox-needs-root", What: "the sandbox driver", Why: "making namespaces, mounts and links needs root, and sudo did not run it; see sudo's message above",
		Next: []string{"where it wants a password and has no terminal, give it one first, on a terminal: sudo -v", "if you may not use sudo here, run this command as root"}, Exit: trouble.ExitRequirement,
	}
	if !s.created {
		e.Next = append(e.Next, "or take virtual machines, which need no root: dcalab --driver vagrant up")
	}
	return e
}
