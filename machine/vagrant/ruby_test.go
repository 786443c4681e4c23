package vagrant

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// ruby is a running interpreter that says what rendered text means to it.
type ruby struct {
	mu  sync.Mutex
	in  io.WriteCloser
	out *bufio.Reader
}

// needs skips a test on a machine without a program that comes with Vagrant.
func needs(tb testing.TB, program string) string {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		tb.Skipf("%s is not installed, so what it makes of a Vagrantfile was not tried; apt-get install --no-install-recommends vagrant", program)
	}
	return path
}

func startRuby(tb testing.TB) *ruby {
	tb.Helper()
	cmd := exec.Command(needs(tb, "ruby"), "testdata/evaluate.rb")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("ruby: %v\n%s", err, stderr.String())
		}
	})
	return &ruby{in: in, out: bufio.NewReader(out)}
}

// evaluate gives the answer of testdata/evaluate.rb.
func (r *ruby) evaluate(kind, source string, answer any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := fmt.Fprintf(r.in, "%s %d\n%s", kind, len(source), source); err != nil {
		return err
	}
	line, err := r.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	var failed struct{ Error string }
	if json.Unmarshal(line, &failed) == nil && failed.Error != "" {
		return fmt.Errorf("%s", failed.Error)
	}
	return json.Unmarshal(line, answer)
}

// nasty are texts that have broken out of somebody's quotes before.
var nasty = []string{
	"", "plain", "'", `\`, `\'`, `\\'`, `'\`, `"`, "#{1+1}", "#{exit!}", "#$0", "`id`", "%q(", "<<EOS",
	"\n", "\r\n", "a\nb", "\r", "\x00", "\x04", "\x1a", "\x1b[31m", "\u2028", "\u00a0", "\ufeff",
	"\n__END__\n", "\n=begin\n", "'); File.write('/tmp/owned', ''); ('", `\u{41}`, `\n`, "é 日本 🐳", "{{ .Lab }}",
}

// sameInRuby is the property that everything rests on.
func sameInRuby(t rapid.TB, r *ruby, s string) {
	t.Helper()
	literal, err := rubyLiteral(s)
	if !utf8.ValidString(s) {
		if err == nil {
			t.Fatalf("%q is not UTF-8 and was written as %s", s, literal)
		}
		return
	}
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	if strings.ContainsAny(literal, "\n\r\x00") {
		t.Fatalf("%q: the literal is not one line: %q", s, literal)
	}
	var got struct{ Hex string }
	if err := r.evaluate("literal", literal, &got); err != nil {
		t.Fatalf("%q: Ruby does not take %s: %v", s, literal, err)
	}
	b, err := hex.DecodeString(got.Hex)
	if err != nil || string(b) != s {
		t.Fatalf("%q became %s, which is %q to Ruby", s, literal, b)
	}
}

func TestAnyTextArrivesInRubyUnchanged(t *testing.T) {
	r := startRuby(t)
	for _, s := range append(nasty, "\xff", "a\xc3") {
		t.Run(fmt.Sprintf("%q", s), func(t *testing.T) { sameInRuby(t, r, s) })
	}
	t.Run("any text", rapid.MakeCheck(func(t *rapid.T) {
		sameInRuby(t, r, rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`['"\\#{}$@\n\r a]*`),
			rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }),
		).Draw(t, "text"))
	}))
}

func FuzzRubyString(f *testing.F) {
	r := startRuby(f)
	for _, s := range nasty {
		f.Add(s)
	}
	f.Add("\xff")
	f.Fuzz(func(t *testing.T, s string) { sameInRuby(t, r, s) })
}

func TestRubyLiteralsOfOtherTypes(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{-1, "-1"},
		{2048, "2048"},
		{true, "true"},
		{netip.MustParseAddr("10.20.20.100"), "'10.20.20.100'"},
		{[]string{"a", "b'c", "d\n"}, `['a', 'b\'c', "d\u{a}"]`},
		{[]string{}, "[]"},
	} {
		got, err := rubyLiteral(c.value)
		if err != nil || got != c.want {
			t.Errorf("%#v: got %s, %v; wanted %s", c.value, got, err, c.want)
		}
	}
	for _, v := range []any{nil, 1.5, []byte("x"), struct{}{}, fmt.Stringer(nil), []string{"\xff"}} {
		if got, err := rubyLiteral(v); err == nil {
			t.Errorf("%#v was written as %s", v, got)
		}
	}
}
