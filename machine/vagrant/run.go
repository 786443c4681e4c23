package vagrant

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// errFailed: Vagrant ran and ended with a failure; the outcome says which.
var errFailed = errors.New("vagrant failed")

// grace is how long Vagrant may take to clean up after it was interrupted,
// before it is killed.
const grace = 2 * time.Minute

// letGo is how long after Vagrant's end a process that it leaves running (a
// provider's daemon) may keep its output open.
const letGo = 2 * time.Second

// lockPause is between two attempts while another Vagrant is working.
const lockPause = 2 * time.Second

// tail is how many of Vagrant's last lines are kept for an explanation.
const tail = 200

// runner starts Vagrant for a lab.
type runner struct {
	cfg     Config
	dotfile dotfile
}

// Command is Vagrant with these arguments in the lab's folder; the caller gives it
// its input and output. Vagrant is started nowhere else: what it runs as code, the
// Vagrantfile and what is in its own folder, is dcalab's each time.
func (r runner) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	if err := r.reachable(); err != nil {
		return nil, err
	}
	program, err := exec.LookPath(r.cfg.Program)
	if err != nil {
		return nil, &trouble.Error{
			ID: "vagrant-missing", What: "start Vagrant", Why: "it is not installed, or not on PATH",
			Next: []string{"see what this machine lacks: dcalab doctor"}, Exit: trouble.ExitRequirement, Err: err,
		}
	}
	if err := r.writeVagrantfile(args); err != nil {
		return nil, err
	}
	own, err := r.cfg.Index.OpenVagrantDir(r.cfg.ID, true)
	if err != nil {
		return nil, err
	}
	if err := own.Close(); err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = r.cfg.State.Dir()
	c.Env = r.environment()
	return c, nil
}

// environment is the user's own, with settings that keep Vagrant in the lab's
// folders, from asking for news, and its output readable.
func (r runner) environment() []string {
	set := map[string]string{
		"VAGRANT_CWD":                r.cfg.State.Dir(),
		"VAGRANT_VAGRANTFILE":        "Vagrantfile",
		"VAGRANT_DOTFILE_PATH":       r.dotfile.path(),
		"VAGRANT_DEFAULT_PROVIDER":   r.cfg.Provider,
		"VAGRANT_CHECKPOINT_DISABLE": "1",
		"VAGRANT_NO_COLOR":           "1",
	}
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		_, ok := set[key]
		return ok
	})
	for _, key := range slices.Sorted(maps.Keys(set)) {
		env = append(env, key+"="+set[key])
	}
	return env
}

// run runs Vagrant once and gives each event of its stream to each, one after
// the other, as it comes. The error is errFailed where Vagrant failed, ctx's
// where that ended, or what kept Vagrant from starting.
func (r runner) run(ctx context.Context, each func(event), args ...string) (outcome, error) {
	out := outcome{Args: args, Provider: r.cfg.Provider, Log: r.cfg.State.Log()}
	if err := ctx.Err(); err != nil {
		return out, err
	}
	c, err := r.Command(context.WithoutCancel(ctx), append(slices.Clone(args), "--machine-readable")...)
	if err != nil {
		return out, err
	}
	// Ctrl-C in a terminal reaches every process in the foreground. Vagrant gets
	// one interrupt, from dcalab: at a second one it would drop everything.
	separate(c)
	c.WaitDelay = letGo

	var mu sync.Mutex
	say := func(s said) {
		mu.Lock()
		defer mu.Unlock()
		out.Said = append(out.Said, s)
		if len(out.Said) > tail {
			out.Said = out.Said[1:]
		}
		r.tell(s)
	}
	fmt.Fprintf(r.cfg.Log, "vagrant %s\n", strings.Join(args, " "))
	stdout, tellOut := io.Pipe()
	stderr, tellErr := io.Pipe()
	c.Stdout, c.Stderr = tellOut, tellErr
	var wg sync.WaitGroup
	wg.Go(func() {
		err := readStream(stdout, func(e event) {
			switch e.Type {
			case "ui":
				say(said{Node: e.Target, Kind: e.data(0), Text: e.data(1)})
			case "error-exit":
				mu.Lock()
				out.Errors = append(out.Errors, vagrantError{Node: e.Target, Class: e.data(0), Message: e.data(1)})
				mu.Unlock()
				say(said{Node: e.Target, Kind: "error", Text: e.data(1)})
			}
			each(e)
		}, func(line string) { say(said{Kind: "stdout", Text: line}) })
		_ = stdout.CloseWithError(err)
	})
	wg.Go(func() {
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			say(said{Kind: "stderr", Text: lines.Text()})
		}
		_ = stderr.CloseWithError(lines.Err())
	})
	err = c.Start()
	if err == nil {
		ended := make(chan struct{})
		stop := context.AfterFunc(ctx, func() { end(c.Process, ended) })
		err = c.Wait()
		close(ended)
		stop()
	}
	_ = tellOut.Close()
	_ = tellErr.Close()
	wg.Wait()
	if c.ProcessState != nil {
		out.Exit = c.ProcessState.ExitCode()
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return out, ctx.Err()
	case errors.As(err, &exit):
		return out, errFailed
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return out, fmt.Errorf("run vagrant %s: %w", args[0], err)
	}
	return out, nil
}

// end interrupts a Vagrant, and kills it if it has not ended after the grace.
func end(p *os.Process, ended <-chan struct{}) {
	_ = interrupt(p)
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		_ = p.Kill()
	}
}

// reachable refuses to start Vagrant while libvirt's daemon does not answer:
// vagrant-libvirt would think that its machines are gone, succeed, and forget them.
func (r runner) reachable() error {
	if r.cfg.Provider != "libvirt" {
		return nil
	}
	p := realHost().provider(r.cfg.Provider)
	if p.Usable {
		return nil
	}
	e := &trouble.Error{ID: "provider", What: "provider libvirt cannot be used", Why: p.Why, Exit: trouble.ExitRequirement}
	for _, f := range p.Fixes {
		e.Next = append(e.Next, f.Text)
	}
	return e
}

// runInTurn is run, after other Vagrants that are working on the lab: one in
// another terminal, or one that outlived the dcalab that started it.
func (r runner) runInTurn(ctx context.Context, each func(event), args ...string) (outcome, error) {
	for deadline := time.Now().Add(grace); ; {
		out, err := r.run(ctx, each, args...)
		if !errors.Is(err, errFailed) || !out.locked() || time.Now().After(deadline) {
			return out, err
		}
		fmt.Fprintln(r.cfg.Log, "another Vagrant is at work on the lab: waiting for it")
		pause := time.NewTimer(lockPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return out, ctx.Err()
		}
	}
}

func (r runner) tell(s said) {
	text := strings.TrimRight(s.Text, "\n")
	if text == "" {
		return
	}
	prefix := "vagrant"
	if s.Node != "" {
		prefix = s.Node
	}
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(r.cfg.Log, "%s: %s\n", prefix, line)
	}
}

// writeVagrantfile writes the Vagrantfile for these arguments of Vagrant, which
// runs it as code: what somebody else has put there is replaced. Machines that
// labs.yaml no longer has are in it too, so that Vagrant still knows them, but not
// for snapshots, since Vagrant takes them of every machine in its file.
func (r runner) writeVagrantfile(args []string) error {
	ids, err := r.dotfile.machineIDs()
	if err != nil {
		return err
	}
	var gone []string
	for name := range ids {
		if _, ok := r.cfg.Lab.Node(name); !ok {
			gone = append(gone, name)
		}
	}
	if len(args) > 1 && args[0] == "snapshot" && (args[1] == "save" || args[1] == "restore") {
		gone = nil
	}
	slices.Sort(gone)
	text, err := Render(r.cfg.Template, r.cfg.Lab, Options{LabID: r.cfg.ID, Provider: r.cfg.Provider, Gone: gone, Driven: true})
	if err != nil {
		return err
	}
	// Nothing is written without need: on a full disk destroy must still work.
	if old, err := r.cfg.State.ReadFile("Vagrantfile"); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return r.cfg.State.WriteFile("Vagrantfile", text, 0o600)
}

// do runs Vagrant in turn for some machines, and tells o of its steps.
func (r runner) do(ctx context.Context, o machine.Observer, args ...string) error {
	return explained(r.runInTurn(ctx, r.steps(o), args...))
}

// ask runs Vagrant at once, for what it prints.
func (r runner) ask(ctx context.Context, each func(event), args ...string) error {
	return explained(r.run(ctx, each, args...))
}

// explained gives the error of a run; where Vagrant failed, what it means.
func explained(out outcome, err error) error {
	if errors.Is(err, errFailed) {
		return explain(out)
	}
	return err
}

// steps tells o what Vagrant says about the lab's nodes.
func (r runner) steps(o machine.Observer) func(event) {
	return func(e event) {
		if n, ok := r.cfg.Lab.Node(e.Target); ok {
			if what := stepOf(e); what != "" {
				o.Begin(n.Name, what)
			}
		}
	}
}
