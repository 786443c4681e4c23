package provision

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"testing"
)

// The key and the certificate of a manager of a swarm that is no more (Docker 20.10).
const testUnlockKey = "SWMKEY-1-RvQsvq/sG/97RiJ9VvVsogUjFaxIrgQSAP95ZYq9GzQ"

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestUnlocked(t *testing.T) {
	locked := read(t, "swarm-node.key")
	got, err := unlocked(locked, testUnlockKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(read(t, "swarm-node.crt"), got); err != nil {
		t.Errorf("it is not the key of the certificate: %v", err)
	}
	if !Locked(locked) || Locked(got) {
		t.Error("which one is locked is not known")
	}
	block, _ := pem.Decode(got)
	if block == nil || block.Headers["kek-version"] != "0" {
		t.Fatalf("no key, or of a version that SwarmKit would keep: %v", block)
	}
	// The raft log's key: field 2 of the record, 32 bytes, and nothing else.
	record, err := base64.StdEncoding.DecodeString(block.Headers["raft-dek"])
	if err != nil || len(record) != 34 || !bytes.HasPrefix(record, []byte{0x12, 32}) {
		t.Errorf("the raft log's key is not there in plain: %v, %d bytes", err, len(record))
	}
	again, err := decryptHeader(block.Headers["raft-dek"], secretKey{})
	if err != nil || again != block.Headers["raft-dek"] {
		t.Errorf("what is not encrypted does not stay as it is: %v", err)
	}
}

func TestNotUnlocked(t *testing.T) {
	locked := read(t, "swarm-node.key")
	for name, key := range map[string]string{
		"another": "SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"short":   "SWMKEY-1-AAAA", "none": "", "no key": "password",
	} {
		if err := Unlocks(locked, key); !errors.Is(err, ErrWrongKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, file := range map[string][]byte{"no PEM": []byte("x"), "a certificate": read(t, "swarm-node.crt")} {
		if err := Unlocks(file, testUnlockKey); err == nil || errors.Is(err, ErrWrongKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzUnlocked(f *testing.F) {
	f.Add(read(f, "swarm-node.key"), testUnlockKey)
	f.Add(read(f, "swarm-node.crt"), "SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, file []byte, key string) {
		out, err := unlocked(file, key)
		if err != nil {
			return
		}
		if block, _ := pem.Decode(out); block == nil || block.Type != "PRIVATE KEY" {
			t.Errorf("no key came out of %q", file)
		}
	})
}
