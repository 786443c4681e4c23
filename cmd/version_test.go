package cmd

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

func TestVersionInOtherFormats(t *testing.T) {
	status, out, story := run(t, "version", "-o", "json")
	var keys map[string]any
	if err := json.Unmarshal([]byte(out), &keys); status != 0 || story != "" || err != nil {
		t.Fatalf("exit status %d, %v\n%s%s", status, err, out, story)
	}
	for _, key := range []string{"version", "commit", "date", "modified", "go", "os", "arch"} {
		if _, ok := keys[key]; !ok {
			t.Errorf("no key %s:\n%s", key, out)
		}
	}
	if status, out, _ := run(t, "version", "-o", "yaml"); status != 0 || !strings.Contains(out, "\narch: "+runtime.GOARCH) {
		t.Errorf("yaml: exit status %d\n%s", status, out)
	}
	if status, out, _ := run(t, "version"); status != 0 || strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "dcalab ") {
		t.Errorf("without -o: exit status %d\n%s", status, out)
	}
}
