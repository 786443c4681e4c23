package ui

import (
	"math"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"charm.land/lipgloss/v2"
)

// xterm is the standard value of one of the 256 colours (xterm's 256colres.h).
func xterm(n int) [3]int {
	if n >= 232 {
		g := 8 + 10*(n-232)
		return [3]int{g, g, g}
	}
	level := [6]int{0, 95, 135, 175, 215, 255}
	n -= 16
	return [3]int{level[n/36], level[n/6%6], level[n%6]}
}

// luminance is WCAG 2.1's relative luminance.
func luminance(rgb [3]int) float64 {
	var l float64
	for i, weight := range [3]float64{0.2126, 0.7152, 0.0722} {
		c := float64(rgb[i]) / 255
		if c <= 0.03928 {
			l += weight * c / 12.92
			continue
		}
		l += weight * math.Pow((c+0.055)/1.055, 2.4)
	}
	return l
}

func TestColoursAreReadOnBlackAndOnWhite(t *testing.T) {
	for name, tn := range map[string]tone{"good": toneGood, "bad": toneBad, "warning": toneWarn, "faint": toneFaint} {
		n, ok := tn.color().(lipgloss.ANSIColor)
		if !ok || n < 16 {
			t.Errorf("%s: %v has no value of its own", name, tn.color())
			continue
		}
		l := luminance(xterm(int(n)))
		if black, white := (l+0.05)/0.05, 1.05/(l+0.05); black < 4.5 || white < 4.5 {
			t.Errorf("%s (%d): %.2f on black, %.2f on white", name, n, black, white)
		}
		if tn == toneFaint {
			continue
		}
		if other := paint("x", tn, true); !strings.Contains(other, "38;5;") {
			t.Errorf("%s: sent as %q", name, other)
		}
	}
}

func TestTextIsBrokenBetweenWords(t *testing.T) {
	text := "warning: manager03 is cut off: the other managers (manager01, manager02) do not reach it\n" +
		"  dcalab ssh manager03 -- ping -c 1 10.20.30.101    # and in the other direction, at length\n" +
		"  if it does not end, they cannot reach each other on TCP port 2377\nshort\n"
	for columns := 20; columns < 100; columns++ {
		got := Wrap(text, columns)
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(text), " ") {
			t.Fatalf("%d: words were changed:\n%s", columns, got)
		}
		for line := range strings.Lines(got) {
			if ansi.StringWidth(strings.TrimRight(line, "\n")) > columns && !strings.HasPrefix(line, "  dcalab ") {
				t.Errorf("%d: %q", columns, line)
			}
		}
	}
	if Wrap(text, 0) != text {
		t.Error("what is no terminal's was changed")
	}
}

func TestATableFitsItsTerminal(t *testing.T) {
	columns := []Column{{Title: "NODE"}, {Title: "MACHINE", Keep: 5}, {Title: "STATE", Keep: 9}, {Title: "ADDRESS", Keep: 1}}
	rows := [][]string{{"manager01", "running", "Ready", "10.20.30.101"}}
	for width, want := range map[int]string{
		0:  "NODE        MACHINE   STATE   ADDRESS\nmanager01   running   Ready   10.20.30.101\n",
		42: "NODE        MACHINE   STATE   ADDRESS\nmanager01   running   Ready   10.20.30.101\n",
		41: "NODE        MACHINE   STATE\nmanager01   running   Ready\n",
		20: "NODE        STATE\nmanager01   Ready\n",
	} {
		var b strings.Builder
		if err := FitTable(&b, columns, rows, width, false); err != nil || b.String() != want {
			t.Errorf("%d:\n%s, want\n%s (%v)", width, b.String(), want, err)
		}
	}
}
