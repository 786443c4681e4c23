package vagrant

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/node"
)

// stage is a driver whose Vagrant is testdata/fake-vagrant, and whose machines
// are SSH servers of the test's own.
type stage struct {
	*Driver
	t     *testing.T
	dir   string
	state *lab.State

	mu   sync.Mutex
	said map[string][]string // commands that were run on each node
}

func newStage(t *testing.T) *stage {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for Vagrant is a shell script")
	}
	program, err := filepath.Abs("testdata/fake-vagrant")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab.Lab{Name: "dca", Domain: "docker-dca.example", Subnet: netip.MustParsePrefix("10.20.20.0/24"), Interface: "enp0s8"}
	for i, name := range []string{"master", "node01", "node02"} {
		l.Nodes = append(l.Nodes, lab.Node{Name: name, IP: netip.AddrFrom4([4]byte{10, 20, 20, byte(100 + 10*i)}), Box: "box", CPUs: 1, Memory: 512})
	}
	state, err := lab.OpenState(t.TempDir(), "dca", lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := state.Create(); err != nil {
		t.Fatal(err)
	}
	template, err := os.ReadFile("../../Vagrantfile.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	f := &stage{t: t, dir: t.TempDir(), state: state, said: map[string][]string{}}
	t.Setenv("FAKE_VAGRANT", f.dir)
	f.Driver = New(Config{Lab: l, ID: "0123456789ab", Provider: "virtualbox", Template: string(template), State: state, Index: indexBelow(t, filepath.Dir(filepath.Dir(state.Dir()))), Program: program})
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	f.write("key", string(pem.EncodeToMemory(block)))
	for _, n := range l.Nodes {
		f.serve(n.Name)
		f.play("up", `for n; do case $n in master|node*) up $n;; esac; done`)
	}
	return f
}

// indexBelow is the index of a user whose state is below root.
func indexBelow(t *testing.T, root string) *lab.Index {
	t.Helper()
	x, err := lab.OpenIndex(func(key string) string {
		return map[string]string{"XDG_STATE_HOME": filepath.Join(root, "state")}[key]
	}, lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (f *stage) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// play says what a command of Vagrant does.
func (f *stage) play(command, script string) { f.t.Helper(); f.write(command, script) }

// starts gives the arguments of each start of Vagrant since the last call.
func (f *stage) starts() []string {
	f.t.Helper()
	path := filepath.Join(f.dir, "starts")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.t.Fatal(err)
	}
	_ = os.Remove(path)
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
}

// serve is the sshd of a node, with a new host key. Every key may log in, and
// every command succeeds.
func (f *stage) serve(node string) {
	f.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = listener.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	f.write("port-"+node, port)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		f.t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	config.AddHostKey(signer)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go f.talk(node, conn, config)
		}
	}()
}

func (f *stage) talk(node string, conn net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				_ = r.Reply(true, nil)
				if r.Type != "exec" {
					continue
				}
				input, _ := io.ReadAll(channel)
				f.mu.Lock()
				f.said[node] = append(f.said[node], string(input))
				f.mu.Unlock()
				_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{}))
				_ = channel.Close()
			}
		}()
	}
}

func (f *stage) wantStatus(want map[string]machine.Status) {
	f.t.Helper()
	got, err := f.Status(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		f.t.Errorf("status is %v, want %v", got, want)
	}
}

func (f *stage) wantStarts(want ...string) {
	f.t.Helper()
	if got := f.starts(); !slices.Equal(got, want) {
		f.t.Errorf("Vagrant was started for %q, want %q", got, want)
	}
}

func all(s machine.Status) map[string]machine.Status {
	return map[string]machine.Status{"master": s, "node01": s, "node02": s}
}

func TestOneStartPerOperation(t *testing.T) {
	f := newStage(t)
	ctx := t.Context()
	f.wantStatus(all(machine.StatusAbsent))
	if err := errors.Join(f.Halt(ctx, machine.Observer{}), f.Destroy(ctx, machine.Observer{})); err != nil {
		t.Fatal(err)
	}
	f.wantStarts() // nothing exists: nobody need be asked

	var mu sync.Mutex
	var ready []string
	o := machine.Observer{Ready: func(ep node.Endpoint) {
		mu.Lock()
		defer mu.Unlock()
		ready = append(ready, ep.Node)
		if ep.HostKeyAlias != ep.Node+".docker-dca.example" || ep.User != "vagrant" {
			t.Errorf("endpoint is %+v", ep)
		}
	}}
	if err := f.Up(ctx, o); err != nil {
		t.Fatal(err)
	}
	f.wantStarts("up --provider virtualbox master node01 node02 --machine-readable")
	slices.Sort(ready)
	if want := f.cfg.Lab.NodeNames(); !slices.Equal(ready, want) {
		t.Errorf("ready were %v, want %v", ready, want)
	}
	names := "node01.docker-dca.example\n10.20.20.100 master.docker-dca.example master\n10.20.20.110 node01.docker-dca.example node01\n10.20.20.120 node02.docker-dca.example node02\n"
	if got := f.said["node01"]; !slices.Equal(got, []string{names}) {
		t.Errorf("node01 was given the names %q", got)
	}

	// From now on they answer, and Vagrant is left alone.
	f.wantStatus(all(machine.StatusRunning))
	if _, err := f.Endpoint(ctx, "node02"); err != nil {
		t.Error(err)
	}
	ready = nil
	if err := f.Up(ctx, o); err != nil || len(ready) != 3 {
		t.Errorf("a second up: %v, ready %v", err, ready)
	}
	f.wantStarts()

	f.play("halt", "")
	if err := f.Halt(ctx, machine.Observer{}, "node01"); err != nil {
		t.Fatal(err)
	}
	f.wantStarts("halt node01 --machine-readable")
	f.play("status", `line node01,state,poweroff`)
	f.wantStatus(map[string]machine.Status{"master": machine.StatusRunning, "node01": machine.StatusHalted, "node02": machine.StatusRunning})
	f.wantStarts("status node01 --machine-readable")
	if err := f.Start(ctx, machine.Observer{}, "node01"); err != nil {
		t.Fatal(err)
	}
	f.wantStarts("up --provider virtualbox node01 --machine-readable")

	f.play("destroy", `for n; do gone $n; done`)
	if err := f.Destroy(ctx, machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	f.wantStarts("destroy --force master node01 node02 --machine-readable")
	f.wantStatus(all(machine.StatusAbsent))
	f.wantStarts()
	for _, n := range f.cfg.Lab.Nodes {
		if keys, err := f.state.HostKeys(f.cfg.Lab.Hostname(n)); err != nil || len(keys) > 0 {
			t.Errorf("host keys of %s: %v, %v", n.Name, keys, err)
		}
	}
}

// A provider that boots machines one after another costs the lab only the
// last one's share of what is done inside.
func TestANodeIsReadyWhileTheNextOneBoots(t *testing.T) {
	f := newStage(t)
	f.play("up", `
		up master; await ready-master
		line 'node01,ui,output,==> node01: Booting VM...'
		up node01; await ready-node01
		up node02`)
	o := machine.Observer{Ready: func(ep node.Endpoint) { f.write("ready-"+ep.Node, "") }}
	if err := f.Up(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	f.wantStatus(all(machine.StatusRunning))
}

func TestVagrantWithoutTriggersIsAsked(t *testing.T) {
	f := newStage(t)
	f.play("up", `for n in master node01 node02; do up $n | grep -v dcalab-machine; done`)
	f.play("ssh-config", `line "$2,ssh-config,Host $2\n  HostName 127.0.0.1\n  User vagrant\n  Port $(cat "$FAKE_VAGRANT/port-$2")\n  IdentityFile $FAKE_VAGRANT/key\n"`)
	var mu sync.Mutex
	ready := 0
	if err := f.Up(t.Context(), machine.Observer{Ready: func(node.Endpoint) { mu.Lock(); ready++; mu.Unlock() }}); err != nil {
		t.Fatal(err)
	}
	if ready != 3 {
		t.Errorf("%d nodes were ready", ready)
	}
	f.wantStatus(all(machine.StatusRunning))
}

// Whoever uses Vagrant beside dcalab, or the hypervisor's window, is seen.
func TestWhatOthersDidIsSeen(t *testing.T) {
	f := newStage(t)
	ctx := t.Context()
	if err := f.Up(ctx, machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	f.starts()
	old, err := f.Endpoint(ctx, "master")
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := f.state.HostKeys("master.docker-dca.example")

	// vagrant destroy, vagrant up: another machine with another key.
	f.serve("master")
	if err := os.WriteFile(filepath.Join(f.dotfile.path(), "machines", "master", "virtualbox", "id"), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.play("status", `line master,state,running`)
	f.wantStatus(all(machine.StatusRunning))
	f.wantStarts("status master --machine-readable")
	f.play("ssh-config", `line "$2,ssh-config,Host $2\n  HostName 127.0.0.1\n  User vagrant\n  Port $(cat "$FAKE_VAGRANT/port-$2")\n  IdentityFile $FAKE_VAGRANT/key\n"`)
	ep, err := f.Endpoint(ctx, "master")
	if err != nil || reflect.DeepEqual(ep, old) {
		t.Fatalf("endpoint is %+v (%v), as before", ep, err)
	}
	if now, err := f.state.HostKeys("master.docker-dca.example"); err != nil || len(now) != 1 || bytes.Equal(keys[0].Marshal(), now[0].Marshal()) {
		t.Errorf("host keys are %v (%v)", now, err)
	}
	f.starts()
	f.wantStatus(all(machine.StatusRunning))
	f.wantStarts()

	// Another machine at a port that was a node's is not the node.
	r, err := f.memory.get("node01")
	if err != nil {
		t.Fatal(err)
	}
	r.Endpoint.Address = ep.Address
	if err := f.memory.edit("node01", func(remembered) remembered { return r }); err != nil {
		t.Fatal(err)
	}
	f.play("status", `line node01,state,saved`)
	f.wantStatus(map[string]machine.Status{"master": machine.StatusRunning, "node01": machine.StatusHalted, "node02": machine.StatusRunning})

	// It runs, and elsewhere: its port was given to another machine meanwhile.
	f.play("status", `line node01,state,running`)
	f.wantStatus(all(machine.StatusRunning))
	if moved, err := f.Endpoint(ctx, "node01"); err != nil || moved.Address == ep.Address {
		t.Errorf("node01 is looked for at %s still (%v)", moved.Address, err)
	}
	f.wantStatus(all(machine.StatusRunning))

	// Removed in the window: Vagrant forgets it when it looks.
	if err := f.memory.dropEndpoint("node01"); err != nil {
		t.Fatal(err)
	}
	f.play("status", `gone node01; line node01,state,not_created`)
	f.wantStatus(map[string]machine.Status{"master": machine.StatusRunning, "node01": machine.StatusAbsent, "node02": machine.StatusRunning})
}

// Ctrl-C comes to Vagrant once, and it is waited for.
func TestInterrupt(t *testing.T) {
	f := newStage(t)
	f.play("up", `
		trap 'echo told >>"$FAKE_VAGRANT/told"' INT
		line 'master,ui,output,==> master: Booting VM...'
		await told
		up master; exit 1`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	err := f.Up(ctx, machine.Observer{Step: func(string, string) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("up: %v", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("up took %v", took)
	}
	told, err := os.ReadFile(filepath.Join(f.dir, "told"))
	if err != nil || string(told) != "told\n" {
		t.Errorf("Vagrant was told %q (%v)", told, err)
	}
	f.wantStarts("up --provider virtualbox master node01 node02 --machine-readable")
	f.play("up", `for n; do case $n in master|node*) up $n;; esac; done`)
	if err := f.Up(t.Context(), machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	f.wantStatus(all(machine.StatusRunning))
}

// A daemon that a provider starts holds Vagrant's output for as long as it runs.
func TestWhatVagrantLeavesRunning(t *testing.T) {
	f := newStage(t)
	f.play("up", `
		for n; do case $n in master|node*) up $n;; esac; done
		sleep 60 & echo $! >"$FAKE_VAGRANT/daemon"`)
	t.Cleanup(func() {
		pid, err := os.ReadFile(filepath.Join(f.dir, "daemon"))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("kill", strings.TrimSpace(string(pid))).CombinedOutput(); err != nil {
			t.Errorf("the daemon did not outlive Vagrant: %s", out)
		}
	})
	if err := f.Up(t.Context(), machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	f.wantStatus(all(machine.StatusRunning))
}

func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		wanted []string
		ready  []string
	}{
		"one machine cannot be made": {
			script: `up master; line 'node01,ui,error,it broke'; line ',error-exit,Vagrant::Errors::SomethingNew,it broke'; exit 1`,
			wanted: []string{"it broke", "SomethingNew"}, ready: []string{"master"},
		},
		"killed in the midst of a line": {script: `printf '17000'; kill -9 $$`},
		"boot timeout of one that answers": {
			// It was left without the lab's network: Vagrant configures it anew.
			script: `up master; up node02; up node01 >/dev/null; line 'node01,error-exit,Vagrant::Errors::VMBootTimeout,Timed out while waiting for the machine to boot.'; exit 1`,
			ready:  []string{"master", "node01", "node02"},
		},
		"boot timeout where machines boot one after another": {
			script: `case "$*" in
				*" master node01 "*) up master >/dev/null; line 'master,error-exit,Vagrant::Errors::VMBootTimeout,Timed out while waiting for the machine to boot.'; exit 1;;
				*) for n; do case $n in node*) up $n;; esac; done;;
				esac`,
			ready: []string{"master", "node01", "node02"},
		},
		"boot timeout of one that does not answer": {
			script: `up master; up node02; mkdir -p .vagrant/machines/node01/virtualbox; echo x >.vagrant/machines/node01/virtualbox/id; rm "$FAKE_VAGRANT/port-node01"; line 'node01,error-exit,Vagrant::Errors::VMBootTimeout,Timed out while waiting for the machine to boot.'; exit 1`,
			wanted: []string{"node01"}, ready: []string{"master", "node02"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newStage(t)
			f.play("up", c.script)
			f.play("reload", `shift; for n; do case $n in node*|master) up $n;; esac; done`)
			f.play("ssh-config", `line "$2,ssh-config,Host $2\n  HostName 127.0.0.1\n  User vagrant\n  Port $(cat "$FAKE_VAGRANT/port-$2")\n  IdentityFile $FAKE_VAGRANT/key\n"`)
			var mu sync.Mutex
			var ready []string
			err := f.Up(t.Context(), machine.Observer{Ready: func(ep node.Endpoint) { mu.Lock(); ready = append(ready, ep.Node); mu.Unlock() }})
			if (err == nil) != (len(c.ready) == 3) {
				t.Fatalf("up: %v", err)
			}
			for _, w := range c.wanted {
				if !strings.Contains(fmt.Sprint(err), w) {
					t.Errorf("does not say %q: %v", w, err)
				}
			}
			if slices.Sort(ready); !slices.Equal(ready, c.ready) {
				t.Errorf("ready were %v, want %v", ready, c.ready)
			}
		})
	}
}

// A Vagrant that outlived its dcalab, or the user's own, is waited for.
func TestTurns(t *testing.T) {
	f := newStage(t)
	f.play("up", `
		if [ ! -e "$FAKE_VAGRANT/once" ]; then
			touch "$FAKE_VAGRANT/once"
			line 'master,error-exit,Vagrant::Errors::MachineActionLockedError,An action was attempted on the machine'
			exit 1
		fi
		for n; do case $n in master|node*) up $n;; esac; done`)
	if err := f.Up(t.Context(), machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	if got := f.starts(); len(got) != 2 {
		t.Errorf("Vagrant was started for %q", got)
	}
	f.wantStatus(all(machine.StatusRunning))
}

func TestStepOf(t *testing.T) {
	for line, want := range map[string]string{
		"ui,output,==> master: Booting VM...":                                             "booting VM",
		"ui,info,==> master: Creating domain with the following settings...":              "creating domain with the following settings",
		"ui,output,==> master: SSH address: 127.0.0.1:2222":                               "SSH address: 127.0.0.1:2222",
		"ui,info,==> master:  -- Name:              dcalab-dca-1f48a879c122-master":       "",
		"ui,detail,    master: Key inserted!":                                             "",
		"ui,info,==> master: Running action triggers after up ...":                        "",
		"ui,info,==> master: Waiting for machine to boot. This may take a few minutes...": "waiting for machine to boot",
		"ui,info,==> master:     -> value=virtio-net-pci.romfile=%!(VAGRANT_COMMA) ":      "",
		"ui,output,==> master: Halting...":                                                "halting",
		"state,running":                                                                   "",
		"ui,output":                                                                       "",
		"ui,output,==> ":                                                                  "",
		"ui,output,==> master: Échec: plus de place":                                      "échec: plus de place",
	} {
		e, ok := parseEvent("1700000000,master," + line)
		if !ok {
			t.Fatalf("%q is no event", line)
		}
		if got := stepOf(e); got != want {
			t.Errorf("%q is the step %q, want %q", line, got, want)
		}
	}
}

func TestHostsFile(t *testing.T) {
	sh := func(t *testing.T, before, lines string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "hosts")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		runHosts(t, path, lines)
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(after)
	}
	const lines = "10.20.20.100 master.lab.example master\n10.20.20.110 node01.lab.example node01\n"
	const block = "# dcalab: the nodes of the lab\n" + lines + "# dcalab: end\n"
	for name, c := range map[string]struct{ before, want string }{
		"empty":               {"", block},
		"as Vagrant left it":  {"127.0.0.1\tlocalhost\n127.0.1.1\tnode01.lab.example\tnode01\n127.0.2.1 node01\n", "127.0.0.1 localhost\n" + block},
		"other names stay":    {"127.0.1.1 bookworm node01 # mine\n", "127.0.1.1 bookworm\n" + block},
		"comments stay":       {"# a comment\n\n::1 ip6-localhost\n", "# a comment\n\n::1 ip6-localhost\n" + block},
		"an older block goes": {"::1 a\n# dcalab: the nodes of the lab\n10.9.9.9 old\n# dcalab: end\n", "::1 a\n" + block},
		"a second time":       {block, block},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sh(t, c.before, lines); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func runHosts(t *testing.T, path, lines string) {
	t.Helper()
	c := exec.Command("sh", "-c", hostsScript, "hosts.sh", path)
	c.Stdin = strings.NewReader(lines)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
