package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// carrier is a driver whose disks are a text.
type carrier struct {
	driver
	engine string
	disks  string
	taken  *[]machine.Snapshot // what was imported
	reads  *int                // how often all disks were read to be imported
}

func (c carrier) SnapshotOrigin(context.Context) (machine.SnapshotOrigin, error) {
	return machine.SnapshotOrigin{Driver: c.Name(), Platform: "linux/amd64", Engine: c.engine}, nil
}

func (c carrier) ExportSnapshot(_ context.Context, _ machine.Observer, _ string, w io.Writer) (machine.DiskSpace, error) {
	_, err := io.WriteString(w, c.disks)
	return machine.DiskSpace{Bytes: int64(len(c.disks)), Files: 1}, err
}

func (c carrier) CheckImport(_ context.Context, _ machine.Observer, space machine.DiskSpace, r io.Reader) error {
	data, err := io.ReadAll(r)
	*c.reads++
	if err == nil && (string(data) != c.disks || space.Bytes != int64(len(data))) {
		err = &machine.EntryError{Path: "disk", Why: "it is odd"}
	}
	return err
}

func (c carrier) ImportSnapshot(ctx context.Context, o machine.Observer, s machine.Snapshot, space machine.DiskSpace, r io.Reader) error {
	if err := c.CheckImport(ctx, o, space, r); err != nil {
		return err
	}
	*c.taken = append(*c.taken, s)
	return nil
}

// carried is an operator of a lab that has snapshot clean, and whose snapshots can
// be exported.
func carried(t *testing.T, change func(*carrier)) Operator {
	t.Helper()
	c := carrier{engine: "20.10.24", disks: strings.Repeat("disks ", 1<<16), taken: &[]machine.Snapshot{}, reads: new(int)}
	c.snapshots = []machine.Snapshot{{Name: "clean", Time: time.Now().UTC().Truncate(time.Second), Nodes: []string{"master", "node01"}}}
	if change != nil {
		change(&c)
	}
	o := operator(t, driver{})
	p := o.Parts()
	p.Lab.Subnet = netip.MustParsePrefix("10.20.20.0/24")
	p.Lab.Nodes[0].IP, p.Lab.Nodes[1].IP = netip.MustParseAddr("10.20.20.100"), netip.MustParseAddr("10.20.20.110")
	p.Record.Subnet = p.Lab.Subnet.String()
	return with(p, c)
}

func with(p session.Parts, d machine.Driver) Operator {
	p.Driver = d
	return Operator{Session: session.Of(session.Settings{Getenv: os.Getenv}, p), Explain: true}
}

func TestASnapshotGoesThroughAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clean.tar")
	o := carried(t, nil)
	var s story
	out, err := o.Snapshots().Export("clean", file).Run(t.Context(), &s)
	if err != nil || !strings.Contains(s.text.String(), "holds the swarm's secrets") || !strings.HasPrefix(out.Notes[0], "exported snapshot clean of master, node01 to ") {
		t.Fatalf("%v, %q, %s", err, out.Notes, s.text.String())
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v is left (%v)", left, err)
	}

	var taken []machine.Snapshot
	reads := 0
	here := carried(t, func(c *carrier) { c.snapshots, c.taken, c.engine, c.reads = nil, &taken, "26.1.5", &reads })
	plan, err := here.Snapshots().Import(file, "").Plan(t.Context(), &s)
	if err != nil || len(taken) != 0 || len(plan.Warnings) != 2 ||
		!strings.Contains(plan.Warnings[0], "taken with Docker 20.10.24, and the nodes here have 26.1.5") ||
		!strings.Contains(plan.Warnings[1], "root in a node is root on the machine that the lab runs on") ||
		!strings.HasPrefix(plan.Question, "it was taken 20") || !strings.HasSuffix(plan.Question, "; import it as snapshot clean of lab dca?") {
		t.Errorf("%+v: %v", plan, err)
	}
	if _, err := here.Snapshots().Import(file, "other").Run(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	if len(taken) != 1 || taken[0].Name != "other" || !slices.Equal(taken[0].Nodes, []string{"master", "node01"}) || time.Since(taken[0].Time) > time.Minute {
		t.Errorf("imported %+v", taken)
	}
	if reads != 2 {
		t.Errorf("the disks were read %d times, want once to plan and once to import", reads)
	}

	// The file is not replaced, nor is what a link there leads to.
	before, _ := os.ReadFile(file)
	link := file + ".link"
	if err := os.Symlink(file+".gone", link); err != nil {
		t.Fatal(err)
	}
	for _, there := range []string{file, link} {
		wantTrouble(t, "file-exists", second(o.Snapshots().Export("clean", there).Run(t.Context(), &s)))
	}
	if after, _ := os.ReadFile(file); !bytes.Equal(before, after) {
		t.Error("it was overwritten")
	}
	wantTrouble(t, "file-place", second(o.Snapshots().Export("clean", file+"/x").Run(t.Context(), &s)))
	wantTrouble(t, "snapshot-exists", second(o.Snapshots().Import(file, "").Run(t.Context(), &s)))
	wantTrouble(t, "unknown-snapshot", second(o.Snapshots().Export("cleen", file+".new").Run(t.Context(), &s)))
}

func second[T any](_ T, err error) error { return err }

func wantTrouble(t *testing.T, id string, err error) {
	t.Helper()
	var told *trouble.Error
	if !errors.As(err, &told) || told.ID != id {
		t.Errorf("%v, want %s", err, id)
	}
}

func TestAnExportThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	o := carried(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	broken := failing{carried(t, nil).Driver().(carrier)}
	for id, ctx := range map[string]context.Context{"snapshot-not-portable": t.Context(), "interrupted": ctx} {
		_, err := with(o.Parts(), broken).Snapshots().Export("clean", dir+"/clean.tar").Run(ctx, &story{})
		wantTrouble(t, id, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
	plain := operator(t, driver{})
	for _, op := range []Operation{plain.Snapshots().Export("clean", "x"), plain.Snapshots().Import("x", "")} {
		_, err := op.Plan(t.Context(), &story{})
		wantTrouble(t, "snapshot-not-portable", err)
	}
}

type failing struct{ carrier }

func (failing) ExportSnapshot(context.Context, machine.Observer, string, io.Writer) (machine.DiskSpace, error) {
	return machine.DiskSpace{}, &machine.EntryError{Path: "master/upper/x", Why: "this is a device"}
}

func TestHostileSnapshotFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "clean.tar")
	if _, err := carried(t, nil).Snapshots().Export("clean", file).Run(t.Context(), &story{}); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	imports := func(data []byte, change func(*lab.Lab)) error {
		t.Helper()
		odd := filepath.Join(dir, "odd.tar")
		if err := os.WriteFile(odd, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var taken []machine.Snapshot
		o := carried(t, func(c *carrier) { c.snapshots, c.taken = nil, &taken })
		if change != nil {
			change(o.Lab())
		}
		_, err := o.Snapshots().Import(odd, "").Run(t.Context(), &story{})
		if len(taken) > 0 != (err == nil) {
			t.Errorf("imported %+v: %v", taken, err)
		}
		return err
	}
	if err := imports(good, nil); err != nil {
		t.Fatal(err)
	}
	wantUnfit := func(what string, at int, data []byte) {
		t.Helper()
		var told *trouble.Error
		if err := imports(data, nil); !errors.As(err, &told) || told.ID != "snapshot-file-unfit" {
			t.Errorf("%s %d of %d: %v", what, at, len(good), err)
		}
	}
	wantUnfit("is longer than", len(good)+1, append(bytes.Clone(good), 0))
	for n := len(good) - 1; n >= 0; n -= 2003 {
		wantUnfit("ends at", n, good[:n])
	}
	// No byte of the headers, of the manifest and of the disks can change; those that
	// fill up the last block of the disks mean nothing.
	whole, err := readSnapshotFile(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < int(whole.at+whole.manifest.Disks.Size); at += 1009 {
		odd := bytes.Clone(good)
		odd[at] ^= 0x20
		wantUnfit("changed at", at, odd)
	}
	for name, c := range map[string]struct{ old, new, why string }{
		"a newer format":        {`"format": 1`, `"format": 9`, "of a newer dcalab"},
		"a name that is a path": {`"name": "clean"`, `"name": "../.."`, "none that dcalab has written"},
		"what steers terminals": {`"domain": ""`, "\"domain\": \"\\u001b[2J\"", "none that dcalab has written"},
		"room for less":         {`"files": 1`, `"files": -1`, "none that dcalab has written"},
		"no manifest":           {`"format"`, `{"format"`, "its manifest cannot be read"},
		"another sum":           {`"sha256": "`, `"sha256": "0`, "SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			odd := bytes.Replace(good, []byte(c.old), []byte(c.new), 1)
			at := bytes.LastIndexByte(odd[:tarBlock+manifestSize], '}') + 1
			grown := len(odd) - len(good)
			odd = slices.Delete(odd, at, at+grown) // the manifest stays as long as it was
			if grown < 0 || len(odd) != len(good) || bytes.Equal(odd, good) {
				t.Fatal("this test changes nothing")
			}
			err := imports(odd, nil)
			wantTrouble(t, "snapshot-file-unfit", err)
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
		})
	}
	for name, c := range map[string]struct {
		change func(*lab.Lab)
		why    string
	}{
		"another domain":  {func(l *lab.Lab) { l.Domain = "other.example" }, `its domain is "", and that of lab dca "other.example"`},
		"another address": {func(l *lab.Lab) { l.Nodes[0].IP = netip.MustParseAddr("10.20.20.9") }, "its nodes are master 10.20.20.100, node01 10.20.20.110, and"},
		"another name":    {func(l *lab.Lab) { l.Nodes[1].Name = "node02" }, "node02 10.20.20.110"},
		"a node more":     {func(l *lab.Lab) { l.Nodes = append(l.Nodes, lab.Node{Name: "z", IP: l.Subnet.Addr()}) }, "z 10.20.20.0"},
	} {
		t.Run(name, func(t *testing.T) {
			err := imports(good, c.change)
			wantTrouble(t, "snapshot-of-another-lab", err)
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
		})
	}
	o := carried(t, nil)
	for _, path := range []string{dir, dir + "/nothing", "/dev/null"} {
		wantTrouble(t, "snapshot-file-unfit", second(o.Snapshots().Import(path, "").Plan(t.Context(), &story{})))
	}
}

// TestWhoseFaultAnOddEntryIs: a copy that is damaged may have an odd entry too, and
// its author is not to blame for that.
func TestWhoseFaultAnOddEntryIs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "clean.tar")
	if _, err := carried(t, nil).Snapshots().Export("clean", file).Run(t.Context(), &story{}); err != nil {
		t.Fatal(err)
	}
	odd := func(c *carrier) { c.snapshots, c.disks = nil, "others" } // finds every entry odd
	for name, c := range map[string]struct {
		damage func([]byte)
		blames string
	}{
		"as it was made": {func([]byte) {}, "it is odd"},
		"damaged":        {func(data []byte) { data[9] ^= 0xff }, "SHA-256"}, // in the head of gzip, which has no sum of its own
	} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f, err := readSnapshotFile(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			c.damage(data[f.at:])
			copied := filepath.Join(dir, "copied.tar")
			if err := os.WriteFile(copied, data, 0o600); err != nil {
				t.Fatal(err)
			}
			err = second(carried(t, odd).Snapshots().Import(copied, "").Plan(t.Context(), &story{}))
			wantTrouble(t, "snapshot-file-unfit", err)
			if err == nil || !strings.Contains(err.Error(), c.blames) {
				t.Errorf("%v, want %q", err, c.blames)
			}
		})
	}
}
