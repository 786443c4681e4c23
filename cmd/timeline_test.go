package cmd

import (
	"os"
	"strings"
	"testing"
)

// TestTimelineExport: what was recorded is told, and kept as a page that is not overwritten;
// the page begins where what is told does.
func TestTimelineExport(t *testing.T) {
	recording, err := os.ReadFile(repository + "/observe/testdata/partition.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.MkdirAll(".dcalab/dca", 0o700); err != nil {
		t.Fatal(err)
	}
	old := `{"time":"2026-01-01T10:00:00Z","source":"command","kind":"done","node":"old","text":"long ago"}` + "\n"
	if err := os.WriteFile(".dcalab/dca/timeline.jsonl", append([]byte(old), recording...), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, story := runHere(t, "--driver", "sandbox", "timeline", "export", "evening.html")
	if status != 0 || !strings.Contains(out, "is over: partition") || !strings.Contains(story, "drawn in evening.html") {
		t.Fatalf("exit status %d:\n%s%s", status, out, story)
	}
	page, err := os.ReadFile("evening.html")
	if err != nil {
		t.Fatal(err)
	}
	_, history, _ := strings.Cut(string(page), `id="past">`)
	if !strings.Contains(history, `"from":"2026-11-27T10:26:40`) || strings.Contains(history, `"at":"2026-01-01`) || !strings.Contains(string(page), "is over: partition") {
		t.Errorf("the page is %.200s", history)
	}
	if status, _, story = runHere(t, "--driver", "sandbox", "timeline", "export", "evening.html"); status == 0 || !strings.Contains(story, "exists already") {
		t.Errorf("exit status %d:\n%s", status, story)
	}
}
