package sandbox

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// Whatever is in a record, reading it does not panic, and what it gives is
// what could have been written.

func FuzzParsePlace(f *testing.F) {
	for _, seed := range []string{
		`{"format":1,"id":"0123456789ab","lab":"dca","uid":1000,"root":"/home/ana/lab","subnet":"10.20.20.0/24","created":"2026-01-02T03:04:05Z"}`,
		`{"format":0}`, `{"format":99}`, `{"format":1,"uid":-1}`, `[]`, `null`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parsePlace(data)
		if err != nil {
			if p != (Place{}) {
				t.Errorf("with %v: %+v", err, p)
			}
			return
		}
		if p.Format < 1 || p.Format > placeFormat {
			t.Errorf("a record that was never written: %+v", p)
		}
		sameAgain(t, p, parsePlace)
	})
}

func FuzzParseSnapshot(f *testing.F) {
	f.Add([]byte(`{"name":"start","time":"2026-01-02T03:04:05Z","nodes":["master","node01"]}`), "start")
	f.Add([]byte(`{"name":"../start"}`), "start")
	f.Add([]byte(`null`), "")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		s, err := parseSnapshot(data, name)
		if err != nil {
			if s.Name != "" || s.Nodes != nil {
				t.Errorf("with %v: %+v", err, s)
			}
			return
		}
		if s.Name != name {
			t.Errorf("the record of %q for %q", s.Name, name)
		}
	})
}

// sameAgain wants a record to be read as it is written.
func sameAgain[T any](t *testing.T, v T, parse func([]byte) (T, error)) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := parse(data); err != nil || !reflect.DeepEqual(again, v) {
		t.Errorf("written and read again: %+v (%v), was %+v", again, err, v)
	}
}

func FuzzParseAlias(f *testing.F) {
	for _, seed := range []string{
		"dcalab lab dca in /home/ana/lab/.dcalab/dca", "dcalab lab  in /", "dcalab lab a in b in c", "br0", "",
		"dcalab lab dca in /" + strings.Repeat("x", aliasMax),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, alias string) {
		name, root, ok := parseAlias(alias)
		switch {
		case !ok && (name != "" || root != ""):
			t.Errorf("%q gives %q and %q, and is none", alias, name, root)
		case !ok:
		case name == "" || len(alias) >= aliasMax || !strings.HasPrefix(alias, aliasPrefix+name+" in "+root):
			t.Errorf("%q gives %q and %q", alias, name, root)
		}
	})
}
