package vagrant

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/trouble"
)

// sample is a file of testdata/failures: what a Vagrant said that failed. It is
// named after the entry that it must hit, ENTRY.CASE.txt, and begins with lines
// of "# ": first where it comes from, last what follows.
//
//	# class: C   the message of an error of this class
//	# stream     standard output with --machine-readable, then standard error
//	# printed    what a person saw, whose class is not known
type sample struct {
	name, id, source, goos string
	outcome                outcome
}

func samples(t *testing.T) []sample {
	t.Helper()
	paths, err := filepath.Glob("testdata/failures/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no samples:", err)
	}
	var all []sample
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, readSample(t, strings.TrimSuffix(filepath.Base(path), ".txt"), string(data)))
	}
	return all
}

func readSample(t *testing.T, name, text string) sample {
	t.Helper()
	s := sample{name: name, goos: "linux"}
	s.id, _, _ = strings.Cut(name, ".")
	s.outcome = outcome{Args: []string{"up"}, Provider: "virtualbox", Exit: 1, Log: "/home/student/lab/.dcalab/dca/log"}
	for {
		line, rest, _ := strings.Cut(text, "\n")
		header, ok := strings.CutPrefix(line, "# ")
		if !ok {
			t.Fatalf("%s: the header does not say what follows", name)
		}
		text = rest
		if s.source == "" {
			s.source, _, _ = strings.Cut(header, " ")
		}
		if goos, ok := strings.CutPrefix(header, "goos: "); ok {
			s.goos = goos
		}
		class, isClass := strings.CutPrefix(header, "class: ")
		switch {
		case isClass:
			s.outcome.Errors = []vagrantError{{Class: class, Message: strings.TrimSuffix(text, "\n")}}
			return s
		case header == "printed":
			for line := range strings.Lines(text) {
				s.outcome.Said = append(s.outcome.Said, said{Kind: "stderr", Text: strings.TrimSuffix(line, "\n")})
			}
			return s
		case header == "stream":
			s.outcome.stream(t, text)
			return s
		}
	}
}

// stream fills an outcome as the driver does.
func (o *outcome) stream(t *testing.T, text string) {
	t.Helper()
	err := readStream(strings.NewReader(text), func(e event) {
		switch e.Type {
		case "ui":
			o.Said = append(o.Said, said{Node: e.Target, Kind: e.data(0), Text: e.data(1)})
		case "error-exit":
			o.Errors = append(o.Errors, vagrantError{Node: e.Target, Class: e.data(0), Message: e.data(1)})
			o.Said = append(o.Said, said{Node: e.Target, Kind: "error", Text: e.data(1)})
		}
	}, func(line string) { o.Said = append(o.Said, said{Kind: "stderr", Text: line}) })
	if err != nil {
		t.Fatal(err)
	}
}

// troubles takes apart what explain gave.
func troubles(t *testing.T, err error) []*trouble.Error {
	t.Helper()
	var all []*trouble.Error
	var walk func(error)
	walk = func(err error) {
		if e, ok := err.(*trouble.Error); ok { //nolint:errorlint // the walk itself unwraps
			all = append(all, e)
			return
		}
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range many.Unwrap() {
				walk(e)
			}
			return
		}
		t.Errorf("%T is no trouble.Error: %v", err, err)
	}
	walk(err)
	return all
}

// Each sample is explained by the entry that it is named after, and by no other.
func TestExplainsWhatVagrantSays(t *testing.T) {
	known := newCatalogue()
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			all := troubles(t, known.explain(s.goos, s.outcome))
			if len(all) == 0 {
				t.Fatal("nothing was explained")
			}
			for _, e := range all {
				if e.ID != s.id {
					t.Errorf("this is taken for %s: %v", e.ID, e)
				}
				if e.What == "" || e.Why == "" || len([]rune(e.Why)) > 200 || strings.ContainsAny(e.Why, "\n\r") {
					t.Errorf("what %q, why %q", e.What, e.Why)
				}
			}
		})
	}
}

// No two entries contend for a text, but for these, which stand after those
// that know better.
func TestEntriesDoNotContend(t *testing.T) {
	general := []string{
		"vagrant-libvirt-connection", "vagrant-libvirt-network-down", "vagrant-vagrantfile", "vagrant-terminal",
		idBootTimeout, "vagrant-host-only-interface", "vagrant-vtx-missing", "vagrant-kvm",
		"vagrant-box-missing", "vagrant-download",
	}
	known := newCatalogue()
	for _, s := range samples(t) {
		for _, f := range s.outcome.failures(s.goos) {
			var hit []string
			text := fold(f.Text)
			for i, p := range known.patterns {
				if p != nil && p.MatchString(text) {
					hit = append(hit, known.causes[i].ID)
				}
			}
			better := slices.DeleteFunc(slices.Clone(hit), func(id string) bool { return slices.Contains(general, id) })
			if len(better) > 1 || len(hit) > 2 || len(better) == 0 && len(hit) == 2 && !slices.Equal(hit, []string{"vagrant-box-missing", "vagrant-download"}) {
				t.Errorf("%s is %v", s.name, hit)
			}
		}
	}
}

// What is told of the cause is what tells it.
func TestTelling(t *testing.T) {
	known := newCatalogue()
	want := map[string]string{
		"vagrant-libvirt-denied.recorded":            "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied",
		"vagrant-vagrantfile.syntax":                 "/home/student/.vagrant.d/Vagrantfile:2: syntax error, unexpected '='",
		"vagrant-vagrantfile.name":                   "Path: /home/student/.vagrant.d/Vagrantfile Line number: 2 Message: undefined method `minutes'",
		"vagrant-vagrantfile.argument":               "/home/student/.vagrant.d/Vagrantfile:2:in `Integer': invalid value for Integer(): \"ten\" (ArgumentError)",
		"vagrant-plugin-broken.init":                 "Error message given during initialization: Unable to resolve dependency: user requested 'vagrant-parallels (> 0)'",
		"vagrant-plugin-conflict.quoted":             "conflicting dependencies csv (= 3.2.8) and csv (= 3.3.4)",
		"vagrant-offline.resolve":                    "Error: Could not resolve host: vagrantcloud.com",
		"vagrant-virtualbox-missing.recorded":        "Vagrant could not detect VirtualBox!",
		"vagrant-virtualbox-extension-blocked.macos": "VBoxManage: error: VBoxNetAdpCtl: Error while adding new interface: failed to open /dev/vboxnetctl: No such file or directory",
		"vagrant-libvirt-image-denied.qemu":          "could not open disk image /home/student/.vagrant.d/tmp/storage-pool/disk-1393649569.img: Permission denied (Libvirt::Error)",
		"vagrant-libvirt-network-taken.virtualbox":   "Error while activating network: Call to virNetworkCreate failed: internal error: Network is already in use by interface vboxnet0.",
		"vagrant-provider-unusable.template":         "the reason is none that is known",
	}
	for _, s := range samples(t) {
		w, ok := want[s.name]
		if !ok {
			continue
		}
		delete(want, s.name)
		if got := troubles(t, known.explain(s.goos, s.outcome))[0].Why; got != w {
			t.Errorf("%s\n got %s\nwant %s", s.name, got, w)
		}
	}
	if len(want) > 0 {
		t.Errorf("no such samples: %v", want)
	}
}

// The same text is known when Vagrant lost its class, as it does where several
// machines fail at once, wherever it broke its lines. Only entries that are
// for what is left of a class need that.
func TestExplainsWithoutClassesAndLineBreaks(t *testing.T) {
	known := newCatalogue()
	withText := map[string]bool{}
	for _, k := range known.causes {
		withText[k.ID] = k.Text != ""
	}
	for _, s := range samples(t) {
		if len(s.outcome.Errors) != 1 || !withText[s.id] || strings.HasSuffix(s.outcome.Errors[0].Class, ":BatchMultiError") {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			o := s.outcome
			o.Errors = []vagrantError{{Class: "Vagrant::Errors::BatchMultiError", Message: "An error occurred while executing multiple actions in parallel.\nAny errors that occurred are shown below.\n\n" +
				"An error occurred while executing the action on the 'node01'\nmachine. Please handle this error then try again:\n\n" + fold(s.outcome.Errors[0].Message)}}
			for _, e := range troubles(t, known.explain(s.goos, o)) {
				if e.ID != s.id {
					t.Errorf("this is taken for %s: %v", e.ID, e)
				}
				if e.Where != "" && e.Where != "node01" {
					t.Errorf("where: %q", e.Where)
				}
			}
		})
	}
}

func TestCatalogueIsWhole(t *testing.T) {
	sampled := map[string]bool{}
	for _, s := range samples(t) {
		sampled[s.id] = true
		if !slices.Contains([]string{"Recorded", "Rendered", "Quoted"}, s.source) {
			t.Errorf("%s does not say where it comes from", s.name)
		}
	}
	known := newCatalogue()
	ids, classes := map[string]bool{}, map[string]string{}
	for _, k := range known.causes {
		if ids[k.ID] {
			t.Errorf("%s stands there twice", k.ID)
		}
		ids[k.ID] = true
		if !strings.HasPrefix(k.ID, "vagrant-") || k.What == "" || k.Exit == 0 || k.Text == "" && len(k.Classes) == 0 {
			t.Errorf("%s is not whole: %+v", k.ID, k)
		}
		if !sampled[k.ID] {
			t.Errorf("%s has no sample in testdata/failures", k.ID)
		}
		for _, class := range k.Classes {
			if other := classes[class]; other != "" {
				t.Errorf("%s is both %s and %s", class, other, k.ID)
			}
			classes[class] = k.ID
		}
		for _, goos := range []string{"linux", "darwin", "windows", "freebsd"} {
			next := k.Next(failure{GOOS: goos, Provider: "virtualbox"})
			if len(next) == 0 || slices.Contains(next, "") {
				t.Errorf("%s has no advice on %s", k.ID, goos)
			}
		}
	}
	for id := range sampled {
		if !ids[id] {
			t.Errorf("there are samples of %s, and no entry", id)
		}
	}
}

func TestExplainNothing(t *testing.T) {
	if err := explain(outcome{Args: []string{"up"}, Said: []said{{Kind: "stderr", Text: "warning: something"}}}); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
}

func TestExplainUnknown(t *testing.T) {
	o := outcome{Args: []string{"up", "master"}, Exit: 1, Log: "/home/student/lab/.dcalab/dca/log"}
	o.stream(t, `1,master,action,up,start
2,master,ui,output,==> master: Reticulating splines...
3,,ui,detail,Progress: 3% (Rate: 0*/s%!(VAGRANT_COMMA) Estimated time remaining: --:--:--)
4,,error-exit,Vagrant::Errors::SplineError,The splines are tangled%!(VAGRANT_COMMA)\nand the token was SWMTKN-1-abc-def.\n\nUntangle them.
`)
	err := explain(o)
	want := "master: vagrant up master: exit status 1, Vagrant::Errors::SplineError\nThe splines are tangled,\nand the token was SWMTKN-***.\nUntangle them."
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(strings.Join(trouble.Advice(err), "\n"), o.Log) {
		t.Errorf("the log is not named: %q", trouble.Advice(err))
	}
}

// A crash of Ruby is told by its end, without its call stack.
func TestExplainCrash(t *testing.T) {
	o := outcome{Args: []string{"status"}, Exit: 1}
	for i := range 30 {
		o.Said = append(o.Said, said{Kind: "detail", Text: fmt.Sprintf("line %d", i)})
	}
	o.Said = append(o.Said,
		said{Kind: "stderr", Text: "/opt/vagrant/environment.rb:843:in `each': something odd (RuntimeError)"},
		said{Kind: "stderr", Text: "\tfrom /opt/vagrant/environment.rb:146:in `initialize'"},
		said{Kind: "stderr", Text: "/opt/vagrant/environment.rb:1:in `<main>'"},
	)
	lines := strings.Split(explain(o).Error(), "\n")
	if len(lines) != 1+lastWords || lines[1] != "line 21" || !strings.Contains(lines[lastWords], "something odd") {
		t.Errorf("got:\n%s", strings.Join(lines, "\n"))
	}
}

// Of machines that failed at once, each is told once, and what ails this host
// only once for all.
func TestExplainSeveral(t *testing.T) {
	const of = "An error occurred while executing the action on the '%s'\nmachine. Please handle this error then try again:\n\n%s\n\n"
	taken := "Name `%s` of domain about to create is already taken. Please try to run\n`vagrant up` command again."
	message := "An error occurred while executing multiple actions in parallel.\nAny errors that occurred are shown below.\n\n" +
		fmt.Sprintf(of, "master", fmt.Sprintf(taken, "a")) + fmt.Sprintf(of, "node01", fmt.Sprintf(taken, "b")) +
		fmt.Sprintf(of, "node02", "No usable storage pool found! Please check if storage pool is\ncreated and available.") +
		"An unexpected error occurred when executing the action on the\n'node03' machine. Please report this as a bug:\n\nno such thing\n\n/x.rb:1:in `y'\n"
	o := outcome{Args: []string{"up"}, Exit: 1, Errors: []vagrantError{{Class: "Vagrant::Errors::BatchMultiError", Message: message}}}
	o.Errors = append(o.Errors, o.Errors[0])
	var got []string
	for _, e := range troubles(t, explain(o)) {
		got = append(got, e.ID+" "+e.Where)
	}
	want := []string{"vagrant-name-taken master", "vagrant-name-taken node01", "vagrant-libvirt-pool ", "vagrant-failed node03"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBootTimeouts(t *testing.T) {
	timeout := vagrantError{Class: "Vagrant::Errors::VMBootTimeout", Message: "Timed out while waiting for the machine to boot. This means that\nVagrant was unable to communicate with the guest machine."}
	of := func(node string) string {
		return "An error occurred while executing the action on the '" + node + "'\nmachine. Please handle this error then try again:\n\n" + timeout.Message + "\n\n"
	}
	booting := []said{{Node: "master", Kind: "output", Text: "==> master: Machine booted and ready!"}, {Node: "node01", Kind: "output", Text: "==> node01: Booting VM..."}}
	for name, c := range map[string]struct {
		o    outcome
		want []string
		only bool
		id   string
	}{
		"one after the other": {
			outcome{Exit: 1, Errors: []vagrantError{timeout}, Said: booting}, []string{"node01"}, true, idBootTimeout,
		},
		"the guest refuses the key": {
			outcome{Exit: 1, Errors: []vagrantError{timeout}, Said: append(booting, said{Node: "node01", Kind: "detail", Text: "    node01: Warning: Authentication failure. Retrying..."})},
			[]string{"node01"}, true, "vagrant-ssh-refused-key",
		},
		"sshd was slow": {
			outcome{Exit: 1, Errors: []vagrantError{timeout}, Said: append(booting, said{Node: "node01", Kind: "detail", Text: "    node01: Warning: Connection reset. Retrying..."})},
			[]string{"node01"}, true, idBootTimeout,
		},
		"at once": {
			outcome{Exit: 1, Errors: []vagrantError{{Class: "Vagrant::Errors::BatchMultiError", Message: of("node01") + of("node02")}}},
			[]string{"node01", "node02"}, true, idBootTimeout,
		},
		"not alone": {
			outcome{Exit: 1, Errors: []vagrantError{timeout, {Class: "Vagrant::Errors::VMInaccessible", Message: "x"}}, Said: booting},
			[]string{"node01"}, false, idBootTimeout,
		},
		"another error": {
			outcome{Exit: 1, Errors: []vagrantError{{Class: "Vagrant::Errors::VMInaccessible", Message: "x"}}}, nil, false, "vagrant-inaccessible",
		},
		"a success": {outcome{}, nil, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.o.bootTimeouts()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := c.o.onlyBootTimeouts(); got != c.only {
				t.Errorf("nothing else: got %v", got)
			}
			var e *trouble.Error
			if errors.As(explain(c.o), &e); c.id != "" && e.ID != c.id {
				t.Errorf("explained as %s", e.ID)
			}
		})
	}
}

func TestLocked(t *testing.T) {
	known := newCatalogue()
	for _, s := range samples(t) {
		if !slices.Contains([]string{idLocked, "vagrant-session", "vagrant-libvirt-down", "vagrant-home"}, s.id) {
			continue
		}
		if want := s.id == idLocked; known.locked(s.outcome) != want {
			t.Errorf("%s: locked should be %v", s.name, want)
		}
	}
}

// What is said of VirtualBox's ranges lets the lab's own subnet in.
func TestHostOnlyRangeNamesTheSubnet(t *testing.T) {
	known := newCatalogue()
	message := "The IP address configured for the host-only network is not within the\nallowed ranges. Please update the address used to be within the allowed\nranges and run the command again.\n\n  Address: 10.20.20.100\n  Ranges: 192.168.56.0/21\n"
	o := outcome{Exit: 1, Errors: []vagrantError{{Class: "Vagrant::Errors::VirtualBoxInvalidHostSubnet", Message: message}}}
	if next := strings.Join(trouble.Advice(known.explain("darwin", o)), "\n"); !strings.Contains(next, "'* 10.20.20.0/24 192.168.56.0/21'") {
		t.Errorf("got %s", next)
	}
	if next := strings.Join(trouble.Advice(known.explain("windows", o)), "\n"); strings.Contains(next, "sudo") {
		t.Errorf("got %s", next)
	}
}

// docs/vagrant-failures.md is the catalogue, for people.
func TestDocumented(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "vagrant-failures.md")
	sources := map[string][]string{}
	for _, s := range samples(t) {
		if kind := strings.ToLower(s.source); !slices.Contains(sources[s.id], kind) {
			sources[s.id] = append(sources[s.id], kind)
		}
	}
	var b strings.Builder
	b.WriteString(`# Vagrant's failures

What dcalab knows of them: the id (shown with --verbose), the exit status, and
what it advises on Linux; on macOS and Windows it names their own commands. A
failure that is not here is shown with Vagrant's own last lines and the place
of the log. Written from the catalogue in machine/vagrant by
` + "`go test ./machine/vagrant -run TestDocumented -update`" + `.

An entry is tested on outputs that were *recorded* from Vagrant, *rendered* from
a message template of Vagrant or its plugin, or *quoted* from a public report;
they are in machine/vagrant/testdata/failures, and say there where they come
from.

| failure | what to do | exit | tested on |
| --- | --- | --- | --- |
`)
	cell := strings.NewReplacer("|", `\|`, "*", `\*`, "~", `\~`, "<", "&lt;", "_", `\_`)
	for _, k := range newCatalogue().causes {
		var next []string
		for _, n := range k.Next(failure{GOOS: "linux", Provider: "PROVIDER"}) {
			next = append(next, cell.Replace(n))
		}
		fmt.Fprintf(&b, "| **%s**<br>%s | %s | %d | %s |\n", k.ID, cell.Replace(k.What), strings.Join(next, "<br>"), k.Exit, strings.Join(sources[k.ID], ", "))
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(got)); diff != "" {
		t.Errorf("(-wanted +got; go test -update writes it anew):\n%s", diff)
	}
}

// However a text is cut up, nothing falls, and what is told of it is one line
// that came from it.
func FuzzTelling(f *testing.F) {
	f.Add("Vagrant::Errors::VMBootTimeout", "Timed out while waiting for the machine to boot. This")
	f.Add("Vagrant::Errors::BatchMultiError", "An error occurred while executing the action on the 'a'\nmachine. Please handle this error then try again:\n\nVBoxManage: error: x")
	f.Add("", "x.rb:1:in `y': z (RuntimeError)")
	pattern := regexp.MustCompile("(?i)boot|error: x")
	f.Fuzz(func(t *testing.T, class, message string) {
		o := outcome{Args: []string{"up"}, Exit: 1, Errors: []vagrantError{{Class: class, Message: message}}, Said: []said{{Node: "a", Text: message}}}
		for _, x := range o.failures("linux") {
			for _, p := range []*regexp.Regexp{nil, pattern} {
				if why := telling(x.Text, p); strings.ContainsAny(why, "\n\r") || len([]rune(why)) > longest {
					t.Errorf("of %q: %q", message, why)
				}
			}
			if o.unknown(x).Error() == "" {
				t.Errorf("nothing is said of %q", message)
			}
		}
	})
}
