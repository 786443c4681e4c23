package ui

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// However what nodes say comes in pieces, each line is shown whole, once, under
// its node's name and on its stream, in the order in which the node wrote it;
// in order, node after node.
func TestLineMuxTearsNoLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ordered := rapid.Bool().Draw(t, "ordered")
		nodes := []string{"a", "master", "b"}
		var out, errw bytes.Buffer
		m := NewLineMux(Streams{Out: &out, Err: &errw}, nodes, ordered, false)
		said := map[string]string{} // by prefix and stream
		open := []int{0, 1, 2}
		for i := 0; len(open) > 0; i++ {
			n := rapid.SampledFrom(open).Draw(t, "node")
			if i > 40 || rapid.IntRange(0, 9).Draw(t, "ends") == 0 {
				m.End(n, nil)
				open = slices.DeleteFunc(open, func(other int) bool { return other == n })
				continue
			}
			stderr := rapid.Bool().Draw(t, "stderr")
			piece := rapid.StringMatching("[xyz\n]{0,6}").Draw(t, "piece")
			if k, err := m.Stream(n, stderr).Write([]byte(piece)); k != len(piece) || err != nil {
				t.Fatalf("wrote %d, %v", k, err)
			}
			said[fmt.Sprint(nodes[n], stderr)] += piece
		}
		for stderr, b := range map[bool]*bytes.Buffer{false: &out, true: &errw} {
			heard := map[string]string{}
			var turns []string
			for line := range strings.Lines(b.String()) {
				if len(line) < 9 || line[6:9] != " | " || !strings.HasSuffix(line, "\n") {
					t.Fatalf("a line reads %q", line)
				}
				name := strings.TrimSpace(line[:6])
				heard[name] += line[9:]
				if len(turns) == 0 || turns[len(turns)-1] != name {
					turns = append(turns, name)
				}
			}
			for _, n := range nodes {
				want := said[fmt.Sprint(n, stderr)]
				if want != "" && !strings.HasSuffix(want, "\n") {
					want += "\n"
				}
				if heard[n] != want {
					t.Fatalf("%s said %q (stderr: %v), and %q was shown", n, want, stderr, heard[n])
				}
			}
			if inOrder := slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return heard[n] == "" }); ordered && !slices.Equal(turns, inOrder) {
				t.Fatalf("the order was %q", turns)
			}
		}
	})
}

func TestLineMuxKeepsLittle(t *testing.T) {
	var out bytes.Buffer
	m := NewLineMux(Streams{Out: &out, Err: &out}, []string{"n"}, false, false)
	s := m.sources[0].streams[0]
	for range 3 * maxLine / 1000 {
		_, _ = s.Write(bytes.Repeat([]byte("x"), 1000))
		if cap(s.part) > 2*maxLine {
			t.Fatalf("%d bytes are kept", cap(s.part))
		}
	}
	if out.Len() < 2*maxLine {
		t.Error("a line without an end is not shown")
	}
	_, _ = s.Write([]byte("\r\n"))
	m.End(0, errors.New("two\nlines"))
	if got := out.String(); !strings.HasSuffix(got, "x\nn | two lines\n") {
		t.Errorf("it ends with %q", got[len(got)-40:])
	}
}

// In order, a node that says much waits for its turn, and costs no more memory.
func TestLineMuxHoldsNoMoreThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		m := NewLineMux(Streams{Out: &out, Err: io.Discard}, []string{"a", "b"}, true, false)
		m.max = 100
		said := make(chan int, 50)
		go func() {
			for i := range 50 {
				_, _ = fmt.Fprintf(m.Stream(1, false), "line %d\n", i)
				said <- i
			}
			m.End(1, nil)
			close(said)
		}()
		synctest.Wait()
		if n := len(said); n == 0 || n > 10 {
			t.Errorf("%d lines of b were taken before its turn", n)
		}
		_, _ = io.WriteString(m.Stream(0, false), "first\n")
		m.End(0, nil)
		for range said { // until b has said all
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != 51 || lines[0] != "a | first" || lines[50] != "b | line 49" {
			t.Errorf("it reads\n%s", out.String())
		}
	})
}

// dcalab exec --all -- docker info >file, on a disk that is full.
func TestWhatCannotBeShownIsTold(t *testing.T) {
	full := errors.New("no space left on device")
	for _, stderr := range []bool{false, true} {
		m := NewLineMux(Streams{Out: brokenWriter{full}, Err: brokenWriter{errors.New("nobody hears it")}}, []string{"master"}, false, false)
		if n, err := m.Stream(0, stderr).Write([]byte("lost\n")); n != 5 || err != nil {
			t.Errorf("the node is to blame: %d, %v", n, err)
		}
		m.End(0, nil)
		if want := map[bool]error{false: full}[stderr]; !errors.Is(m.Err(), want) {
			t.Errorf("of stderr %v: %v", stderr, m.Err())
		}
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }
