// Package identity keeps what proves who somebody is: the installation's
// master key and the keys derived from it, the admin token, signatures on the
// signals that the server and the runtime send to workflows, and the sessions
// of people in a browser.
//
// No secret leaves it in an error or a log line. Key files that others may
// read are refused.
package identity

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"symbi.dev/symbi/agent"
)

// KeyBytes is the size of the master key and of those derived from it.
const KeyBytes = 32

// Purposes of derived keys. A purpose names one use for ever: changing one
// makes what it protected unreadable.
const (
	PurposePayload  = "symbi payload v1"
	PurposeSignal   = "symbi signal v1"
	PurposeSession  = "symbi session v1"
	PurposeCluster  = "symbi cluster v1"
	PurposeTemporal = "symbi temporal v1"
)

// MasterKey is the secret from which all others of an installation are derived.
type MasterKey struct{ key []byte }

// LoadMasterKey reads the key: 32 bytes in base64, in a file that only its
// owner may read.
func LoadMasterKey(path string) (MasterKey, error) {
	text, err := readPrivate(path)
	if err != nil {
		return MasterKey{}, err
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != KeyBytes {
		return MasterKey{}, agent.Errorf(agent.ErrInvalid,
			"the master key in %s is not 32 bytes in base64; `openssl rand -base64 32` makes one", path)
	}
	return MasterKey{key: key}, nil
}

// LoadOrMakeMasterKey reads the key, and makes it first where there is none.
func LoadOrMakeMasterKey(path string) (MasterKey, error) {
	key := make([]byte, KeyBytes)
	if _, err := rand.Read(key); err != nil {
		return MasterKey{}, fmt.Errorf("make a master key: %w", err)
	}
	if err := writeOnce(path, base64.StdEncoding.EncodeToString(key)); err != nil {
		return MasterKey{}, err
	}
	return LoadMasterKey(path)
}

// Derive gives the key for a purpose.
func (k MasterKey) Derive(purpose string) []byte {
	out, err := hkdf.Key(sha256.New, k.key, nil, purpose, KeyBytes)
	if err != nil {
		panic(err) // only for lengths that SHA-256 cannot give
	}
	return out
}

// writeOnce writes a secret to a file that is not there yet, whole or not at
// all; one that is there stays.
func writeOnce(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder of a secret: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*")
	if err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write a secret: %w", err)
	}
	return nil
}

// readPrivate reads a secret's file, and refuses one that others may read.
func readPrivate(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "read a secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", agent.Errorf(agent.ErrInvalid, "%s may be read by others; run `chmod 600 %s`", path, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "read a secret: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
