package payload

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// The vectors are those of the specification.
func TestSealingIsXAES256GCM(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key             byte
		context, sealed string
	}{
		"the high bit is clear": {1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		"the high bit is set":   {3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := newSealer(bytes.Repeat([]byte{c.key}, 32))
			if err != nil {
				t.Fatal(err)
			}
			nonce, plain := []byte("ABCDEFGHIJKLMNOPQRSTUVWX"), []byte("XAES-256-GCM")
			sealed, err := s.sealWith(bytes.Clone(nonce), plain, []byte(c.context))
			if err != nil || hex.EncodeToString(sealed[nonceBytes:]) != c.sealed {
				t.Errorf("sealed %x (%v), want %s", sealed[nonceBytes:], err, c.sealed)
			}
			opened, err := s.open(sealed, []byte(c.context))
			if err != nil || !bytes.Equal(opened, plain) {
				t.Errorf("opened %q (%v)", opened, err)
			}
		})
	}
}
