package forward

import (
	"reflect"
	"testing"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

func TestParse(t *testing.T) {
	got, err := Parse([]string{"8080", "8081:80", "65535"})
	if want := []Port{{Local: 8080, Port: 8080}, {Local: 8081, Port: 80}, {Local: 65535, Port: 65535}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, words := range [][]string{{"0"}, {"65536"}, {"-1"}, {"web"}, {""}, {":"}, {"80:"}, {":80"}, {"1:2:3"}, {"80", "80"}, {"80:1", "80:2"}} {
		if got, err := Parse(words); trouble.ExitStatus(err) != trouble.ExitUsage || got != nil {
			t.Errorf("%q: %v, %v", words, got, err)
		}
	}
	for port := range uint16(65535) { // what is advised is a port, and another one
		if o := other(port + 1); o == 0 || o == port+1 {
			t.Errorf("beside %d: %d", port+1, o)
		}
	}
}

func TestPortReads(t *testing.T) {
	p := Port{Local: 8081, Port: 80, Nodes: []lab.Node{{Name: "n1"}, {Name: "n2"}}}
	if got := p.String(); got != "127.0.0.1:8081 → port 80 of n1, n2" {
		t.Error(got)
	}
	p.Service = "web"
	if got := p.String(); got != "127.0.0.1:8081 → port 80 of n1, n2 (service web)" {
		t.Error(got)
	}
}
