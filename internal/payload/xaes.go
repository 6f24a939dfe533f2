package payload

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
)

// nonceBytes is how long a nonce is: long enough to be random for every payload
// that an installation will ever seal. AES-256-GCM's own 12 bytes are good for
// 2^32 payloads a key (NIST SP 800-38D §8.3), which is weeks at full load.
const nonceBytes = 24

// sealer is XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM under a key
// derived from ours and the first half of the nonce, with the second half as
// its nonce.
type sealer struct {
	block cipher.Block // AES-256 under our key
	k1    [aes.BlockSize]byte
}

func newSealer(key []byte) (*sealer, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("a payload key has 32 bytes, not %d", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	s := &sealer{block: block}
	block.Encrypt(s.k1[:], s.k1[:])
	// Double it in GF(2^128), as CMAC does, without a branch on the secret.
	var carry byte
	for i := len(s.k1) - 1; i >= 0; i-- {
		next := s.k1[i] >> 7
		s.k1[i] = s.k1[i]<<1 | carry
		carry = next
	}
	s.k1[len(s.k1)-1] ^= carry * 0b10000111
	return s, nil
}

// derived is AES-256-GCM for one nonce.
func (s *sealer) derived(nonce []byte) (cipher.AEAD, error) {
	var key [32]byte
	for half := range 2 {
		out := key[half*aes.BlockSize:][:aes.BlockSize]
		copy(out, []byte{0, byte(half + 1), 'X', 0})
		copy(out[4:], nonce[:12])
		subtle.XORBytes(out, out, s.k1[:])
		s.block.Encrypt(out, out)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal gives a random nonce and the ciphertext behind it.
func (s *sealer) seal(plain, context []byte) ([]byte, error) {
	sealed := make([]byte, nonceBytes, nonceBytes+len(plain)+16)
	if _, err := rand.Read(sealed); err != nil {
		return nil, err
	}
	return s.sealWith(sealed, plain, context)
}

// sealWith appends the ciphertext to its nonce.
func (s *sealer) sealWith(nonce, plain, context []byte) ([]byte, error) {
	aead, err := s.derived(nonce)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce[12:nonceBytes], plain, context), nil
}

// open gives what was sealed in the same context.
func (s *sealer) open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < nonceBytes {
		return nil, fmt.Errorf("it is cut short")
	}
	aead, err := s.derived(sealed)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, sealed[12:nonceBytes], sealed[nonceBytes:], context)
	if err != nil {
		return nil, fmt.Errorf("it was altered, or the key is not the one that it names")
	}
	return plain, nil
}
