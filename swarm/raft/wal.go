package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// HardState is what raft keeps on disk besides the log (raft's term for it).
type HardState struct {
	// Term is the newest that the manager knows of, and Vote the raft id of the
	// candidate that it voted for in this term, 0 for none: both are on disk before the
	// manager acts on them. Commit is the index of an entry that it knows to be
	// committed, as all before it are; it may know of later ones, since a commit alone
	// is written only with the next entry or vote.
	Term, Vote, Commit uint64
}

// Position is that of an entry in the log.
type Position struct{ Term, Index uint64 }

// State is what a manager's write-ahead log tells of it. The zero State is that of
// a node without a log: it is no manager.
type State struct {
	// ID is the manager's in raft, Node the swarm's id of the node, and Address where
	// other managers reach it (host:2377), as of when it joined.
	ID      uint64
	Node    string
	Address string
	HardState
	// Last is the last entry in the log: at least Commit.
	Last Position
}

// Kinds of records in the files, which are those of etcd's package wal
// (go.etcd.io/etcd/server/wal, walpb/record.proto), below swarmkit's encryption of
// what entries hold.
const (
	recordMetadata = 1 // swarmkit's RaftMember
	recordEntry    = 2 // raftpb.Entry
	recordState    = 3 // raftpb.HardState
	recordCRC      = 4 // begins a file
	recordSnapshot = 5 // walpb.Snapshot
)

// maxRecord is more than any record has; raft's largest entry is about 1.5 MB.
const maxRecord = 64 << 20

// errTorn is a record that is not whole: it is being written, or its file has been
// cut off and written anew.
var errTorn = errors.New("a record of the write-ahead log is not whole")

// reader reads records of a write-ahead log, file after file.
type reader struct {
	state State
	crc   uint32
}

// begin turns to the beginning of a file, whose name tells which one it is of the log,
// from 0, and the index of its first entry: 0000000000000001-00000000000003e8.wal.
func (r *reader) begin(name string) {
	r.crc = 0
	number, first, _ := strings.Cut(strings.TrimSuffix(name, ".wal"), "-")
	if n, err := strconv.ParseUint(number, 16, 64); err == nil && n == 0 {
		r.state = State{} // of another log
	}
	if n, err := strconv.ParseUint(first, 16, 64); err == nil && n > 0 {
		r.state.Last.Index = max(r.state.Last.Index, n-1)
	}
}

// read reads the records at the beginning of data, and gives how many bytes of it
// they have. changed is told of each HardState with another term or vote. The error
// is errTorn where what follows is not whole; the end of the records, or of the
// data, is none.
func (r *reader) read(data []byte, changed func(State)) (n int, err error) {
	for {
		body, size, err := record(data[n:])
		if err != nil || size == 0 {
			return n, err
		}
		before := r.state.HardState
		if err := r.record(body); err != nil {
			return n, err
		}
		n += size
		if now := r.state.HardState; now.Term != before.Term || now.Vote != before.Vote {
			changed(r.state)
		}
	}
}

// record gives a record at the beginning of data, and its size there; 0 where there
// is none.
func record(data []byte) (body []byte, size int, err error) {
	if len(data) < 8 {
		return nil, 0, nil
	}
	head := binary.LittleEndian.Uint64(data)
	if head == 0 {
		return nil, 0, nil
	}
	length := head & (1<<56 - 1)
	if length > maxRecord {
		return nil, 0, errTorn
	}
	padding := 0
	if head>>63 == 1 {
		padding = int(head >> 56 & 7)
	}
	size = 8 + int(length) + padding //nolint:gosec // it is at most maxRecord
	if len(data) < size {
		return nil, 0, errTorn
	}
	return data[8 : 8+length], size, nil
}

// sum goes on with the sum of all records before.
func sum(before uint32, data []byte) uint32 {
	return crc32.Update(before, crc32.MakeTable(crc32.Castagnoli), data)
}

func (r *reader) record(body []byte) error {
	f, err := fields(body)
	if err != nil {
		return errTorn
	}
	kind, told, data := f[1].number, uint32(f[2].number), f[3].bytes //nolint:gosec // a sum has 32 bits
	if kind == recordCRC {
		r.crc = told
		return nil
	}
	if sum(r.crc, data) != told {
		return errTorn
	}
	if f, err = fields(data); err != nil {
		return fmt.Errorf("a record of kind %d cannot be read: %w", kind, err)
	}
	r.crc = told
	switch kind {
	case recordMetadata:
		if id, node := f[1].number, string(f[2].bytes); id != r.state.ID || node != r.state.Node {
			begins := State{ID: id, Node: node}
			if r.state.ID == 0 { // all that is known is the file's name
				begins.Last = r.state.Last
			}
			r.state = begins
		}
		r.state.Address = string(f[3].bytes)
	case recordEntry:
		r.state.Last = Position{Term: f[2].number, Index: f[3].number} // what it had from there on is void
	case recordState:
		r.state.HardState = HardState{Term: f[1].number, Vote: f[2].number, Commit: f[3].number}
	case recordSnapshot:
		if at := (Position{Term: f[2].number, Index: f[1].number}); at.Index >= r.state.Last.Index {
			r.state.Last = at
		}
	}
	return nil
}

// field is the value of a field of a message of protobuf; the last one, where it is
// repeated.
type field struct {
	number uint64
	bytes  []byte
}

var errNoMessage = errors.New("it is no message of protobuf")

// fields reads the fields of a message whose numbers and texts are asked for by
// their number.
func fields(message []byte) (map[protowire.Number]field, error) {
	out := map[protowire.Number]field{}
	err := each(message, func(num protowire.Number, f field) error {
		out[num] = f
		return nil
	})
	return out, err
}

// each calls do for every field of a message.
func each(message []byte, do func(protowire.Number, field) error) error {
	for len(message) > 0 {
		num, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errNoMessage
		}
		message = message[n:]
		var f field
		switch kind {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(num, kind, message)
		}
		if n < 0 {
			return errNoMessage
		}
		message = message[n:]
		if err := do(num, f); err != nil {
			return err
		}
	}
	return nil
}
