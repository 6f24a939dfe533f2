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
	"fmt"

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
	err := writeOnce(path, func() (string, error) {
		key := make([]byte, KeyBytes)
		if _, err := rand.Read(key); err != nil {
			return "", fmt.Errorf("make a master key: %w", err)
		}
		return base64.StdEncoding.EncodeToString(key), nil
	})
	if err != nil {
		return MasterKey{}, err
	}
	return LoadMasterKey(path)
}

// Derive gives the key for a purpose (HKDF-SHA256, RFC 5869). Who has it learns
// neither the master key nor any other purpose's.
func (k MasterKey) Derive(purpose string) []byte {
	out, err := hkdf.Key(sha256.New, k.key, nil, purpose, KeyBytes)
	if err != nil {
		panic(err) // only for lengths that SHA-256 cannot give
	}
	return out
}

// Format keeps the key out of whatever prints it.
func (k MasterKey) Format(f fmt.State, _ rune) { hide(f) }
