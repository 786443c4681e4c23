package raft

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcalab/dcalab/node"
)

// log writes records as etcd does (wal/encoder.go).
type log struct {
	bytes.Buffer
	crc uint32
}

// message makes a message of numbers and texts, in the order of their fields.
func pack(values ...any) []byte {
	var out []byte
	for i, v := range values {
		n := protowire.Number(i + 1)
		switch v := v.(type) {
		case int:
			out = protowire.AppendVarint(protowire.AppendTag(out, n, protowire.VarintType), uint64(v))
		case string:
			out = protowire.AppendString(protowire.AppendTag(out, n, protowire.BytesType), v)
		case []byte:
			out = protowire.AppendBytes(protowire.AppendTag(out, n, protowire.BytesType), v)
		}
	}
	return out
}

func (l *log) add(kind int, data []byte) *log {
	l.crc = sum(l.crc, data)
	body := pack(kind, int(l.crc), data)
	head, padding := uint64(len(body)), (8-len(body)%8)%8
	if padding > 0 {
		head |= uint64(0x80|padding) << 56
	}
	_ = binary.Write(l, binary.LittleEndian, head)
	l.Write(body)
	l.Write(make([]byte, padding))
	return l
}

func (l *log) file() *log { return l.add(recordCRC, nil) }
func (l *log) member(id int, node string) *log {
	return l.add(recordMetadata, pack(id, node, node+":2377"))
}
func (l *log) entry(term, index int) *log        { return l.add(recordEntry, pack(0, term, index, "secret")) }
func (l *log) state(term, vote, commit int) *log { return l.add(recordState, pack(term, vote, commit)) }

func state(term, vote, commit, last, index uint64) State {
	return State{ID: 7, Node: "id-a", Address: "id-a:2377", HardState: HardState{term, vote, commit}, Last: Position{last, index}}
}

func TestReader(t *testing.T) {
	for name, c := range map[string]struct {
		log     *log
		want    State
		changed []HardState
	}{
		"nothing yet":                {new(log), State{}, nil},
		"a new manager":              {new(log).file().member(7, "id-a"), state(0, 0, 0, 0, 0), nil},
		"entries":                    {new(log).file().member(7, "id-a").entry(2, 1).entry(2, 2).state(2, 7, 1), state(2, 7, 1, 2, 2), []HardState{{2, 7, 1}}},
		"a commit is no election":    {new(log).file().member(7, "id-a").state(2, 7, 1).state(2, 7, 2), state(2, 7, 2, 0, 0), []HardState{{2, 7, 1}}},
		"an election, then another":  {new(log).file().member(7, "id-a").state(3, 0, 1).state(3, 9, 1).state(4, 9, 1), state(4, 9, 1, 0, 0), []HardState{{3, 0, 1}, {3, 9, 1}, {4, 9, 1}}},
		"entries that lost are void": {new(log).file().member(7, "id-a").entry(2, 5).entry(2, 6).entry(3, 5), state(0, 0, 0, 3, 5), nil},
		"a snapshot of the leader's": {new(log).file().member(7, "id-a").entry(2, 5).add(recordSnapshot, pack(90, 3)), state(0, 0, 0, 3, 90), nil},
		"an older snapshot":          {new(log).file().member(7, "id-a").entry(2, 95).add(recordSnapshot, pack(90, 2)), state(0, 0, 0, 2, 95), nil},
		"another swarm":              {new(log).file().member(3, "id-b").entry(9, 50).state(9, 3, 50).member(7, "id-a"), state(0, 0, 0, 0, 0), []HardState{{9, 3, 50}, {}}},
	} {
		t.Run(name, func(t *testing.T) {
			var r reader
			var changed []HardState
			r.begin("0000000000000000-0000000000000000.wal")
			data := append(c.log.Bytes(), make([]byte, 64)...) // files are made longer than what is in them
			n, err := r.read(data, func(s State) { changed = append(changed, s.HardState) })
			if err != nil || n != c.log.Len() || r.state != c.want || !reflect.DeepEqual(changed, c.changed) {
				t.Errorf("read %d of %d: %+v, %+v, %v; want %+v, %+v", n, c.log.Len(), r.state, changed, err, c.want, c.changed)
			}
		})
	}
}

// TestRecordsThatAreNotWhole: wherever what is written ends, or a byte of it is not
// there yet, what is before is read, and the rest once it is there.
func TestRecordsThatAreNotWhole(t *testing.T) {
	l := new(log).file().member(7, "id-a").entry(2, 1).state(2, 7, 1).entry(2, 2).entry(3, 3).state(3, 9, 2)
	whole, want := l.Bytes(), state(3, 9, 2, 3, 3)
	for cut := range whole {
		for _, hole := range []bool{false, true} {
			odd := bytes.Clone(whole[:cut])
			if hole { // what comes after it is there
				odd = bytes.Clone(whole)
				clear(odd[cut:min(cut+16, len(odd))])
			}
			var r reader
			r.begin("")
			n, err := r.read(odd, func(State) {})
			if err != nil && !errors.Is(err, errTorn) {
				t.Fatalf("cut at %d, hole %t: %v", cut, hole, err)
			}
			if _, err := r.read(whole[n:], func(State) {}); err != nil || r.state != want {
				t.Fatalf("cut at %d, hole %t, then whole: %+v, %v", cut, hole, r.state, err)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(new(log).file().member(7, "id-a").entry(2, 1).state(2, 7, 1).Bytes(), 20)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x00"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var whole, parts reader
		n, err := whole.read(data, func(State) {})
		if n < 0 || n > len(data) {
			t.Fatalf("read %d of %d", n, len(data))
		}
		cut = min(max(cut, 0), n)
		at, _ := parts.read(data[:cut], func(State) {})
		_, errParts := parts.read(data[at:], func(State) {})
		if parts.state != whole.state || (err == nil) != (errParts == nil) {
			t.Errorf("%+v, %v in one piece; %+v, %v in two", whole.state, err, parts.state, errParts)
		}
	})
}

// program starts a program on this machine, as node.Conn.Start does on a node.
func program(t *testing.T, argv ...string) net.Conn {
	t.Helper()
	c := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
	return node.Join(out, in, nil)
}

func TestPrograms(t *testing.T) {
	for name, argv := range map[string][]string{"perl": {"perl", "-e", walPerl}, "python3": {"python3", "-c", walPython}} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				t.Skip(err)
			}
			dir := filepath.Join(t.TempDir(), "wal")
			conn := program(t, append(argv, dir)...)
			defer conn.Close()
			states := make(chan State)
			ended := make(chan error, 1)
			go func() {
				ended <- talk(t.Context(), conn, func(s State) bool { states <- s; return true })
			}()
			want := func(what string, want ...State) {
				t.Helper()
				for _, s := range want {
					select {
					case got := <-states:
						if got != s {
							t.Fatalf("%s: got %+v, want %+v", what, got, s)
						}
					case err := <-ended:
						t.Fatalf("%s: %v", what, err)
					}
				}
			}
			write := func(name string, l *log, size int) {
				t.Helper()
				full := append(bytes.Clone(l.Bytes()), make([]byte, size)...)
				if err := os.WriteFile(filepath.Join(dir, name), full, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want("no folder", State{})
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			first, second := "0000000000000000-0000000000000000.wal", "0000000000000001-0000000000000003.wal"
			l := new(log).file().member(7, "id-a").entry(2, 1).state(2, 7, 1)
			write("0.tmp", new(log), 9) // is none
			if err := os.WriteFile(filepath.Join(dir, "new"), append(bytes.Clone(l.Bytes()), make([]byte, 4096)...), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, first)); err != nil {
				t.Fatal(err)
			}
			want("a file", state(2, 7, 1, 2, 1))
			f, err := os.OpenFile(filepath.Join(dir, first), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			grow := func(pieces int) {
				t.Helper()
				at := int64(l.Len())
				l.entry(2, 2).state(2, 7, 2)
				more := l.Bytes()[at:]
				for len(more) > 0 {
					n := (len(more) + pieces - 1) / pieces
					if _, err := f.WriteAt(more[:n], at); err != nil {
						t.Fatal(err)
					}
					at, more, pieces = at+int64(n), more[n:], max(1, pieces-1)
				}
			}
			grow(5) // a record is not whole for a while
			want("it grows", state(2, 7, 2, 2, 2))
			// A record that stays broken is left alone, and what is before it is not told again.
			at := int64(l.Len())
			broken := new(log).entry(2, 3).Bytes()
			broken[len(broken)-9] ^= 0xff
			if _, err := f.WriteAt(broken, at); err != nil {
				t.Fatal(err)
			}
			now := State{}
			if err := talk(t.Context(), program(t, append(argv, dir)...), func(s State) bool { now = s; return false }); err != nil || now != state(2, 7, 2, 2, 2) {
				t.Errorf("with a record that stays broken: %+v, %v", now, err)
			}
			if _, err := f.WriteAt(make([]byte, len(broken)), at); err != nil { // as an engine does that starts
				t.Fatal(err)
			}
			l.state(3, 0, 2) // and just before there is another file
			if _, err := f.WriteAt(l.Bytes()[at:], at); err != nil {
				t.Fatal(err)
			}
			next := &log{crc: l.crc}
			next.file().member(7, "id-a").state(3, 0, 2)
			write(second, next, 100)
			next.entry(3, 3).state(3, 9, 2)
			write(second, next, 100) // the same file: what is new is after what is known
			want("what was written last to the old file", state(3, 0, 2, 2, 2))
			want("another file, and an election in it", State{ID: 7, Node: "id-a", Address: "id-a:2377", HardState: HardState{3, 9, 2}, Last: Position{3, 3}})
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			want("it left the swarm", State{})
			_ = conn.Close()
			if err := <-ended; err == nil {
				t.Error("talk goes on without its program")
			}
		})
	}
}

func TestWhatTheProgramCannotSay(t *testing.T) {
	for _, says := range []string{"", "hello\n", "x.wal 1 0 -1\n", "x.wal 1 0 999999999999\n", "x.wal 1 0 10\nshort"} {
		here, there := net.Pipe()
		go func() {
			_, _ = io.ReadFull(there, make([]byte, len("-1 0 0\n")))
			_, _ = io.WriteString(there, says)
			_ = there.Close()
		}()
		err := talk(context.Background(), here, func(State) bool { return false })
		if err == nil {
			t.Errorf("%q is believed", says)
		}
		_ = here.Close()
	}
}
