//go:build unix

package lab

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Under sudo, what root makes belongs to the user behind it, and root writes
// nowhere that is not that user's.
func TestIndexUnderSudoIsTheUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	owner := Owner{UID: 12345, GID: 23456}
	x := &Index{base: t.TempDir(), below: ".local/state/dcalab/labs", owner: owner}
	p := made(t, "dca")
	if err := x.Add(p); err == nil {
		t.Error("it wrote into a folder of root's")
	}
	if entries, _ := os.ReadDir(x.base); len(entries) > 0 {
		t.Errorf("it wrote %v", entries)
	}
	if err := os.Chown(x.base, owner.UID, owner.GID); err != nil {
		t.Fatal(err)
	}
	if err := x.Add(p); err != nil {
		t.Fatal(err)
	}
	for at := filepath.Join(x.Dir(), p.name()); at != x.base; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			t.Fatal(err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != owner.UID || int(st.Gid) != owner.GID || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %+v", at, info.Mode(), st)
		}
	}
}
