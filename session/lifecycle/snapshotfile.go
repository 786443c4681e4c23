package lifecycle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
)

// A file of a snapshot is a tar archive of three members:
//
//	manifest.json    what it is; of a fixed size, filled up with spaces
//	disks.tar.gz     the disks, as the driver has written them
//	SHA256SUMS       of the two, as sha256sum(1) checks them
//
// The sums tell of a copy that went wrong, not of who made it: whoever can change
// the file can change them as well.
const (
	manifestMember = "manifest.json"
	disksMember    = "disks.tar.gz"
	sumsMember     = "SHA256SUMS"

	manifestFormat = 1
	manifestSize   = 1 << 16
	tarBlock       = 512
)

// manifest tells of a snapshot in a file. Its keys are a promise.
type manifest struct {
	Format   int       `json:"format"`
	Dcalab   string    `json:"dcalab"` // version of the program that made the file
	Made     time.Time `json:"made"`
	Driver   string    `json:"driver"`
	Platform string    `json:"platform"` // linux/amd64
	// Engine is the version of the Docker Engine; empty where it is not known.
	Engine   string           `json:"engine,omitempty"`
	Lab      manifestLab      `json:"lab"`
	Snapshot machine.Snapshot `json:"snapshot"`
	Disks    manifestDisks    `json:"disks"`
}

// manifestLab is what a lab must have in common with the one of the snapshot: it
// is on the disks, and in the swarm.
type manifestLab struct {
	Name   string         `json:"name"`
	Domain string         `json:"domain"`
	Subnet string         `json:"subnet"`
	Nodes  []manifestNode `json:"nodes"`
}

type manifestNode struct {
	Name string   `json:"name"`
	Role lab.Role `json:"role"` // in labs.yaml
	IP   string   `json:"ip"`
}

type manifestDisks struct {
	machine.DiskSpace
	Size   int64  `json:"size"` // of disks.tar.gz, in bytes
	SHA256 string `json:"sha256"`
}

func newManifest(l *lab.Lab, o machine.SnapshotOrigin, s machine.Snapshot) manifest {
	m := manifest{
		Format: manifestFormat, Dcalab: "(devel)", Made: time.Now().UTC().Truncate(time.Second),
		Driver: o.Driver, Platform: o.Platform, Engine: o.Engine, Lab: describeLab(l), Snapshot: s,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		m.Dcalab = cmp.Or(info.Main.Version, m.Dcalab)
	}
	return m
}

// printable tells whether all that may be shown of it is a line of text. What
// somebody else wrote must not steer a terminal.
func (m manifest) printable() bool {
	shown := []string{m.Dcalab, m.Driver, m.Platform, m.Engine, m.Lab.Name, m.Lab.Domain, m.Lab.Subnet}
	for _, n := range m.Lab.Nodes {
		shown = append(shown, n.Name, string(n.Role), n.IP)
	}
	odd := func(c rune) bool { return c < ' ' || c > '~' }
	return machine.CheckSnapshotName(m.Snapshot.Name) == nil &&
		!slices.ContainsFunc(shown, func(s string) bool { return len(s) > 200 || strings.ContainsFunc(s, odd) })
}

func describeLab(l *lab.Lab) manifestLab {
	d := manifestLab{Name: l.Name, Domain: l.Domain, Subnet: l.Subnet.String()}
	for _, n := range l.Nodes {
		d.Nodes = append(d.Nodes, manifestNode{n.Name, n.Role, n.IP.String()})
	}
	return d
}

// differs tells why a snapshot of another lab cannot be one of this.
func (d manifestLab) differs(here manifestLab) (why []string) {
	if d.Subnet != here.Subnet {
		why = append(why, fmt.Sprintf("its subnet is %s, and that of lab %s %s", d.Subnet, here.Name, here.Subnet))
	}
	if d.Domain != here.Domain {
		why = append(why, fmt.Sprintf("its domain is %q, and that of lab %s %q", d.Domain, here.Name, here.Domain))
	}
	list := func(nodes []manifestNode) string {
		var out []string
		for _, n := range nodes {
			out = append(out, n.Name+" "+n.IP)
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	if theirs, ours := list(d.Nodes), list(here.Nodes); theirs != ours {
		why = append(why, fmt.Sprintf("its nodes are %s, and those of lab %s %s", theirs, here.Name, ours))
	}
	return why
}

// damagedError is about a file that is no snapshot's, or no longer one as it was
// made.
type damagedError string

func (e damagedError) Error() string { return string(e) }

const altered damagedError = "it is damaged, or was changed: the SHA-256 sums are not those that it was made with"

// writeSnapshotFile writes a whole file. disks writes the disks, and tells what
// they take.
func writeSnapshotFile(f io.WriteSeeker, m manifest, disks func(io.Writer) (machine.DiskSpace, error)) error {
	const begin = tarBlock + manifestSize + tarBlock // two headers, and the manifest
	if _, err := f.Seek(begin, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20)
	zip, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if m.Disks.DiskSpace, err = disks(zip); err != nil {
		return err
	}
	if err := errors.Join(zip.Close(), out.Flush()); err != nil {
		return err
	}
	end, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	m.Disks.Size, m.Disks.SHA256 = end-begin, hex.EncodeToString(sum.Sum(nil))
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if len(text) >= manifestSize {
		return fmt.Errorf("the manifest has %d bytes", len(text))
	}
	text = append(text, bytes.Repeat([]byte(" "), manifestSize-len(text)-1)...)
	text = append(text, '\n')

	// The same archive again, now that all sizes are known, but for the disks.
	var rest bytes.Buffer
	w := tar.NewWriter(&rest)
	member := func(name string, size int64) error {
		return w.WriteHeader(&tar.Header{Format: tar.FormatGNU, Name: name, Mode: 0o600, Size: size, ModTime: m.Made})
	}
	err = member(manifestMember, manifestSize)
	if err == nil {
		_, err = w.Write(text)
	}
	if err = errors.Join(err, member(disksMember, m.Disks.Size)); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := f.Write(rest.Bytes()); err != nil {
		return err
	}
	if rest.Len() != begin {
		return fmt.Errorf("the archive begins with %d bytes", rest.Len())
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		return err
	}
	rest.Reset()
	rest.Write(make([]byte, blocks(m.Disks.Size)-m.Disks.Size))
	w = tar.NewWriter(&rest)
	sums := sumsOf(text, m)
	if err := member(sumsMember, int64(len(sums))); err != nil {
		return err
	}
	if _, err := io.WriteString(w, sums); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err = f.Write(rest.Bytes())
	return err
}

// blocks is what a member of size bytes takes, without its header.
func blocks(size int64) int64 { return (size + tarBlock - 1) / tarBlock * tarBlock }

func sumsOf(text []byte, m manifest) string {
	return fmt.Sprintf("%x  %s\n%s  %s\n", sha256.Sum256(text), manifestMember, m.Disks.SHA256, disksMember)
}

// snapshotFile is a file that was found to be whole, but for its disks.
type snapshotFile struct {
	manifest manifest
	file     io.ReaderAt
	at       int64 // where the disks begin
}

// readSnapshotFile reads all but the disks. Errors that are no damagedError are
// of reading.
func readSnapshotFile(f io.ReaderAt, size int64) (*snapshotFile, error) {
	in := io.NewSectionReader(f, 0, size)
	archive := tar.NewReader(in)
	s := &snapshotFile{file: f}
	next := func(name string, most int64) (*tar.Header, error) {
		h, err := archive.Next()
		switch {
		case errors.Is(err, tar.ErrHeader), name == manifestMember && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
			return nil, damagedError("it is no file that dcalab snapshot export has written")
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, damagedError("it ends before " + name + ": it is not all of a snapshot's file")
		case err != nil:
			return nil, err
		case h.Name != name || h.Typeflag != tar.TypeReg || h.Size < 0 || h.Size > most:
			return nil, damagedError(fmt.Sprintf("it has %.100q (%d bytes) in the place of %s", h.Name, h.Size, name))
		}
		return h, nil
	}
	if _, err := next(manifestMember, manifestSize); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(archive)
	if err != nil {
		return nil, damagedError("it ends within its manifest")
	}
	if err := json.Unmarshal(text, &s.manifest); err != nil {
		return nil, damagedError("its manifest cannot be read: " + err.Error())
	}
	m := s.manifest
	switch {
	case m.Format > manifestFormat:
		return nil, damagedError(fmt.Sprintf("it has format %d, of a newer dcalab (%.40q); this one reads %d", m.Format, m.Dcalab, manifestFormat))
	case m.Format < 1, m.Disks.Bytes < 0, m.Disks.Bytes > 1<<50, m.Disks.Files < 0, m.Disks.Files > 1<<40, !m.printable():
		return nil, damagedError("its manifest is none that dcalab has written")
	}
	h, err := next(disksMember, 1<<50)
	if err != nil {
		return nil, err
	}
	if s.at, err = in.Seek(0, io.SeekCurrent); err != nil {
		return nil, err
	}
	if h.Size != m.Disks.Size || s.at+h.Size > size {
		return nil, damagedError("it is not all of a snapshot's file: its disks take " + fmt.Sprint(m.Disks.Size) + " bytes")
	}
	if _, err := next(sumsMember, 1<<10); err != nil {
		return nil, err
	}
	sums, err := io.ReadAll(archive)
	if err != nil || string(sums) != sumsOf(text, m) {
		return nil, altered
	}
	if end := s.at + blocks(m.Disks.Size) + tarBlock + blocks(int64(len(sums))) + 2*tarBlock; size != end {
		return nil, damagedError(fmt.Sprintf("it has %d bytes, and was made with %d", size, end))
	}
	return s, nil
}

// disks gives the disks. The last Read of all gives io.EOF only where the sum of
// what was read is the manifest's.
func (s *snapshotFile) disks(ctx context.Context) (io.Reader, error) {
	d := &disksReader{ctx: ctx, want: s.manifest.Disks.SHA256, sum: sha256.New()}
	d.in = bufio.NewReaderSize(io.TeeReader(io.NewSectionReader(s.file, s.at, s.manifest.Disks.Size), d.sum), 1<<20)
	zip, err := gzip.NewReader(d.in)
	if err != nil {
		return nil, altered
	}
	zip.Multistream(false)
	d.zip = zip
	return d, nil
}

// intact tells whether the disks have the sum that the manifest says.
func (s *snapshotFile) intact() bool {
	sum := sha256.New()
	_, err := io.Copy(sum, io.NewSectionReader(s.file, s.at, s.manifest.Disks.Size))
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == s.manifest.Disks.SHA256
}

type disksReader struct {
	ctx  context.Context //nolint:containedctx // an io.Reader takes none
	in   *bufio.Reader
	zip  *gzip.Reader
	sum  hash.Hash
	want string
}

func (d *disksReader) Read(p []byte) (int, error) {
	if err := d.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := d.zip.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	rest, err := io.Copy(io.Discard, d.in)
	switch {
	case err != nil:
		return n, err
	case rest > 0 || hex.EncodeToString(d.sum.Sum(nil)) != d.want:
		return n, altered
	}
	return n, io.EOF
}
