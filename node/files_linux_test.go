package node

import (
	"strings"
	"testing"

	"github.com/dcalab/dcalab/node/nodetest"
)

// A user without rights is told how to go on; a disk that is full keeps the
// old file.
func TestCopyAsAnOrdinaryUser(t *testing.T) {
	b := newBox(t, withSFTP)
	b.MustRoot("mkdir /mnt/small && mount -t tmpfs -o size=64k,mode=777 none /mnt/small && echo old >/mnt/small/file && chown -R vagrant /mnt/small")
	node := filesOf(t, b.dial(t))
	dir := t.TempDir()
	put(t, dir+"/big", strings.Repeat("x", 1<<20), 0o644)
	put(t, dir+"/small", "new", 0o600)

	for _, typed := range []string{"", "~", "~/", "."} {
		if _, err := (Copy{From: Here(), To: node}).Run(t.Context(), dir+"/small", typed); err != nil {
			t.Error(err)
		}
		if got := b.MustRoot("stat -c '%U %a' /home/vagrant/small; cat /home/vagrant/small; rm /home/vagrant/small"); got != "vagrant 600\nnew" {
			t.Errorf("to %q: the home has %q", typed, got)
		}
	}
	_, err := Copy{From: Here(), To: node}.Run(t.Context(), dir+"/small", "/etc/")
	if e := nodetest.WantTrouble(t, err, "file-denied"); !strings.Contains(strings.Join(e.Next, " "), "sudo mv small /etc/small") {
		t.Errorf("it advises %q", e.Next)
	}
	_, err = Copy{From: node, To: Here()}.Run(t.Context(), "/etc/shadow", dir)
	if e := nodetest.WantTrouble(t, err, "file-denied"); !strings.Contains(e.Next[0], "sudo cat /etc/shadow > shadow") {
		t.Errorf("it advises %q", e.Next)
	}
	_, err = Copy{From: Here(), To: node}.Run(t.Context(), dir+"/big", "/mnt/small/file")
	if e := nodetest.WantTrouble(t, err, "file-failed"); !strings.Contains(e.Next[0], "df -h") || e.Where != "node01" {
		t.Errorf("it reads %q, %q", e, e.Next)
	}
	if got := b.MustRoot("ls -A /mnt/small; cat /mnt/small/file"); got != "file\nold" {
		t.Errorf("left there: %q", got)
	}
}
