package lifecycle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/trouble"
)

// A backup of a swarm is a tar archive, compressed with gzip: backupMember, which tells
// what it is, and then the folder /var/lib/docker/swarm of one manager as swarm/…, so
// that it can be put back without dcalab, too: tar -C /var/lib/docker -xf FILE swarm.
const (
	backupMember = "dcalab-backup.json"
	backupFormat = 1
	// completeMember comes last on the way to a node (provision, swarm-state.sh).
	completeMember = "swarm.complete"
	keyMember      = "swarm/certificates/swarm-node.key"
	// backupLimit is more than a folder of swarmkit's ever has: logs and snapshots of
	// some 100 MB.
	backupLimit = 4 << 30
)

// backup tells of a swarm in a file. Its keys are a promise. It has names of secrets, and
// no secret.
type backup struct {
	Format int       `json:"format"`
	Made   time.Time `json:"made"`
	Lab    string    `json:"lab"`
	// Node is whose data it is, and Address the one that it has there: a swarm that is
	// made of it has its manager at that address, whatever it advertises.
	Node    string `json:"node"`
	Address string `json:"address"`
	Cluster string `json:"cluster"`
	Engine  string `json:"engine"`
	// What it has, by name.
	Services []string     `json:"services"`
	Secrets  []string     `json:"secrets"`
	Configs  []string     `json:"configs"`
	Networks []string     `json:"networks"`
	Nodes    []backupNode `json:"nodes"`
	// Locked: autolock was on, and the data is encrypted with the unlock key of then.
	Locked bool `json:"locked,omitempty"`

	// Key is the manager's, as it is in the archive.
	Key []byte `json:"-"`
}

// backupNode is a node of the lab as it was in the swarm.
type backupNode struct {
	Name         string              `json:"name"`
	Role         lab.Role            `json:"role"`
	Availability engine.Availability `json:"availability"`
	Labels       map[string]string   `json:"labels"`
}

// writeBackup copies the archive of a node's folder. It is an error where a manager's
// data is not all there.
func writeBackup(to io.Writer, b backup, from io.Reader) error {
	z := gzip.NewWriter(to)
	out := tar.NewWriter(z)
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	err = out.WriteHeader(&tar.Header{Name: backupMember, Mode: 0o600, Size: int64(len(text)), ModTime: b.Made, Typeflag: tar.TypeReg})
	if err == nil {
		_, err = out.Write(text)
	}
	if err == nil {
		_, err = copyMembers(out, tar.NewReader(from))
	}
	if err == nil {
		_, err = io.Copy(io.Discard, from) // what fills up its last block
	}
	return errors.Join(err, out.Close(), z.Close())
}

// readBackup looks at a whole backup, and gives what it tells of itself. With to, it
// writes the archive of the folder there.
func readBackup(from io.Reader, to io.Writer) (backup, error) {
	var b backup
	z, err := gzip.NewReader(from)
	if err != nil {
		return b, err
	}
	in := tar.NewReader(io.LimitReader(z, backupLimit))
	h, err := in.Next()
	if err != nil {
		return b, err
	}
	if h.Name != backupMember || h.Size > 1<<20 {
		return b, fmt.Errorf("it begins with %q, and not with %s", h.Name, backupMember)
	}
	if err := json.NewDecoder(in).Decode(&b); err != nil {
		return b, fmt.Errorf("%s: %w", backupMember, err)
	}
	if b.Format != backupFormat {
		return b, fmt.Errorf("its format is %d, and this dcalab reads %d", b.Format, backupFormat)
	}
	if to == nil {
		to = io.Discard
	}
	out := tar.NewWriter(to)
	if b.Key, err = copyMembers(out, in); err != nil {
		return b, err
	}
	b.Locked = provision.Locked(b.Key) // whatever the note says
	// To the end, where the sum of the whole is checked.
	if _, err := io.Copy(io.Discard, z); err != nil {
		return b, err
	}
	return b, errors.Join(out.WriteHeader(&tar.Header{Name: completeMember, Typeflag: tar.TypeReg, Mode: 0o600}), out.Close())
}

// copyMembers copies the files and folders of swarm/, which are to be root's. It is an
// error where there is anything else, or a manager's log or key is missing. It gives the
// key.
func copyMembers(out *tar.Writer, in *tar.Reader) (key []byte, err error) {
	missing := map[string]bool{"swarm/raft": true, keyMember: true, "swarm/certificates/swarm-node.crt": true}
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(h.Name, "/")
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir || name != "swarm" && !strings.HasPrefix(name, "swarm/") || !fs.ValidPath(name) || path.Clean(name) != name {
			return nil, fmt.Errorf("%q is in it, which is no file of a swarm", h.Name)
		}
		delete(missing, name)
		if strings.HasPrefix(name, "swarm/worker/") || name == "swarm/worker" {
			continue // tasks of the node as it was
		}
		h.Mode, h.Uid, h.Gid, h.Uname, h.Gname = h.Mode&0o700, 0, 0, "root", "root"
		if err := out.WriteHeader(h); err != nil {
			return nil, err
		}
		copied, from := &bytes.Buffer{}, io.Reader(in)
		if name == keyMember {
			from = io.TeeReader(io.LimitReader(in, 1<<20), copied) // some hundred bytes
		}
		if _, err := io.Copy(out, from); err != nil { //nolint:gosec // its size is bounded above
			return nil, err
		}
		if name == keyMember {
			key = copied.Bytes()
		}
	}
	for name := range missing {
		return nil, fmt.Errorf("%s is not in it: it is no manager's", name)
	}
	return key, nil
}

// unfitBackup is the error of a file that is no backup, or a damaged one.
func unfitBackup(file string, err error) error {
	return &trouble.Error{
		ID: "backup-unfit", What: "read " + file, Why: trouble.OneLine(err), Exit: trouble.ExitRefused, Err: err,
		Next: []string{"name a file that dcalab swarm backup wrote", "compare it with the original: sha256sum " + file},
	}
}
