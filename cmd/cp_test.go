package cmd

import (
	"strings"
	"testing"

	labsession "github.com/dcalab/dcalab/session"
)

func TestParseLocation(t *testing.T) {
	for arg, want := range map[string]labsession.Location{
		"stack.yml":              {Path: "stack.yml"},
		"master:":                {Remote: true, Node: "master"},
		"master:/etc/h":          {Remote: true, Node: "master", Path: "/etc/h"},
		"master:a:b":             {Remote: true, Node: "master", Path: "a:b"},
		":/tmp/":                 {Remote: true, Path: "/tmp/"},
		":":                      {Remote: true},
		"./a:b":                  {Path: "./a:b"},
		"/a:b":                   {Path: "/a:b"},
		"n.docker-dca.example:x": {Remote: true, Node: "n.docker-dca.example", Path: "x"},
		`C:\lab\x`:               {Remote: true, Node: "C", Path: `\lab\x`},
	} {
		if got := parseLocation(arg, false); got != want {
			t.Errorf("%q is %+v, want %+v", arg, got, want)
		}
	}
	for arg, want := range map[string]labsession.Location{
		`C:\lab\x`:  {Path: `C:\lab\x`},
		`C:x`:       {Path: `C:x`},
		`.\a:b`:     {Path: `.\a:b`},
		"master:/x": {Remote: true, Node: "master", Path: "/x"},
	} {
		if got := parseLocation(arg, true); got != want {
			t.Errorf("on Windows, %q is %+v, want %+v", arg, got, want)
		}
	}
}

func FuzzParseLocation(f *testing.F) {
	for _, s := range []string{"", ":", "a:b", "./a:b", "master:/etc/hosts"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, arg string, windows bool) {
		s := parseLocation(arg, windows)
		again := s.Path
		if s.Remote {
			again = s.Node + ":" + s.Path
		}
		if again != arg || strings.ContainsAny(s.Node, ":/") || !s.Remote && s.Node != "" {
			t.Errorf("%q is %+v", arg, s)
		}
	})
}
