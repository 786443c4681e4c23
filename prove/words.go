package prove

import (
	"fmt"
	"strings"

	"github.com/dcalab/dcalab/fault"
)

// ParseFault reads a fault as it is typed behind dcalab break, with --one-way and --to,
// but without --for and --seed, which a run sets. The error is a *fault.SyntaxError.
func ParseFault(line string) (fault.Request, error) {
	var words, to []string
	direction := fault.Both
	fields := strings.Fields(line)
	for i := 0; i < len(fields); i++ {
		flag, value, joined := strings.Cut(fields[i], "=")
		if !strings.HasPrefix(flag, "--") {
			words = append(words, fields[i])
			continue
		}
		if flag != "--one-way" && flag != "--to" {
			return fault.Request{}, &fault.SyntaxError{Why: fmt.Sprintf("%q: a fault of prove has no flag but --one-way and --to", line)}
		}
		if !joined {
			if i++; i == len(fields) {
				return fault.Request{}, &fault.SyntaxError{Why: fmt.Sprintf("%q: %s of what?", line, flag)}
			}
			value = fields[i]
		}
		if flag == "--to" {
			to = append(to, strings.Split(value, ",")...)
		} else {
			direction = fault.Direction(value)
		}
	}
	r, err := fault.Parse(words)
	if err != nil {
		return r, err
	}
	r.OneWay, r.To, r.Asked = direction, to, line
	return r, r.Check()
}
