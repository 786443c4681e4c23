package show

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/session/doctor"
	"github.com/dcalab/dcalab/ui"
)

// Diagnosis is a line for each check, with what would fix it below, and a last line that
// sums up.
func Diagnosis(w io.Writer, d *doctor.Diagnosis, style Style) error {
	var rows [][]string
	for _, c := range d.Checks {
		rows = append(rows, []string{string(c.Verdict), c.What, c.Why})
	}
	var lines, b bytes.Buffer
	if err := ui.Table(&lines, nil, rows, style.Color); err != nil {
		return err
	}
	marked := false
	for i, line := range strings.SplitAfter(strings.TrimRight(lines.String(), "\n")+"\n", "\n") {
		b.WriteString(line)
		if i >= len(d.Checks) || d.Checks[i].Verdict == machine.VerdictOK {
			continue
		}
		for _, f := range d.Checks[i].Fixes {
			mark := ""
			if f.Run != nil {
				mark, marked = "   (--fix)", true
			}
			fmt.Fprintf(&b, "          → %s%s\n", f.Text, mark)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", summary(d, marked))
	_, err := io.WriteString(w, style.Hint(b.String()))
	return err
}

func summary(d *doctor.Diagnosis, marked bool) string {
	parts := []string{}
	for _, v := range []machine.Verdict{machine.VerdictFailure, machine.VerdictWarning, machine.VerdictUnknown} {
		switch n := d.Count(v); {
		case n == 1:
			parts = append(parts, "1 "+string(v))
		case n > 1 && v != machine.VerdictUnknown:
			parts = append(parts, fmt.Sprintf("%d %ss", n, v))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	sum := fmt.Sprintf("%d checks", len(d.Checks))
	if len(d.Checks) == 1 {
		sum = "1 check"
	}
	if len(parts) > 0 {
		sum += ": " + strings.Join(parts, ", ")
	}
	switch {
	case d.Count(machine.VerdictFailure) == 0:
		sum += "; nothing stops dcalab up"
	case marked:
		sum += "; dcalab doctor --fix runs what is marked"
	}
	return sum
}
