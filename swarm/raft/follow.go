package raft

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/dcalab/dcalab/node"
)

// walFolder has the files of a manager's log, in every version of Docker Engine
// from 17.06 on.
const walFolder = "/var/lib/docker/swarm/raft/wal-v3-encrypted"

// The program tells what is new in the log. It is asked with a line,
//
//	INODE OFFSET WAIT
//
// the file that is known (-1: nothing yet), how far it was read, and 1 where there is
// nothing to say until there is more, or another file. It answers with a line and the
// bytes of records:
//
//	NAME INODE OFFSET BYTES
//
// No file is "- 0 0 0". There may be more than one answer has. A record that is being
// written is not whole, and is asked for again.
var (
	//go:embed wal.pl
	walPerl string
	//go:embed wal.py
	walPython string
)

const (
	// answerMax is how much an answer has at most, but for its last record.
	answerMax = 1 << 20
	// tornPause is between two looks at a record that is being written. After
	// tornLooks of them it is one that stays, as an engine leaves it that was cut off:
	// it is looked at each brokenPause then, and the file is read anew now and again,
	// since the engine cuts off and overwrites such a record when it starts.
	tornPause   = 5 * time.Millisecond
	brokenPause = time.Second
	tornLooks   = 200
)

// Read gives the state of the manager on a node now: the zero State where it is none.
func Read(ctx context.Context, c *node.Conn) (State, error) {
	var now State
	err := follow(ctx, c, func(s State) bool {
		now = s
		return false
	})
	return now, err
}

// Follow tells the state of the manager on a node now, and then each change of it,
// in their order, until ctx ends, which is no error. No term and vote are left out;
// of what changes faster than the log is looked at (50 times a second), commits and
// the log's end are. A node that is no manager any more has the zero State.
func Follow(ctx context.Context, c *node.Conn, each func(State)) error {
	err := follow(ctx, c, func(s State) bool {
		each(s)
		return true
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to end
	}
	return err
}

func follow(ctx context.Context, c *node.Conn, each func(State) (more bool)) error {
	conn, err := c.Start(ctx, node.Program{Name: "read the raft log", Perl: walPerl, Python: walPython}, walFolder)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := talk(ctx, conn, each); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s: read the raft log: %w", c.Name(), err)
	}
	return nil
}

// talk asks the program until each wants no more.
func talk(ctx context.Context, conn net.Conn, each func(State) bool) error {
	in := bufio.NewReader(conn)
	var r reader
	var last State            // what was told
	told, more := false, true // once it was; whether each wants more
	file, known, offset := int64(-1), int64(-1), int64(0)
	torn, anew := 0, false // looks at a record that is not whole; the file is read anew
	for {
		wait := 0
		if told && torn == 0 {
			wait = 1
		}
		if _, err := fmt.Fprintf(conn, "%d %d %d\n", known, offset, wait); err != nil {
			return err
		}
		name, inode, at, data, err := answer(in)
		if err != nil {
			return err
		}
		switch {
		case inode == 0:
			r = reader{}
		case inode != file || known < 0:
			r.begin(name)
		}
		file, known = inode, inode
		n, err := r.read(data, func(s State) {
			if told && !anew && more && s != last {
				last, more = s, each(s)
			}
		})
		offset = at + int64(n)
		whole := err == nil
		switch {
		case whole:
			torn = 0
		case !errors.Is(err, errTorn):
			return err
		default:
			if n > 0 && !anew {
				torn = 0
			}
			if torn++; torn%tornLooks == 0 {
				known, offset, anew, r = -1, 0, true, reader{}
			}
		}
		if known >= 0 && len(data) < answerMax {
			anew = false // that was all of it
		}
		if now := whole && (told || len(data) == 0); more && !anew && (now || torn > tornLooks) && (!told || r.state != last) {
			last, told, more = r.state, true, each(r.state)
		}
		if !more {
			return nil
		}
		if !whole {
			pause := tornPause
			if torn > tornLooks {
				pause = brokenPause
			}
			if err := sleep(ctx, pause); err != nil {
				return err
			}
		}
	}
}

func answer(in *bufio.Reader) (name string, inode, at int64, data []byte, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", 0, 0, nil, err
	}
	var n int64
	if _, err := fmt.Sscanf(line, "%s %d %d %d\n", &name, &inode, &at, &n); err != nil || n < 0 || n > answerMax+maxRecord {
		return "", 0, 0, nil, fmt.Errorf("the node answers %.80q", line)
	}
	data = make([]byte, n)
	_, err = io.ReadFull(in, data)
	return name, inode, at, data, err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
