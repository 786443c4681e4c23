package vagrant

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// photographed is a lab of the stage's, halted.
func photographed(t *testing.T) *stage {
	t.Helper()
	f := newStage(t)
	if err := f.Up(t.Context(), machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	f.play("halt", "")
	if err := f.Halt(t.Context(), machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	f.play("status", `shift; for n; do case $n in master|node*) line "$n,state,poweroff";; esac; done`)
	// snapshot list: the machine's line, and its snapshots without a name in front.
	f.play("snapshot", `
		case $2 in
		list) for n in master node01 node02; do line "$n,ui,output,==> $n: "; line ",ui,detail,dcalab-clean"; done;;
		esac`)
	f.starts()
	return f
}

func wantTrouble(t *testing.T, err error, id string) {
	t.Helper()
	var e *trouble.Error
	if !errors.As(err, &e) || e.ID != id {
		t.Errorf("error is %v, want %s", err, id)
	}
}

func TestSnapshotsOfTheWholeLab(t *testing.T) {
	f := photographed(t)
	ctx := t.Context()
	if err := f.SaveSnapshot(ctx, machine.Observer{}, "clean"); err != nil {
		t.Fatal(err)
	}
	f.wantStarts("status master node01 node02 --machine-readable", "snapshot save --force dcalab-clean --machine-readable")
	list, err := f.Snapshots(ctx)
	if err != nil || len(list) != 1 || list[0].Name != "clean" || strings.Join(list[0].Nodes, " ") != "master node01 node02" {
		t.Errorf("snapshots are %+v (%v)", list, err)
	}
	if err := f.SaveSnapshot(ctx, machine.Observer{}, "clean"); !errors.Is(err, machine.ErrSnapshotExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := f.RestoreSnapshot(ctx, machine.Observer{}, "cleen"); !errors.Is(err, machine.ErrNoSnapshot) {
		t.Errorf("a name that is none: %v", err)
	}
	f.starts()
	if err := f.RestoreSnapshot(ctx, machine.Observer{}, "clean"); err != nil {
		t.Fatal(err)
	}
	f.wantStarts("status master node01 node02 --machine-readable", "snapshot list --machine-readable",
		"snapshot restore --no-start --no-provision dcalab-clean --machine-readable")
	if err := f.DeleteSnapshot(ctx, machine.Observer{}, "clean"); err != nil {
		t.Fatal(err)
	}
	if list, err := f.Snapshots(ctx); err != nil || len(list) > 0 {
		t.Errorf("after deleting it: %+v (%v)", list, err)
	}
}

func TestSnapshotsThatWereCutShort(t *testing.T) {
	f := photographed(t)
	ctx := t.Context()
	works, err := readPlay(f, "snapshot")
	if err != nil {
		t.Fatal(err)
	}
	f.play("snapshot", `line 'node01,ui,error,it broke'; exit 1`)
	if err := f.SaveSnapshot(ctx, machine.Observer{}, "clean"); err == nil {
		t.Error("a save that failed succeeded")
	}
	if list, _ := f.Snapshots(ctx); len(list) > 0 {
		t.Errorf("a save that failed is listed: %+v", list)
	}
	f.play("snapshot", works)
	if err := f.SaveSnapshot(ctx, machine.Observer{}, "clean"); err != nil {
		t.Fatal(err)
	}
	// Half of the disks are of another time: nothing may start.
	f.play("snapshot", works+"\n[ $2 != restore ] || exit 1")
	if err := f.RestoreSnapshot(ctx, machine.Observer{}, "clean"); err == nil {
		t.Error("a restore that failed succeeded")
	}
	wantTrouble(t, f.Up(ctx, machine.Observer{}), "restore-unfinished")
	wantTrouble(t, f.Start(ctx, machine.Observer{}, "master"), "restore-unfinished")
	wantTrouble(t, f.SaveSnapshot(ctx, machine.Observer{}, "other"), "restore-unfinished")
	wantTrouble(t, f.DeleteSnapshot(ctx, machine.Observer{}, "clean"), "restore-unfinished")
	f.play("snapshot", works)
	if err := f.RestoreSnapshot(ctx, machine.Observer{}, "clean"); err != nil {
		t.Fatal(err)
	}
	if err := f.Up(ctx, machine.Observer{}); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotsAreRefused(t *testing.T) {
	f := photographed(t)
	ctx := t.Context()
	if err := f.SaveSnapshot(ctx, machine.Observer{}, "clean"); err != nil {
		t.Fatal(err)
	}
	works, err := readPlay(f, "snapshot")
	if err != nil {
		t.Fatal(err)
	}
	f.play("snapshot", strings.Replace(works, "master node01 node02", "master node02", 1))
	wantTrouble(t, f.RestoreSnapshot(ctx, machine.Observer{}, "clean"), "snapshot-incomplete")
	f.play("snapshot", works)

	f.play("status", `line master,state,poweroff; line node01,state,running; line node02,state,poweroff`)
	wantTrouble(t, f.RestoreSnapshot(ctx, machine.Observer{}, "clean"), "node-running")
	wantTrouble(t, f.SaveSnapshot(ctx, machine.Observer{}, "other"), "node-running")

	// A machine that was made anew has lost its snapshots.
	f.play("status", `shift; for n; do case $n in master|node*) line "$n,state,poweroff";; esac; done`)
	f.play("destroy", `for n; do gone $n; done`)
	f.play("up", `up node01; echo another >"$VAGRANT_DOTFILE_PATH"/machines/node01/virtualbox/id`)
	if err := errors.Join(f.Destroy(ctx, machine.Observer{}, "node01"), f.Up(ctx, machine.Observer{}, "node01"), f.Halt(ctx, machine.Observer{})); err != nil {
		t.Fatal(err)
	}
	wantTrouble(t, f.RestoreSnapshot(ctx, machine.Observer{}, "clean"), "snapshot-of-other-machines")
	if err := f.DeleteSnapshot(ctx, machine.Observer{}, "clean"); err != nil {
		t.Error(err)
	}
}

// Somebody took them past dcalab, of all machines or of some.
func TestSnapshotsOfVagrantsOwn(t *testing.T) {
	f := photographed(t)
	f.play("snapshot", `
		case $2 in
		list)
			line "master,ui,output,"; line ",ui,detail,fresh"; line ",ui,detail,two words"
			line "node01,ui,output,No snapshots have been taken yet!"
			line "node02,ui,output,"; line ",ui,detail,dcalab-clean"; line ",ui,detail,fresh";;
		esac`)
	for name, want := range map[string]string{"fresh": "master node02", "two words": "master", "fres": "", "": "", "dcalab-clean": ""} {
		nodes, err := f.OwnSnapshot(t.Context(), name)
		if err != nil || strings.Join(nodes, " ") != want {
			t.Errorf("%s is of %v (%v), want %s", name, nodes, err, want)
		}
	}
	f.wantStarts("snapshot list --machine-readable", "snapshot list --machine-readable", "snapshot list --machine-readable")
	f.play("snapshot", "exit 1")
	if nodes, err := f.OwnSnapshot(t.Context(), "fresh"); err == nil || len(nodes) > 0 {
		t.Errorf("Vagrant failed, and it has one of %v", nodes)
	}
}

// readPlay gives what a command of the stand-in does now.
func readPlay(f *stage, command string) (string, error) {
	text, err := os.ReadFile(filepath.Join(f.dir, command))
	return string(text), err
}
