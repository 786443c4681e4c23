package session

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dcalab/dcalab/lab"
)

// A label that no placement constraint can name gets the warning in labs.yaml
// that label set gives; many are told of by the first.
func TestLabelsInLabsYAMLAreWarnedOf(t *testing.T) {
	labels := func(s string) []string {
		t.Helper()
		f, err := lab.Parse("labs.yaml", []byte("version: 1\nlabs: {one: {subnet: 10.9.9.0/24, nodes: [{name: m, ip: 10.9.9.9, role: manager, labels: {"+s+"}}]}}"))
		if err != nil {
			t.Fatal(err)
		}
		return Warnings(f)
	}
	if got := labels(`zone: east, "a/b": x, disk: "ü"`); len(got) != 2 ||
		!strings.HasPrefix(got[0], "node m of lab one: no placement constraint can name the label a/b") || !strings.Contains(got[1], `the value "ü" of the label disk`) {
		t.Errorf("warnings %q", got)
	}
	var many strings.Builder
	for i := range 50 {
		fmt.Fprintf(&many, "\"a/%d\": x, ", i)
	}
	if got := labels(many.String()); len(got) != 21 || got[20] != "and 30 more like these" {
		t.Errorf("%d warnings, the last %q", len(got), got[len(got)-1])
	}
}
