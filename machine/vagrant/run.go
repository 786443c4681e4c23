package vagrant

import (
	"bufio"
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

	"github.com/dcalab/dcalab/trouble"
)

// errFailed: Vagrant ran and ended with a failure; the outcome says which.
var errFailed = errors.New("vagrant failed")

// grace is how long Vagrant may take to clean up after it was interrupted,
// before it is killed.
const grace = 2 * time.Minute

// letGo is how long what Vagrant leaves running (a provider's daemon, started
// just now) may hold its output after it has ended.
const letGo = 2 * time.Second

// lockPause is between two attempts while another Vagrant is at work.
const lockPause = 2 * time.Second

// tail is how many of Vagrant's last lines are kept for an explanation.
const tail = 200

// Command is Vagrant with these arguments in the lab's folder, for somebody
// who wants to talk to it. The caller gives it its input and output.
func (d *Driver) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	if err := d.reachable(); err != nil {
		return nil, err
	}
	return d.vagrant(ctx, args)
}

// vagrant is the one place where Vagrant is started: what it runs as code, the
// Vagrantfile and what is in its own folder, is dcalab's each time.
func (d *Driver) vagrant(ctx context.Context, args []string) (*exec.Cmd, error) {
	program, err := exec.LookPath(d.cfg.Program)
	if err != nil {
		return nil, &trouble.Error{
			ID: "vagrant-missing", What: "start Vagrant", Why: "it is not installed, or not on PATH",
			Next: []string{"see what this machine lacks: dcalab doctor"}, Exit: trouble.ExitRequirement, Err: err,
		}
	}
	if err := d.writeVagrantfile(args); err != nil {
		return nil, err
	}
	own, err := d.cfg.Index.OpenVagrantDir(d.cfg.ID, true)
	if err != nil {
		return nil, err
	}
	if err := own.Close(); err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = d.cfg.State.Dir()
	c.Env = d.environment()
	return c, nil
}

// environment is the user's own, but that Vagrant stays in the lab's folders,
// asks nobody for news, and can be read.
func (d *Driver) environment() []string {
	set := map[string]string{
		"VAGRANT_CWD":                d.cfg.State.Dir(),
		"VAGRANT_VAGRANTFILE":        "Vagrantfile",
		"VAGRANT_DOTFILE_PATH":       d.dotfile(),
		"VAGRANT_DEFAULT_PROVIDER":   d.cfg.Provider,
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
func (d *Driver) run(ctx context.Context, each func(event), args ...string) (outcome, error) {
	out := outcome{Args: args, Provider: d.cfg.Provider, Log: d.cfg.State.Log()}
	if err := ctx.Err(); err != nil {
		return out, err
	}
	if err := d.reachable(); err != nil {
		return out, err
	}
	c, err := d.vagrant(context.WithoutCancel(ctx), append(slices.Clone(args), "--machine-readable"))
	if err != nil {
		return out, err
	}
	// Ctrl-C in a terminal reaches every process in the foreground. Vagrant is
	// told once, by dcalab, whoever ended it: told twice, it drops everything.
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
		d.log(s)
	}
	fmt.Fprintf(d.cfg.Log, "vagrant %s\n", strings.Join(args, " "))
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

// end interrupts a Vagrant, and kills one that has not ended after the grace.
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

// reachable refuses to start Vagrant while libvirt's daemon is not there:
// vagrant-libvirt would take its machines for gone, succeed, and forget them.
func (d *Driver) reachable() error {
	if d.cfg.Provider != "libvirt" {
		return nil
	}
	p := realHost().provider(d.cfg.Provider)
	if p.Usable {
		return nil
	}
	e := &trouble.Error{ID: "provider", What: "provider libvirt cannot be used", Why: p.Why, Exit: trouble.ExitRequirement}
	for _, f := range p.Fixes {
		e.Next = append(e.Next, f.Text)
	}
	return e
}

// turn is run, after other Vagrants that are at work on the lab: one in
// another terminal, or one that outlived the dcalab that started it.
func (d *Driver) turn(ctx context.Context, each func(event), args ...string) (outcome, error) {
	for deadline := time.Now().Add(grace); ; {
		out, err := d.run(ctx, each, args...)
		if !errors.Is(err, errFailed) || !out.locked() || time.Now().After(deadline) {
			return out, err
		}
		fmt.Fprintln(d.cfg.Log, "another Vagrant is at work on the lab: waiting for it")
		pause := time.NewTimer(lockPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return out, ctx.Err()
		}
	}
}

func (d *Driver) log(s said) {
	text := strings.TrimRight(s.Text, "\n")
	if text == "" {
		return
	}
	prefix := "vagrant"
	if s.Node != "" {
		prefix = s.Node
	}
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(d.cfg.Log, "%s: %s\n", prefix, line)
	}
}
