package vagrant

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestParseEvent(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		want []string // target, type, data; nil: no event
	}{
		"of a machine":         {"1795423406,master,action,up,start", []string{"master", "action", "up", "start"}},
		"of Vagrant":           {"1795423406,,ui,info,Bringing machine 'master' up with 'libvirt' provider...", []string{"", "ui", "info", "Bringing machine 'master' up with 'libvirt' provider..."}},
		"commas and newlines":  {`1,,ui,error,one%!(VAGRANT_COMMA) two\nthree\r`, []string{"", "ui", "error", "one, two\nthree\r"}},
		"empty data":           {"1,master,state,", []string{"master", "state", ""}},
		"no data":              {"1,master,state", []string{"master", "state"}},
		"a comma from outside": {"1,,ui,output,a,b", []string{"", "ui", "output", "a", "b"}},
		"no time":              {"master,action,up,start", nil},
		"a negative time":      {"-1,master,action,up", nil},
		"no type":              {"1,master,,x", nil},
		"too few fields":       {"1,master", nil},
		"prose":                {"There is a syntax error in the following Vagrantfile.", nil},
		"a number with commas": {"1, 2, 3", []string{" 2", " 3"}},
		"nothing":              {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			e, ok := parseEvent(c.line)
			if ok != (c.want != nil) {
				t.Fatalf("is it an event? got %v", ok)
			}
			if !ok {
				return
			}
			if diff := cmp.Diff(c.want, append([]string{e.Target, e.Type}, e.Data...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if e.data(len(e.Data)) != "" {
				t.Error("data that is not there is not empty")
			}
		})
	}
}

// However the bytes come, the lines are the same: events and what stands
// between them, in order, the last without its newline too.
func TestReadStream(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	text := "1,master,action,up,start\r\nRuby says something\n\n2,,ui,info," + long + "\n3,node01,state,running"
	want := []string{"master action up|start", "plain: Ruby says something", "plain: ", " ui info|" + long[:maxLine-len("2,,ui,info,")], "node01 state running"}
	for name, r := range map[string]io.Reader{
		"at once":      strings.NewReader(text),
		"byte by byte": iotest.OneByteReader(strings.NewReader(text)),
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			err := readStream(r, func(e event) {
				got = append(got, e.Target+" "+e.Type+" "+strings.Join(e.Data, "|"))
			}, func(line string) { got = append(got, "plain: "+line) })
			if err != nil {
				t.Fatal(err)
			}
			if !cmp.Equal(want, got) {
				for i := range got {
					got[i] = got[i][:min(len(got[i]), 60)]
				}
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestReadStreamTellsErrors(t *testing.T) {
	broken := errors.New("broken")
	err := readStream(io.MultiReader(strings.NewReader("1,a,b,c\n2,a"), iotest.ErrReader(broken)), func(event) {}, func(string) {})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// What Vagrant escaped comes back as it was (lib/vagrant/ui.rb replaces commas,
// newlines and carriage returns, in this order), and nothing makes it fall.
func FuzzParseEvent(f *testing.F) {
	f.Add("plain")
	f.Add("one, two\nthree\r")
	f.Add("1,master,ui,output,==> master: x")
	escape := strings.NewReplacer(",", "%!(VAGRANT_COMMA)", "\n", `\n`, "\r", `\r`)
	f.Fuzz(func(t *testing.T, s string) {
		parseEvent(s)
		// A backslash before n or r is the one thing that Vagrant does not
		// escape, and a comma's mark within the text the other.
		if strings.Contains(s, `\`) || strings.Contains(s, "%!(VAGRANT_COMMA)") {
			return
		}
		e, ok := parseEvent("1,master,ui,output," + escape.Replace(s))
		if !ok || len(e.Data) != 2 || e.Data[1] != s {
			t.Errorf("%q came back as %q", s, e.Data)
		}
	})
}
