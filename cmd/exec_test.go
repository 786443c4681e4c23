package cmd

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

	"github.com/dcalab/dcalab/trouble"
)

// However what nodes say comes in pieces, each line is shown whole, once, under
// its node's name and on its stream, in the order in which the node wrote it;
// in order, node after node.
func TestChorusTearsNoLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ordered := rapid.Bool().Draw(t, "ordered")
		nodes := []string{"a", "master", "b"}
		var out, errw bytes.Buffer
		c := newChorus(&out, &errw, ordered)
		c.join(nodes, false, false)
		said := map[string]string{} // by prefix and stream
		open := []int{0, 1, 2}
		for i := 0; len(open) > 0; i++ {
			n := rapid.SampledFrom(open).Draw(t, "node")
			if i > 40 || rapid.IntRange(0, 9).Draw(t, "ends") == 0 {
				c.end(n, nil)
				open = slices.DeleteFunc(open, func(m int) bool { return m == n })
				continue
			}
			stderr := rapid.Bool().Draw(t, "stderr")
			piece := rapid.StringMatching("[xyz\n]{0,6}").Draw(t, "piece")
			if k, err := c.voice(n, stderr).Write([]byte(piece)); k != len(piece) || err != nil {
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

func TestChorusKeepsLittle(t *testing.T) {
	var out bytes.Buffer
	c := newChorus(&out, &out, false)
	c.join([]string{"n"}, false, false)
	v := c.voice(0, false)
	for range 3 * maxLine / 1000 {
		_, _ = v.Write(bytes.Repeat([]byte("x"), 1000))
		if cap(v.part) > 2*maxLine {
			t.Fatalf("%d bytes are kept", cap(v.part))
		}
	}
	if out.Len() < 2*maxLine {
		t.Error("a line without an end is not shown")
	}
	_, _ = v.Write([]byte("\r\n"))
	c.end(0, errors.New("two\nlines"))
	if got := out.String(); !strings.HasSuffix(got, "x\nn | two lines\n") {
		t.Errorf("it ends with %q", got[len(got)-40:])
	}
}

// In order, a node that says much waits for its turn, and costs no more memory.
func TestChorusHoldsNoMoreThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := newChorus(&out, io.Discard, true)
		c.max = 100
		c.join([]string{"a", "b"}, false, false)
		said := make(chan int, 50)
		go func() {
			for i := range 50 {
				_, _ = fmt.Fprintf(c.voice(1, false), "line %d\n", i)
				said <- i
			}
			c.end(1, nil)
			close(said)
		}()
		synctest.Wait()
		if n := len(said); n == 0 || n > 10 {
			t.Errorf("%d lines of b were taken before its turn", n)
		}
		_, _ = io.WriteString(c.voice(0, false), "first\n")
		c.end(0, nil)
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
		c := newChorus(brokenWriter{full}, brokenWriter{errors.New("nobody hears it")}, false)
		c.join([]string{"master"}, false, false)
		if n, err := c.voice(0, stderr).Write([]byte("lost\n")); n != 5 || err != nil {
			t.Errorf("the node is to blame: %d, %v", n, err)
		}
		c.end(0, nil)
		if want := map[bool]error{false: full}[stderr]; !errors.Is(c.lost, want) {
			t.Errorf("of stderr %v: %v", stderr, c.lost)
		}
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestExecStatus(t *testing.T) {
	exited := func(statuses ...int) []execResult {
		var r []execResult
		for _, s := range statuses {
			if s < 0 {
				r = append(r, execResult{err: errors.New("halted")})
			} else {
				r = append(r, execResult{Exit: &s})
			}
		}
		return r
	}
	for name, c := range map[string]struct {
		statuses []int
		want     int
	}{
		"all well":                  {[]int{0, 0}, 0},
		"one fails":                 {[]int{0, 3, 0}, 3},
		"they agree":                {[]int{3, 0, 3}, 3},
		"they do not":               {[]int{3, 4}, 1},
		"one is not reached":        {[]int{0, -1}, 1},
		"one is not reached, one 3": {[]int{3, -1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var status remoteError
			err := execStatus(exited(c.statuses...))
			if errors.As(err, &status); int(status) != c.want || (err == nil) != (c.want == 0) {
				t.Errorf("got %v, want %d", err, c.want)
			}
		})
	}
}

func TestMistakesOnNodesAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		story string
	}{
		"exec without --":          {[]string{"exec", "master", "ls"}, "dcalab exec NODE... -- COMMAND"},
		"exec without a command":   {[]string{"exec", "--all", "--"}, "see dcalab exec --help"},
		"exec on nobody":           {[]string{"exec", "--", "ls"}, "--all, --managers or --workers"},
		"cp of one thing":          {[]string{"cp", "x"}, "see dcalab cp --help"},
		"cp from here to here":     {[]string{"cp", "a", "b"}, "dcalab cp a NODE:b"},
		"cp all from here to here": {[]string{"cp", "--all", "a", "b"}, "dcalab cp --all a :b"},
		"cp to which node?":        {[]string{"cp", "a", ":b"}, "NODE:b, or --all"},
		"cp to one node and all":   {[]string{"cp", "--all", "a", "master:b"}, "for each of the selected nodes: :b"},
		"logs of nobody":           {[]string{"logs"}, "see dcalab logs --help"},
		"logs of no lines":         {[]string{"logs", "master", "-n", "-4"}, "--lines 20, or --lines all"},
		"logs of the future":       {[]string{"logs", "master", "--since=-4s"}, "--since 10m"},
		"a bundle of no tar.gz":    {[]string{"logs", "--bundle", "x.zip"}, "x.zip.tar.gz"},
		"a bundle that follows":    {[]string{"logs", "--bundle", "x.tar.gz", "-f"}, "do not go with it"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, story := run(t, c.args...)
			if status != trouble.ExitUsage || out != "" || !strings.HasPrefix(story, "error: ") || !strings.Contains(story, c.story) {
				t.Errorf("exit status %d, %q:\n%s", status, out, story)
			}
		})
	}
}
