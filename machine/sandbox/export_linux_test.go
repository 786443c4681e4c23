package sandbox

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/trouble"
)

// A disk that went through an archive is the same, but for sockets.
func TestAnArchiveOfADiskIsTheSame(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	from, to := manifoldDisk(t), disk{t.TempDir() + "/from"}
	socket, err := net.Listen("unix", from.docker()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	past := time.Date(2002, 3, 4, 5, 6, 7, 890, time.UTC)
	if err := errors.Join(os.Mkdir(from.docker()+"/volumes", 0o700),
		unix.Mknod(from.docker()+"/volumes/backingFsBlockDev", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 1)))); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	p := packer{ctx: t.Context(), root: filepath.Dir(from.dir), w: tar.NewWriter(&archive), check: newEntryCheck([]string{"from"}), first: map[uint64]string{}}
	for _, part := range diskParts() {
		if err := filepath.WalkDir(filepath.Join(from.dir, part), p.add); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.w.Close(); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(filepath.Dir(to.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.Mkdir(to.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	into := &unpacker{root: root}
	defer into.close()
	if err := readDisks(t.Context(), machine.Observer{}, []string{"from"}, p.check.space, &archive, into); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(from.docker()+"/socket"), os.Remove(from.docker()+"/volumes/backingFsBlockDev")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/volumes", ""} { // their times have changed with it
		if err := errors.Join(os.Chtimes(from.docker()+path, past, past), os.Chtimes(to.docker()+path, past, past)); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range diskParts() {
		want, got := inventory(t, filepath.Join(from.dir, part)), inventory(t, filepath.Join(to.dir, part))
		if want != got {
			t.Errorf("%s was\n%s\nand is\n%s", part, want, got)
		}
	}
}

// entry is one of an archive that a test writes: a header and a content.
type entry struct {
	tar.Header
	content string
}

func dir(name string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}}
}

func plain(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

func special(kind byte, name, link string) entry {
	return entry{Header: tar.Header{Typeflag: kind, Name: name, Linkname: link, Mode: 0o644}}
}

// archived writes an archive of a disk of m with these in it.
func archived(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range append([]entry{dir("m/upper"), dir("m/docker")}, entries...) {
		e.Format = tar.FormatPAX
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What no disk has is refused, before anything of it is written.
func TestHostileArchivesOfDisks(t *testing.T) {
	attr := func(e entry, name, value string) entry {
		e.PAXRecords = map[string]string{name: value}
		return e
	}
	owner := func(e entry, uid int) entry { e.Uid = uid; return e }
	device := func(name string, major int64) entry {
		e := special(tar.TypeChar, name, "")
		e.Devmajor = major
		return e
	}
	long := strings.Repeat("a/", 3000)
	for name, c := range map[string]struct {
		entries []entry
		why     string
	}{
		"a path outside":                  {[]entry{plain("../x", "")}, "no path on the disk"},
		"a path that leads out":           {[]entry{plain("m/upper/../../../x", "")}, "no path on the disk"},
		"an absolute path":                {[]entry{plain("/etc/cron.d/x", "")}, "no path on the disk"},
		"another node":                    {[]entry{dir("n"), dir("n/upper")}, "no path on the disk"},
		"the node's own folder":           {[]entry{dir("m")}, "no path on the disk"},
		"beside the disk's parts":         {[]entry{dir("m/work")}, "no path on the disk"},
		"a dot":                           {[]entry{dir("m/upper/.")}, "no path on the disk"},
		"a slash too many":                {[]entry{plain("m/upper//x", "")}, "no path on the disk"},
		"a name twice":                    {[]entry{plain("m/upper/x", ""), plain("m/upper/x", "")}, "twice"},
		"a link in the disk's place":      {[]entry{special(tar.TypeSymlink, "m/docker", "/")}, "twice"},
		"through a link":                  {[]entry{special(tar.TypeSymlink, "m/upper/l", "/etc"), plain("m/upper/l/x", "")}, "is no folder"},
		"a link in a folder's place":      {[]entry{dir("m/upper/d"), special(tar.TypeSymlink, "m/upper/d", "/etc")}, "twice"},
		"a folder in a link's place":      {[]entry{special(tar.TypeSymlink, "m/upper/l", "/etc"), dir("m/upper/l")}, "twice"},
		"in a folder that is not there":   {[]entry{plain("m/upper/d/x", "")}, "not in the archive before it"},
		"a second name of a file outside": {[]entry{special(tar.TypeLink, "m/upper/x", "/etc/shadow")}, "no file before it"},
		"a second name that leads out":    {[]entry{special(tar.TypeLink, "m/upper/x", "m/../../etc/shadow")}, "no file before it"},
		"a second name through a link": {[]entry{special(tar.TypeSymlink, "m/upper/l", "/etc"), special(tar.TypeLink, "m/upper/x", "m/upper/l/shadow")},
			"no file before it"},
		"a second name of a folder": {[]entry{special(tar.TypeLink, "m/upper/x", "m/docker")}, "no file before it"},
		"a disk of the host":        {[]entry{special(tar.TypeBlock, "m/upper/sda", "")}, "this is a device (0:0)"},
		"the host's memory":         {[]entry{device("m/upper/mem", 1)}, "this is a device (1:0)"},
		"a whiteout in a volume":    {[]entry{dir("m/docker/volumes"), device("m/docker/volumes/x", 0)}, "where there is no overlay"},
		"a whiteout of a layer":     {[]entry{dir("m/docker/overlay2"), dir("m/docker/overlay2/a"), device("m/docker/overlay2/a/diff", 0)}, "where there is no overlay"},
		"an attribute of the host's": {[]entry{attr(plain("m/upper/x", ""), "SCHILY.xattr.security.selinux", "u:r:t")},
			"has no \"SCHILY.xattr.security.selinux\""},
		"an attribute of nobody's": {[]entry{attr(plain("m/upper/x", ""), "SCHILY.xattr.trusted.x", "y")}, "has no"},
		"an owner that is none":    {[]entry{owner(plain("m/upper/x", ""), 1<<32-1)}, "not those of a file"},
		"a negative owner":         {[]entry{owner(plain("m/upper/x", ""), -1)}, "not those of a file"},
		"a file without a kind":    {[]entry{special(tar.TypeCont, "m/upper/x", "")}, "neither a file nor"},
		"a path without an end":    {[]entry{plain("m/upper/"+long+"x", "")}, "not in the archive before it"},
		"more than was said":       {[]entry{plain("m/upper/x", strings.Repeat("y", 5*blockSize))}, "more than the manifest says"},
		"less than was said":       {nil, "manifest: it says"},
	} {
		t.Run(name, func(t *testing.T) {
			space := machine.DiskSpace{Bytes: 6 * blockSize, Files: 6}
			err := readDisks(t.Context(), machine.Observer{}, []string{"m"}, space, bytes.NewReader(archived(t, c.entries...)), nil)
			var bad *machine.EntryError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.why) || len(err.Error()) > 1000 {
				t.Errorf("%v, want %q", err, c.why)
			}
		})
	}
	good := archived(t, plain("m/upper/x", "y"))
	space := machine.DiskSpace{Bytes: 3 * blockSize, Files: 3}
	read := func(data []byte, nodes ...string) error {
		return readDisks(t.Context(), machine.Observer{}, nodes, space, bytes.NewReader(data), nil)
	}
	if err := read(good, "m"); err != nil {
		t.Error(err)
	}
	if err := read(good, "m", "n"); err == nil || !strings.Contains(err.Error(), "n/upper: this is missing") {
		t.Errorf("a disk that is missing: %v", err)
	}
	if err := read(append(good, 1), "m"); err == nil || !strings.Contains(err.Error(), "something comes after") {
		t.Errorf("more behind it: %v", err)
	}
	for n := 1; n <= len(good)-1024-512; n += 100 {
		if read(good[:n], "m") == nil {
			t.Errorf("%d bytes of it pass for all", n)
		}
	}
}

// Where a link is, although the check has passed, nothing goes through it.
func TestUnpackingFollowsNoLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	base, outside := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Symlink(outside, base+"/l"), os.Mkdir(base+"/d", 0o700), os.WriteFile(outside+"/there", nil, 0o600),
		os.Symlink(outside+"/there", base+"/d/there"), os.Symlink(outside+"/new", base+"/d/new")); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, e := range []entry{
		plain("l/x", ""), dir("l/x"), special(tar.TypeSymlink, "l/x", "y"), special(tar.TypeFifo, "l/x", ""), special(tar.TypeChar, "l/x", ""),
		special(tar.TypeLink, "d/x", "l/there"), special(tar.TypeLink, "l/x", "d/there"),
		plain("d/there", ""), plain("d/new", ""), plain("../x", ""), plain("d/../../x", ""),
	} {
		u := &unpacker{root: root}
		f, err := u.make(&e.Header)
		if f != nil {
			f.Close()
		}
		if err == nil && !strings.Contains(e.Name, "..") {
			t.Errorf("%s (type %c) was made", e.Name, e.Typeflag)
		}
		u.close()
	}
	left, err := os.ReadDir(outside)
	if err != nil || len(left) != 1 {
		t.Errorf("%v (%v)", left, err)
	}
}

// A snapshot of one lab becomes one of another: its disks, with the key of the
// lab that they are in now.
func TestASnapshotGoesToAnotherLab(t *testing.T) {
	from := disks(t, "m", "w")
	from.save1(t, "one")
	var archive bytes.Buffer
	space, err := from.driver().ExportSnapshot(t.Context(), machine.Observer{}, "one", &archive)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := from.driver().ExportSnapshot(t.Context(), machine.Observer{}, "two", io.Discard); !errors.Is(err, machine.ErrNoSnapshot) {
		t.Errorf("of none: %v", err)
	}
	keys := from.hostKeys(t)

	to := newFixtureBeside(t, "m", "w")
	defer func() {
		if err := to.driver().Destroy(t.Context(), machine.Observer{}); err != nil {
			t.Error(err)
		}
	}()
	to.makeDisks(t)
	to.word(t, "another")
	d := to.driver()
	one := machine.Snapshot{Name: "one", Time: time.Now().UTC().Truncate(time.Millisecond), Nodes: []string{"m", "w"}}
	take := func(s machine.Snapshot, space machine.DiskSpace, data []byte) error {
		return d.ImportSnapshot(t.Context(), machine.Observer{}, s, space, bytes.NewReader(data))
	}
	nothing := func() {
		t.Helper()
		if list, err := d.Snapshots(t.Context()); err != nil || len(list) > 0 {
			t.Errorf("snapshots %v (%v)", list, err)
		}
		if _, err := os.Lstat(d.snapshotPath()); err == nil {
			t.Error("a half of a snapshot is left")
		}
	}
	if err := take(one, space, archive.Bytes()[:archive.Len()/2]); err == nil {
		t.Error("a half was imported")
	}
	nothing()
	huge := machine.DiskSpace{Bytes: 1 << 50, Files: 1}
	var told *trouble.Error
	for _, err := range []error{take(one, huge, archive.Bytes()), d.CheckImport(t.Context(), machine.Observer{}, huge, strings.NewReader(""))} {
		if !errors.As(err, &told) || told.ID != "snapshot-no-room" {
			t.Errorf("without room: %v", err)
		}
	}
	if err := take(machine.Snapshot{Name: "../one", Nodes: one.Nodes}, space, archive.Bytes()); !errors.As(err, &told) || told.ID != "snapshot-name" {
		t.Errorf("a name that is a path: %v", err)
	}
	if err := take(machine.Snapshot{Name: "one", Nodes: []string{"m"}}, space, archive.Bytes()); !errors.As(err, &told) || told.ID != "snapshot-of-other-nodes" {
		t.Errorf("of other nodes: %v", err)
	}
	nothing()
	if err := d.CheckImport(t.Context(), machine.Observer{}, space, bytes.NewReader(archive.Bytes())); err != nil {
		t.Fatal(err)
	}
	nothing()
	if err := take(one, space, archive.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := take(one, space, archive.Bytes()); !errors.Is(err, machine.ErrSnapshotExists) {
		t.Errorf("again: %v", err)
	}
	if list, err := d.Snapshots(t.Context()); err != nil || len(list) != 1 || list[0].Name != "one" || !list[0].Time.Equal(one.Time) || !slices.Equal(list[0].Nodes, one.Nodes) {
		t.Errorf("snapshots %+v (%v)", list, err)
	}
	for path, want := range map[string]os.FileMode{"one": 0o700, "one/m": 0o700, "one/m/work": 0o700, "one/m/docker": 0o710} {
		if fi, err := os.Stat(d.snapshotPath(path)); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s has mode %v (%v), want %v", path, fi.Mode().Perm(), err, want)
		}
	}
	if err := d.RestoreSnapshot(t.Context(), machine.Observer{}, "one"); err != nil {
		t.Fatal(err)
	}
	if words := to.words(); !slices.Equal(words, []string{"first"}) {
		t.Errorf("the disks tell of %q", words)
	}
	if got := to.hostKeys(t); got != keys {
		t.Error("the host keys are not those of the disks")
	}
	key, err := d.cfg.AuthorizedKey()
	if err != nil {
		t.Fatal(err)
	}
	at := d.disks.disk("m").upper() + "/home/" + User + "/.ssh/authorized_keys"
	var st unix.Stat_t
	if got := readText(at); got != string(ssh.MarshalAuthorizedKey(key)) || unix.Lstat(at, &st) != nil || st.Uid != userID || st.Mode&0o777 != 0o600 {
		t.Errorf("it lets in %q (mode %o, owner %d)", got, st.Mode, st.Uid)
	}
}
