package node

import (
	"os/exec"
	"strings"
	"testing"
)

func TestQuoteReadsWell(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"plain words stay":       {[]string{"docker", "node", "ls"}, `docker node ls`},
		"a path stays":           {[]string{"/usr/bin/x", "a=b"}, `/usr/bin/x a=b`},
		"nothing is a word":      {[]string{""}, `''`},
		"spaces":                 {[]string{"a b"}, `'a b'`},
		"a single quote":         {[]string{"it's"}, `'it'\''s'`},
		"substitution is text":   {[]string{"$(reboot)", "`id`"}, "'$(reboot)' '`id`'"},
		"a tilde is not a home":  {[]string{"~"}, `'~'`},
		"a NUL cannot be passed": {[]string{"a\x00b"}, `ab`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Quote(c.args...); got != c.want {
				t.Errorf("Quote(%q) = %s, want %s", c.args, got, c.want)
			}
		})
	}
}

// A real shell sees exactly the words that went in.
func FuzzQuote(f *testing.F) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		f.Skip("no sh here")
	}
	for _, s := range []string{"", "a b", "it's", "\\", "\\'", "$HOME", "-n", "a\nb\n", "\xff\xfe", "!x", "*", "~", "a=b", "é", "\r", "#c"} {
		f.Add(s, "second")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = strings.ReplaceAll(a, "\x00", ""), strings.ReplaceAll(b, "\x00", "")
		out, err := exec.Command(sh, "-c", "printf '%s\\0' "+Quote(a, b)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := a + "\x00" + b + "\x00"; string(out) != want {
			t.Fatalf("the shell saw %q, want %q", out, want)
		}
	})
}
