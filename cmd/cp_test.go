package cmd

import (
	"strings"
	"testing"
)

func TestParseSpot(t *testing.T) {
	for arg, want := range map[string]spot{
		"stack.yml":              {path: "stack.yml"},
		"master:":                {remote: true, node: "master"},
		"master:/etc/h":          {remote: true, node: "master", path: "/etc/h"},
		"master:a:b":             {remote: true, node: "master", path: "a:b"},
		":/tmp/":                 {remote: true, path: "/tmp/"},
		":":                      {remote: true},
		"./a:b":                  {path: "./a:b"},
		"/a:b":                   {path: "/a:b"},
		"n.docker-dca.example:x": {remote: true, node: "n.docker-dca.example", path: "x"},
		`C:\lab\x`:               {remote: true, node: "C", path: `\lab\x`},
	} {
		if got := parseSpot(arg, false); got != want {
			t.Errorf("%q is %+v, want %+v", arg, got, want)
		}
	}
	for arg, want := range map[string]spot{
		`C:\lab\x`:  {path: `C:\lab\x`},
		`C:x`:       {path: `C:x`},
		`.\a:b`:     {path: `.\a:b`},
		"master:/x": {remote: true, node: "master", path: "/x"},
	} {
		if got := parseSpot(arg, true); got != want {
			t.Errorf("on Windows, %q is %+v, want %+v", arg, got, want)
		}
	}
}

func FuzzParseSpot(f *testing.F) {
	for _, s := range []string{"", ":", "a:b", "./a:b", "master:/etc/hosts"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, arg string, windows bool) {
		s := parseSpot(arg, windows)
		again := s.path
		if s.remote {
			again = s.node + ":" + s.path
		}
		if again != arg || strings.ContainsAny(s.node, ":/") || !s.remote && s.node != "" {
			t.Errorf("%q is %+v", arg, s)
		}
	})
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 12345: "12 kB", 3_400_000: "3.4 MB", 5_000_000_000_000: "5.0 TB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
