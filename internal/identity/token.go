package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"

	"symbi.dev/symbi/agent"
)

// tokenPrefix lets people and scanners recognise a token of ours.
const tokenPrefix = "symbi_"

// NewToken makes a random token of 256 bits.
func NewToken() (string, error) {
	b := make([]byte, KeyBytes)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// AdminToken knows the installation's first token, by its hash only.
type AdminToken struct{ hash [sha256.Size]byte }

// LoadAdminToken reads the token's file.
func LoadAdminToken(path string) (*AdminToken, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	if len(text) < 20 {
		return nil, agent.Errorf(agent.ErrInvalid, "the token in %s is too short to be one", path)
	}
	return &AdminToken{hash: sha256.Sum256([]byte(text))}, nil
}

// LoadOrMakeAdminToken reads the token's file, and makes it first where there is none.
func LoadOrMakeAdminToken(path string) (*AdminToken, error) {
	token, err := NewToken()
	if err != nil {
		return nil, err
	}
	if err := writeOnce(path, token); err != nil {
		return nil, err
	}
	return LoadAdminToken(path)
}

// Principal tells who holds a token.
func (t *AdminToken) Principal(token string) (agent.Principal, bool) {
	given := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(given[:], t.hash[:]) == 1 {
		return agent.PrincipalAdmin, true
	}
	return "", false
}
