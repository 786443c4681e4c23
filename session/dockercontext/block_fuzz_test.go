package dockercontext

import (
	"strings"
	"testing"
)

// The block of a lab in ssh's configuration goes in and out, and whatever else
// is there stays as it is.
func FuzzSSHBlock(f *testing.F) {
	block := blockBegin("dca") + "Host dcalab-dca-master\n  HostName x\n" + blockEnd("dca")
	for _, seed := range []string{"", "Host mine\n", "Host mine", block, "Host a\n" + block + "Host b\n", blockBegin("dca"), blockEnd("dca"), blockEnd("dca") + blockBegin("dca"), block + block, "\r\n" + block, blockBegin("dc") + blockEnd("dc")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		with := withBlock(text, block, "dca")
		if !hasBlock(with, block, "dca") {
			t.Fatalf("the block is not in\n%q", with)
		}
		if again := withBlock(with, block, "dca"); again != with {
			t.Errorf("a second time it is another file:\n%q\n%q", with, again)
		}
		if strings.Contains(text, "# dcalab ") {
			return // it had one, or half of one
		}
		if got := withoutBlock(with, "dca"); strings.TrimRight(got, "\n") != strings.TrimRight(text, "\n") {
			t.Errorf("what was there is changed:\n%q\n%q", text, got)
		}
	})
}
