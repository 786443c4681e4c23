package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/lesson"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// A context of Docker's holds ssh://HOST and nothing more: its client runs the
// ssh program, which reads the user's own configuration. So that has to lead to
// the lab's ssh_config, by one Include that holds for the lab's names alone.

func (a *app) context() *cobra.Command {
	c := &cobra.Command{
		Use:   "context",
		Short: "A Docker context of the lab, for the docker program of this machine",
		Long: `A Docker context says which engine the docker program of this machine talks
to. One of the lab leads to a manager, over SSH, so that docker works on the
lab's swarm from here, in every folder:

  docker --context dcalab-dca node ls
  docker --context dcalab-dca stack deploy -c stack.yml web`,
	}
	c.AddCommand(a.contextCreate(), a.contextRm())
	return c
}

func (a *app) contextCreate() *cobra.Command {
	var o contextOptions
	c := &cobra.Command{
		Use:   "create [NAME]",
		Short: "Make a Docker context of the lab",
		Long: `Make a Docker context (dcalab-LAB, where no NAME is given) that reaches a
manager of the lab over SSH. --node chooses another one; run again, it moves the
context.

It touches two things of yours, and dcalab context rm puts both back:

  Docker's contexts    one is added, by docker context create; one of that name
                       that dcalab did not make is left alone
  ~/.ssh/config        five lines are put in front, and nothing else is changed.
                       They are shown first, and asked for (--yes does not).

docker runs ssh, and ssh reads ~/.ssh/config alone; the lines make it read the
lab's ssh_config for the names dcalab-LAB-NODE and for no others. So these work
too, in any folder: ssh dcalab-dca-node01, scp, an editor's remote mode. They
outlive destroy: after the next up they lead to the new machines.`,
		Example: "  dcalab context create\n  docker --context dcalab-dca node ls\n  docker context use dcalab-dca",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.existing()
			if err != nil {
				return err
			}
			return s.createContext(c.Context(), s.contextName(args), o)
		},
	}
	o.flags(c)
	c.Flags().StringVar(&o.node, "node", "", "node that the context reaches (default: the first manager of labs.yaml that runs)")
	_ = c.RegisterFlagCompletionFunc("node", a.completeNodes)
	return explained(c)
}

func (a *app) contextRm() *cobra.Command {
	var o contextOptions
	c := &cobra.Command{
		Use:   "rm [NAME]",
		Short: "Remove a Docker context of the lab, and what was put into ~/.ssh/config",
		Long: `Remove the Docker context that dcalab context create made, and the lines that
it put into ~/.ssh/config where no other context of the lab needs them. A
context that dcalab did not make is left alone. The lab may be gone already.`,
		Example: "  dcalab context rm",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.identify()
			if err != nil {
				return err
			}
			return s.removeContext(c.Context(), s.contextName(args), o)
		},
	}
	o.flags(c)
	return explained(c)
}

type contextOptions struct {
	node      string
	sshConfig string
	yes       bool
}

func (o *contextOptions) flags(c *cobra.Command) {
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.Flags().StringVar(&o.sshConfig, "ssh-config", "", "ssh's configuration file (default: ~/.ssh/config)")
}

// contextName is the name given, or the lab's own.
func (s *session) contextName(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return "dcalab-" + s.Lab().Name
}

// sshAlias is the name of a node in every ssh_config of this user's.
func (s *session) sshAlias(node string) string { return "dcalab-" + s.Lab().Name + "-" + node }

// contextMark is what the description of a context says whose it is by.
func (s *session) contextMark() string {
	return fmt.Sprintf("dcalab: lab %s in %s", s.Lab().Name, s.Place().Root)
}

// ownContext tells whether a context is this lab's by its description, through
// whatever link its folder was reached.
func (s *session) ownContext(c dockerContext) bool {
	root, ok := strings.CutPrefix(c.description, fmt.Sprintf("dcalab: lab %s in ", s.Lab().Name))
	return ok && (lab.Place{Root: root}).Real().Root == s.Place().Real().Root
}

func (s *session) createContext(ctx context.Context, name string, o contextOptions) error {
	docker, err := findDocker()
	if err != nil {
		return err
	}
	if err := s.ownHome(); err != nil {
		return err
	}
	old, exists, err := docker.inspect(ctx, name)
	if err != nil {
		return err
	}
	if exists && !s.ownContext(old) {
		return foreignContext(name, old)
	}
	path, err := sshConfigPath(o.sshConfig)
	if err != nil {
		return err
	}
	text, err := readText(path)
	if err != nil {
		return err
	}
	block, err := s.sshBlock()
	if err != nil {
		return err
	}
	if err := s.otherBlock(path, text); err != nil {
		return err
	}
	node, err := s.contextNode(ctx, o.node)
	if err != nil {
		return err
	}
	put := func(text string) string { return withBlock(text, block, s.Lab().Name) }
	missing := put(text) != text
	verb := "create"
	if exists {
		verb = "update"
	}
	set := []string{"docker", "context", verb, name, "--description", s.contextMark(), "--docker", "host=ssh://" + s.sshAlias(node)}
	var r rehearsal
	if missing {
		r.add("put %s in front of %s", plural(strings.Count(block, "\n"), "line"), path)
		r.types(lineInFront(path, block, text != ""))
	}
	r.add("docker context %s %s, which reaches %s", verb, name, node)
	r.types(here(lesson.Line(set...)))
	if s.app.dryRun() {
		return s.rehearse(r.plan, r.lesson)
	}
	if missing {
		if !o.yes {
			fmt.Fprintf(s.app.streams.Err, "in front of %s:\n\n%s\n", path, indent(block))
			ok, err := ui.Confirm(ctx, s.app.streams, "put these lines there?")
			if err != nil {
				return err
			}
			if !ok {
				return &trouble.Error{ID: "not-confirmed", What: "context create", Why: "not confirmed, nothing was touched",
					Next: []string{"or without any context: dcalab ssh " + node + " -- docker node ls"}}
			}
		}
	}
	// The lab's file may be of an older dcalab, without the names.
	if err := s.writeSSHConfig(ctx, nil); err != nil {
		return err
	}
	before, after, err := editText(path, put)
	if err != nil {
		return err
	}
	if err := docker.set(ctx, set[1:]...); err != nil {
		_, _, undone := editText(path, func(text string) string {
			switch {
			case before == after: // they stood there already
				return text
			case text == after:
				return before
			}
			return strings.Replace(text, block, "", 1)
		})
		return errors.Join(err, undone)
	}
	try := "node ls"
	if n, ok := s.Lab().Node(node); ok && n.Role != lab.RoleManager {
		try = "ps" // only a manager lists nodes
	}
	s.note("context %s reaches %s: docker --context %s %s", name, node, name, try)
	return s.recount(r.lesson)
}

// lineInFront puts a block of lines in front of a file, which may have to be
// made.
func lineInFront(path, block string, exists bool) lesson.Lesson {
	lines := lesson.Line(append([]string{"printf", `%s\n`}, strings.Split(strings.TrimSuffix(block, "\n"), "\n")...)...)
	if !exists {
		return here(lesson.Line("mkdir", "-p", filepath.Dir(path)), lines+" >"+lesson.Line(path))
	}
	fresh := lesson.Line(path + ".new")
	return here("{ "+lines+"; cat "+lesson.Line(path)+"; } >"+fresh, "mv "+fresh+" "+lesson.Line(path))
}

func (s *session) removeContext(ctx context.Context, name string, o contextOptions) error {
	if err := s.ownHome(); err != nil {
		return err
	}
	path, err := sshConfigPath(o.sshConfig)
	if err != nil {
		return err
	}
	removed, needed := false, false
	var r rehearsal
	docker, err := findDocker()
	if err != nil {
		s.warn(err.Error() + "; a context stays, if there is one")
	} else {
		old, exists, err := docker.inspect(ctx, name)
		switch {
		case err != nil:
			return err
		case exists && !s.ownContext(old):
			return foreignContext(name, old)
		case exists:
			r.add("docker context rm %s", name)
			r.types(here(lesson.Line("docker", "context", "rm", name)))
			if s.app.dryRun() {
				break
			}
			if err := docker.remove(ctx, name); err != nil {
				return err
			}
			removed = true
			s.note("context %s is removed", name)
		}
		but := "" // in a dry run it is still there
		if exists {
			but = name
		}
		if needed, err = docker.reaches(ctx, "ssh://"+s.sshAlias(""), but); err != nil {
			return err
		}
	}
	text, err := readText(path)
	if err != nil {
		return err
	}
	if block, err := s.sshBlock(); err == nil && !needed && hasBlock(text, block, s.Lab().Name) {
		r.add("take %s out of %s", plural(strings.Count(block, "\n"), "line"), path)
		r.types(here(lesson.Line("sed", "-i.bak", "/^# dcalab "+s.Lab().Name+": begin/,/^# dcalab "+s.Lab().Name+": end/d", path)))
		if s.app.dryRun() {
			return s.rehearse(r.plan, r.lesson)
		}
		if _, _, err := editText(path, func(text string) string { return withoutBlock(text, s.Lab().Name) }); err != nil {
			return err
		}
		removed = true
		s.note("its lines are taken out of %s", path)
	}
	if s.app.dryRun() {
		return s.rehearse(r.plan, r.lesson)
	}
	if !removed {
		s.note("there is no context %s of lab %s: nothing to remove", name, s.Lab().Name)
	}
	return s.recount(r.lesson)
}

// ownHome refuses to write into root's home what is meant for the user's.
func (s *session) ownHome() error {
	if s.Owner().UID == 0 {
		return nil
	}
	return &trouble.Error{
		ID: "context-under-sudo", What: "context", Why: "contexts and ~/.ssh/config would be root's, not yours",
		Next: []string{"the same without sudo: nothing here needs it"}, Exit: trouble.ExitRefused,
	}
}

// contextNode is the node that a context reaches.
func (s *session) contextNode(ctx context.Context, name string) (string, error) {
	machines, err := s.Driver().Status(ctx)
	if err != nil {
		return "", err
	}
	if name != "" {
		nodes, err := s.pick([]string{name})
		if err != nil {
			return "", err
		}
		return nodes[0].Name, labsession.NotRunning(nodes[0].Name, machines[nodes[0].Name])
	}
	first := ""
	for _, n := range s.Lab().Nodes {
		if n.Role != lab.RoleManager {
			continue
		}
		if machines[n.Name] == machine.StatusRunning {
			return n.Name, nil
		}
		if first == "" {
			first = n.Name
		}
	}
	return "", labsession.NotRunning(first, machines[first])
}

func foreignContext(name string, c dockerContext) error {
	e := &trouble.Error{
		ID: "context-foreign", What: "context " + name, Exit: trouble.ExitRefused,
		Why:  "there is one of that name that is not this lab's, and it is left alone",
		Next: []string{"what it is: docker context inspect " + name, "another name: dcalab context create NAME"},
	}
	if c.description != "" {
		e.Why += fmt.Sprintf(" (%s)", c.description)
	}
	return e
}

// The lines in ~/.ssh/config.

func blockBegin(labName string) string {
	return "# dcalab " + labName + ": begin (made by dcalab context create, removed by dcalab context rm)\n"
}

func blockEnd(labName string) string { return "# dcalab " + labName + ": end\n" }

// sshBlock are the lines that lead ssh to the lab's ssh_config for the lab's
// names. An Include within a Host holds for that Host alone (ssh_config(5));
// Match all ends it, so that what follows means what it meant before.
func (s *session) sshBlock() (string, error) {
	path := filepath.ToSlash(s.State().SSHConfig())
	// Include expands patterns and, in newer versions, tokens and variables.
	if node.CheckPath(path) != nil || strings.ContainsAny(path, `*?[]%$`) {
		return "", &trouble.Error{ID: "ssh-config-path", What: "context", Why: fmt.Sprintf("ssh's configuration cannot carry the path %q", path),
			Next: []string{"keep the lab in a folder with a plainer name"}, Exit: trouble.ExitRefused}
	}
	return blockBegin(s.Lab().Name) + "Host " + s.sshAlias("*") + "\n  Include \"" + path + "\"\nMatch all\n" + blockEnd(s.Lab().Name), nil
}

// withoutBlock takes the lab's lines out of a configuration.
func withoutBlock(text, labName string) string {
	at, end, _ := findBlock(text, labName) // 0, 0 where there are none
	return text[:at] + text[end:]
}

// withBlock puts the lab's lines in front of a configuration. Where these very
// lines stand in it they stay, wherever their user moved them to; others of the
// lab's are replaced.
func withBlock(text, block, labName string) string {
	if hasBlock(text, block, labName) {
		return text
	}
	return block + withoutBlock(text, labName)
}

// findBlock tells where the lab's lines stand, whatever an editor has made of
// their ends.
func findBlock(text, labName string) (at, end int, ok bool) {
	line := func(s string) string { return "^" + regexp.QuoteMeta(strings.TrimSuffix(s, "\n")) + "\r?\n" }
	found := regexp.MustCompile("(?ms)" + line(blockBegin(labName)) + ".*?" + line(blockEnd(labName))).FindStringIndex(text)
	if found == nil {
		return 0, 0, false
	}
	return found[0], found[1], true
}

// hasBlock tells whether the lab's lines are these.
func hasBlock(text, block, labName string) bool {
	at, end, ok := findBlock(text, labName)
	return ok && strings.ReplaceAll(text[at:end], "\r\n", "\n") == block
}

// otherBlock refuses to replace the lines of a lab of the same name in another
// folder, if that one still exists: its names would lead to this one.
func (s *session) otherBlock(path, text string) error {
	at, end, ok := findBlock(text, s.Lab().Name)
	if !ok {
		return nil
	}
	_, rest, _ := strings.Cut(text[at:end], `Include "`)
	config, _, _ := strings.Cut(rest, `"`)
	dir := filepath.Dir(filepath.FromSlash(config))
	if (lab.Place{Root: dir}).Real() == (lab.Place{Root: s.State().Dir()}).Real() {
		return nil
	}
	state, err := lab.OpenState(filepath.Dir(filepath.Dir(dir)), s.Lab().Name, s.Owner())
	if err != nil {
		return nil //nolint:nilerr // a lab that is not there, or nobody's
	}
	if _, created, err := state.ReadRecord(); err == nil && !created {
		return nil
	}
	place := filepath.Dir(filepath.Dir(dir))
	return &trouble.Error{
		ID: "context-other-lab", What: "context create", Exit: trouble.ExitRefused,
		Why:  fmt.Sprintf("in %s, the names %s lead to the lab %s of another folder, %s", path, s.sshAlias("*"), s.Lab().Name, place),
		Next: []string{lesson.Line("cd", place) + " && dcalab --lab " + s.Lab().Name + " context rm", "or give this lab another name in labs.yaml"},
	}
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// sshConfigPath is the file that ssh reads: that of the user's entry in the
// system's list, whatever HOME says. What a link leads to is written, not the
// link: people keep such files elsewhere.
func sshConfigPath(given string) (string, error) {
	path := given
	if path == "" {
		u, err := user.Current()
		if err != nil {
			return "", fmt.Errorf("find ~/.ssh/config: %w", err)
		}
		path = filepath.Join(u.HomeDir, ".ssh", "config")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find ~/.ssh/config: %w", err)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target, nil
	}
	return path, nil
}

// maxSSHConfig is far above any that ssh is given, in bytes.
const maxSSHConfig = 16 << 20

func readText(path string) (string, error) {
	// One that was cut short would be written back so: it is read whole, or not.
	data, _, err := lab.ReadInput(path, maxSSHConfig, owner())
	if errors.Is(err, lab.ErrUnfit) {
		return "", &trouble.Error{
			ID: "ssh-config-unfit", What: "ssh's configuration is left as it is", Err: err,
			Next: []string{"name the file that ssh reads: dcalab context create --ssh-config FILE"}, Exit: trouble.ExitRefused,
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read ssh's configuration: %w", err)
	}
	return string(data), nil
}

// editText changes a file as it is at this moment: while somebody was asked, or
// a node looked for, its user may have edited it.
func editText(path string, change func(string) string) (before, after string, err error) {
	if before, err = readText(path); err != nil {
		return "", "", err
	}
	if after = change(before); after != before {
		err = writeText(path, after)
	}
	return before, after, err
}

// writeText replaces a file in one step, keeping its mode; a new one is its
// owner's alone. What is left empty is not removed: it was perhaps there.
func writeText(path, text string) error {
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	err := func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".dcalab-*")
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
		if err == nil {
			err = lab.Rename(f.Name(), path)
		}
		if err != nil {
			// Where only the folder could not be brought to the disk, it has
			// its new name already.
			if gone := os.Remove(f.Name()); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
		return err
	}()
	if err != nil {
		return fmt.Errorf("write ssh's configuration: %w", err)
	}
	return nil
}

// dockerCLI is the docker program of this machine.
type dockerCLI struct{ path string }

// dockerContext is what is of interest in a context.
type dockerContext struct{ description, host string }

func findDocker() (dockerCLI, error) {
	path, err := exec.LookPath("docker")
	if err != nil {
		return dockerCLI{}, &trouble.Error{
			ID: "docker-cli-missing", What: "context", Why: "the docker program is not installed on this machine",
			Next: []string{"install Docker's client (the engine is not needed): docker-cli or docker.io in most distributions",
				"or do without: dcalab ssh NODE -- docker node ls"}, Exit: trouble.ExitRequirement,
		}
	}
	return dockerCLI{path}, nil
}

func (d dockerCLI) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, d.path, args...)
	// A context of the environment that does not exist would stop any command.
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "DOCKER_CONTEXT=") && !strings.HasPrefix(kv, "DOCKER_HOST=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.WaitDelay = time.Second
	var out, story bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &story
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(story.String()); text != "" {
			err = errors.New(text)
		}
		return nil, fmt.Errorf("%s: %w", lesson.Line(append([]string{"docker"}, args[:min(2, len(args))]...)...), err)
	}
	return out.Bytes(), nil
}

func (d dockerCLI) names(ctx context.Context) ([]string, error) {
	out, err := d.run(ctx, "context", "ls", "--quiet")
	return strings.Fields(string(out)), err
}

func (d dockerCLI) inspect(ctx context.Context, name string) (c dockerContext, exists bool, err error) {
	names, err := d.names(ctx)
	if err != nil || !slices.Contains(names, name) {
		return c, false, err
	}
	out, err := d.run(ctx, "context", "inspect", name)
	if err != nil {
		return c, false, err
	}
	var all []struct {
		Metadata  struct{ Description string }
		Endpoints map[string]struct{ Host string }
	}
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 {
		return c, false, fmt.Errorf("docker context inspect %s: an answer that cannot be read: %w", name, err)
	}
	return dockerContext{description: all[0].Metadata.Description, host: all[0].Endpoints["docker"].Host}, true, nil
}

// reaches tells whether the host of any context but one begins so.
func (d dockerCLI) reaches(ctx context.Context, prefix, but string) (bool, error) {
	names, err := d.names(ctx)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if name == but {
			continue
		}
		c, _, err := d.inspect(ctx, name)
		if err != nil {
			return false, err
		}
		if strings.HasPrefix(c.host, prefix) {
			return true, nil
		}
	}
	return false, nil
}

func (d dockerCLI) set(ctx context.Context, args ...string) error {
	_, err := d.run(ctx, args...)
	return err
}

func (d dockerCLI) remove(ctx context.Context, name string) error {
	_, err := d.run(ctx, "context", "rm", name)
	if err != nil && strings.Contains(err.Error(), "in use") {
		return &trouble.Error{ID: "context-in-use", What: "context rm " + name, Why: "it is the one that docker uses now",
			Next: []string{"docker context use default, then again"}, Exit: trouble.ExitRefused, Err: err}
	}
	return err
}
