package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"time"
)

// Command is what a signature on a signal covers.
type Command struct {
	WorkflowID string
	Signal     string
	Principal  string
	Request    string
	Reason     string
	At         time.Time // to the microsecond
}

// SignalSigner signs signals, so that a workflow's worker can tell those of the
// server and the runtime from those that somebody sent by hand.
type SignalSigner struct{ key []byte }

// NewSignalSigner signs with a key derived from the master key.
func NewSignalSigner(master MasterKey) *SignalSigner {
	return &SignalSigner{key: master.Derive(PurposeSignal)}
}

// Sign gives the signature (HMAC-SHA256 over the length-prefixed fields).
func (s *SignalSigner) Sign(c Command) []byte {
	m := hmac.New(sha256.New, s.key)
	for _, field := range []string{c.WorkflowID, c.Signal, c.Principal, c.Request, c.Reason} {
		writeField(m, field)
	}
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(c.At.UnixMicro()))
	m.Write(at[:])
	return m.Sum(nil)
}

// Verify reports whether a signature is ours.
func (s *SignalSigner) Verify(c Command, signature []byte) bool {
	return hmac.Equal(s.Sign(c), signature)
}

// Format keeps the key out of whatever prints it.
func (s *SignalSigner) Format(f fmt.State, _ rune) { hide(f) }

// writeField writes a field so that no two lists of fields look alike.
func writeField(m hash.Hash, field string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(field)))
	m.Write(n[:])
	m.Write([]byte(field))
}
