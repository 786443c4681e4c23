package lifecycle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// folder is the archive of a manager's folder, with some members more.
func folder(tb testing.TB, more ...tar.Header) *bytes.Buffer {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range append([]tar.Header{
		{Name: "swarm/", Typeflag: tar.TypeDir, Mode: 0o700},
		{Name: "swarm/raft/", Typeflag: tar.TypeDir, Mode: 0o700},
		{Name: "swarm/raft/wal-v3-encrypted/0.wal", Typeflag: tar.TypeReg, Size: 3, Mode: 0o600},
		{Name: "swarm/certificates/swarm-node.key", Typeflag: tar.TypeReg, Size: 3, Mode: 0o6644, Uid: 7},
		{Name: "swarm/certificates/swarm-node.crt", Typeflag: tar.TypeReg, Size: 3, Mode: 0o600},
		{Name: "swarm/worker/tasks.db", Typeflag: tar.TypeReg, Size: 3, Mode: 0o600},
	}, more...) {
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return &b
}

func TestBackupFile(t *testing.T) {
	want := backup{
		Format: backupFormat, Made: time.Date(2026, 11, 27, 7, 0, 0, 0, time.UTC), Lab: "dca", Node: "m1", Address: "10.20.20.11", Cluster: "c", Engine: "28.5.2",
		Services: []string{"web"}, Secrets: []string{}, Configs: []string{}, Networks: []string{},
		Nodes: []backupNode{{Name: "m1", Role: "manager", Availability: "active", Labels: map[string]string{"a": "b"}}},
	}
	var file, out bytes.Buffer
	if err := writeBackup(&file, want, folder(t)); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	got, err := readBackup(bytes.NewReader(whole), &out)
	if err != nil {
		t.Fatal(err)
	}
	want.Key = []byte("xxx")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What reaches the node: root's, for root alone, and no tasks.
	var names []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		names = append(names, h.Name)
		if h.Uid != 0 || h.Mode&^0o700 != 0 {
			t.Errorf("%s: uid %d, mode %o", h.Name, h.Uid, h.Mode)
		}
	}
	if got := strings.Join(names, " "); got != "swarm/ swarm/raft/ swarm/raft/wal-v3-encrypted/0.wal swarm/certificates/swarm-node.key swarm/certificates/swarm-node.crt swarm.complete" {
		t.Error(got)
	}
	for at := range whole { // cut short anywhere, it is none
		if _, err := readBackup(bytes.NewReader(whole[:at]), nil); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a backup", at, len(whole))
		}
	}
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	if _, err := readBackup(bytes.NewReader(damaged), nil); err == nil {
		t.Error("a damaged file is taken for a backup")
	}
}

func TestBackupFileRefuses(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"a link":                 {Name: "swarm/x", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"},
		"a second name":          {Name: "swarm/x", Typeflag: tar.TypeLink, Linkname: "/etc/shadow"},
		"a device":               {Name: "swarm/x", Typeflag: tar.TypeBlock},
		"the folder above":       {Name: "swarm/../x", Typeflag: tar.TypeReg},
		"from the root":          {Name: "/swarm/x", Typeflag: tar.TypeReg},
		"another folder":         {Name: "swarms/x", Typeflag: tar.TypeReg},
		"a file beside it":       {Name: "x", Typeflag: tar.TypeReg},
		"a folder twice slashed": {Name: "swarm//x", Typeflag: tar.TypeReg},
	} {
		if err := writeBackup(&bytes.Buffer{}, backup{}, folder(t, h)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	var worker bytes.Buffer
	w := tar.NewWriter(&worker)
	_ = w.WriteHeader(&tar.Header{Name: "swarm/", Typeflag: tar.TypeDir})
	_ = w.Close()
	if err := writeBackup(&bytes.Buffer{}, backup{}, &worker); err == nil || !strings.Contains(err.Error(), "no manager's") {
		t.Errorf("a folder without a log: %v", err)
	}
}

func FuzzReadBackup(f *testing.F) {
	var file bytes.Buffer
	if err := writeBackup(&file, backup{Format: backupFormat}, folder(f)); err != nil {
		f.Fatal(err)
	}
	z, err := gzip.NewReader(&file)
	if err != nil {
		f.Fatal(err)
	}
	var plain bytes.Buffer
	_, _ = plain.ReadFrom(z)
	f.Add(plain.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		var file, out bytes.Buffer
		z := gzip.NewWriter(&file)
		_, _ = z.Write(text)
		_ = z.Close()
		if _, err := readBackup(&file, &out); err != nil {
			return
		}
		for r := tar.NewReader(&out); ; {
			h, err := r.Next()
			if err != nil {
				return
			}
			if h.Name != "swarm" && h.Name != completeMember && !strings.HasPrefix(h.Name, "swarm/") || strings.Contains(h.Name, "..") && !strings.Contains(h.Name, "...") && strings.Contains("/"+h.Name+"/", "/../") {
				t.Errorf("%q would reach the node", h.Name)
			}
		}
	})
}
