package provision

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // what SwarmKit's key derivation uses
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/nacl/secretbox"
	"google.golang.org/protobuf/encoding/protowire"
)

// ErrWrongKey tells that a node's key in its swarm is encrypted with another unlock key.
var ErrWrongKey = errors.New("the unlock key is wrong")

// The headers of a manager's key (swarmkit, manager/deks.go and ca/keyreadwriter.go).
const (
	headerVersion = "kek-version"
	headerRotates = "raft-dek-needs-rotation"
)

// unlocked decrypts a manager's key, the keys of its raft log in its headers included, with
// the swarm's unlock key. A manager that starts with the result is not locked; once it has a
// leader, it encrypts the file again, with the unlock key that the swarm has then: version 0
// is older than any.
func unlocked(file []byte, unlockKey string) ([]byte, error) {
	block, _ := pem.Decode(file)
	if block == nil {
		return nil, errors.New("the manager's key is not PEM")
	}
	encoded, isKey := strings.CutPrefix(unlockKey, "SWMKEY-1-")
	key, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil || !isKey || len(key) != len(secretKey{}) {
		return nil, ErrWrongKey
	}
	out := &pem.Block{Type: "PRIVATE KEY", Headers: map[string]string{}}
	if out.Bytes, err = decryptPKCS8(block.Bytes, key); err != nil {
		return nil, err
	}
	for name, value := range block.Headers {
		switch {
		case name == headerVersion:
			value = "0"
		case name != headerRotates:
			if value, err = decryptHeader(value, secretKey(key)); err != nil {
				return nil, fmt.Errorf("the manager's key: %s: %w", name, err)
			}
		}
		out.Headers[name] = value
	}
	return pem.EncodeToMemory(out), nil
}

// Locked tells whether a manager's key is encrypted.
func Locked(file []byte) bool {
	block, _ := pem.Decode(file)
	return block != nil && block.Type == "ENCRYPTED PRIVATE KEY"
}

// Unlocks tells whether an unlock key is the one that a manager's key is encrypted with:
// ErrWrongKey where it is not.
func Unlocks(file []byte, unlockKey string) error {
	_, err := unlocked(file, unlockKey)
	return err
}

type secretKey [32]byte

// A header is a record in base64: how it is encrypted, the data, and a nonce (swarmkit,
// api/types.proto, MaybeEncryptedRecord).
const (
	recordAlgorithm protowire.Number = 1
	recordData      protowire.Number = 2
	recordNonce     protowire.Number = 3

	algorithmNone      = 0
	algorithmSecretbox = 1
)

func decryptHeader(value string, key secretKey) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", err
	}
	var algorithm uint64
	var data, nonce []byte
	for len(raw) > 0 {
		field, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return "", protowire.ParseError(n)
		}
		raw = raw[n:]
		switch {
		case field == recordAlgorithm && kind == protowire.VarintType:
			algorithm, n = protowire.ConsumeVarint(raw)
		case field == recordData && kind == protowire.BytesType:
			data, n = protowire.ConsumeBytes(raw)
		case field == recordNonce && kind == protowire.BytesType:
			nonce, n = protowire.ConsumeBytes(raw)
		default:
			n = protowire.ConsumeFieldValue(field, kind, raw)
		}
		if n < 0 {
			return "", protowire.ParseError(n)
		}
		raw = raw[n:]
	}
	if algorithm == algorithmNone {
		return value, nil
	}
	if algorithm != algorithmSecretbox || len(nonce) != len([24]byte{}) {
		return "", fmt.Errorf("it is encrypted in a way that dcalab does not know (%d)", algorithm)
	}
	plain, ok := secretbox.Open(nil, data, (*[24]byte)(nonce), (*[32]byte)(&key))
	if !ok {
		return "", ErrWrongKey
	}
	record := protowire.AppendTag(nil, recordData, protowire.BytesType)
	record = protowire.AppendBytes(record, plain)
	return base64.StdEncoding.EncodeToString(record), nil
}

// encryptedKey is PKCS #8's EncryptedPrivateKeyInfo, as SwarmKit writes it: PBES2, with
// PBKDF2 (HMAC with SHA-1) and AES-256 in CBC mode.
type encryptedKey struct {
	Algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters struct {
			Derivation struct {
				ID         asn1.ObjectIdentifier
				Parameters struct {
					Salt       []byte
					Iterations int
				}
			}
			Encryption struct {
				ID asn1.ObjectIdentifier
				IV []byte
			}
		}
	}
	Data []byte
}

const (
	oidPBES2     = "1.2.840.113549.1.5.13"
	oidPBKDF2    = "1.2.840.113549.1.5.12"
	oidAES256CBC = "2.16.840.1.101.3.4.1.42"
)

// maxIterations is far more than the 2,048 that SwarmKit writes.
const maxIterations = 1 << 16

func decryptPKCS8(der, password []byte) ([]byte, error) {
	var info encryptedKey
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, errors.New("the manager's key is not encrypted as SwarmKit does it")
	}
	derivation, encryption := info.Algorithm.Parameters.Derivation, info.Algorithm.Parameters.Encryption
	switch n := derivation.Parameters.Iterations; {
	case info.Algorithm.ID.String() != oidPBES2, derivation.ID.String() != oidPBKDF2, encryption.ID.String() != oidAES256CBC,
		n < 1 || n > maxIterations, len(encryption.IV) != aes.BlockSize,
		len(info.Data) == 0 || len(info.Data)%aes.BlockSize != 0:
		return nil, errors.New("the manager's key is not encrypted as SwarmKit does it")
	}
	key, err := pbkdf2.Key(sha1.New, string(password), derivation.Parameters.Salt, derivation.Parameters.Iterations, len(secretKey{}))
	if err != nil {
		return nil, err
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := slices.Clone(info.Data)
	cipher.NewCBCDecrypter(c, encryption.IV).CryptBlocks(plain, plain)
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		return nil, ErrWrongKey
	}
	plain = plain[:len(plain)-padding]
	if _, err := x509.ParsePKCS8PrivateKey(plain); err != nil {
		return nil, ErrWrongKey
	}
	return plain, nil
}
