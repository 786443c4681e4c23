package lab

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Whatever is in a file of a lab's folder, reading it neither panics nor gives
// what could not have been written.

// stateWith gives a lab whose folder has one file, to be written anew each time.
func stateWith(f *testing.F, name string) (*State, func(*testing.T, []byte)) {
	f.Helper()
	s, err := OpenState(f.TempDir(), "dca", Owner{})
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Create(); err != nil {
		f.Fatal(err)
	}
	return s, func(t *testing.T, data []byte) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(s.Dir(), name), data, 0o600))
	}
}

func FuzzRecord(f *testing.F) {
	s, write := stateWith(f, recordFile)
	for _, seed := range []string{
		`{"format":1,"id":"0123456789ab","lab":"dca","driver":"sandbox","subnet":"10.20.20.0/24","created":"2026-01-02T03:04:05Z"}`,
		`{"format":2}`, `{"format":1,"id":"../../../etc"}`, `[]`, `null`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, data)
		r, ok, err := s.ReadRecord()
		if ok != (err == nil) {
			t.Fatalf("ok is %v, and the error %v", ok, err)
		}
		if err != nil && idOfTrouble(err) == "" {
			t.Errorf("an error without an id: %v", err)
		}
		if ok && (!recordID.MatchString(r.ID) || r.Driver == "" || r.Format < 1) {
			t.Errorf("a record that was never written: %+v", r)
		}
	})
}

func FuzzHolder(f *testing.F) {
	s, write := stateWith(f, holderFile)
	f.Add([]byte(`{"pid":1,"command":"dcalab up","since":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"pid":"x"}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, data)
		h := s.holder()
		if err := heldBy(s); idOfTrouble(err) != "lab-locked" {
			t.Errorf("with the holder %+v: %v", h, err)
		}
		var as Holder
		if json.Unmarshal(data, &as) != nil && h != (Holder{}) {
			t.Errorf("%q gives a holder: %+v", data, h)
		}
	})
}

func FuzzKnownHosts(f *testing.F) {
	s, write := stateWith(f, knownHostsFile)
	_, key, err := newKey()
	if err != nil {
		f.Fatal(err)
	}
	line := knownhosts.Line([]string{"other.example"}, key.PublicKey()) + "\n"
	for _, seed := range []string{"", line, strings.Repeat(line, 3), "@cert-authority * x\n", "# comment\nnode.example ssh-rsa ####\n", "node.example\n", "|1|a|b ssh-ed25519 x\n", "\x00\xff"} {
		f.Add([]byte(seed))
	}
	const alias = "node.example"
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, data)
		before, _ := s.HostKeys(alias) // of garbage an error, and no panic
		must(t, s.ForgetHost(alias))
		must(t, s.PinHost(alias, key.PublicKey()))
		must(t, s.PinHost(alias, key.PublicKey()))
		after, err := s.ReadFile(knownHostsFile)
		must(t, err)
		if pinned := knownhosts.Line([]string{alias}, key.PublicKey()) + "\n"; bytes.Count(after, []byte(pinned)) != 1 || !bytes.HasSuffix(after, []byte(pinned)) {
			t.Errorf("pinned twice, it is there %d times:\n%s", bytes.Count(after, []byte(pinned)), after)
		}
		for text := range strings.Lines(string(data)) {
			hosts, _, _ := strings.Cut(strings.TrimSpace(text), " ")
			if text = strings.TrimRight(text, "\n"); hosts != alias && !bytes.Contains(after, []byte(text)) {
				t.Errorf("a line of others is lost: %q", text)
			}
		}
		_ = before
	})
}

func FuzzIdentity(f *testing.F) {
	s, write := stateWith(f, identityFile)
	pem, _, err := newKey()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{pem, pem[:len(pem)/2], {}, []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, data)
		line, err := s.EnsureIdentity()
		if err != nil {
			if idOfTrouble(err) == "" {
				t.Errorf("an error without an id: %v", err)
			}
			if len(data) > 40 && strings.Contains(err.Error(), string(data)) {
				t.Error("the error has the key in it")
			}
			return
		}
		if _, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(line)); err != nil || len(rest) > 0 {
			t.Errorf("not one line of authorized_keys: %q, %v", line, err)
		}
	})
}
