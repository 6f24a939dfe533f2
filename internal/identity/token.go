package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"symbi.dev/symbi/agent"
)

const (
	// tokenPrefix lets people and scanners recognise a token of ours.
	tokenPrefix = "symbi_"
	// hashPrefix begins a token's hash where it stands in the token's place.
	hashPrefix = "sha256:"
	// minTokenChars is what the shortest token of somebody's own choice must have.
	minTokenChars = 20
)

// NewToken makes a random token of 256 bits.
func NewToken() (string, error) {
	b := make([]byte, KeyBytes)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// HashToken gives what a server keeps of a token: "sha256:" and its hash. It
// needs no salt and no slowness, because tokens are random, not chosen.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// AdminToken knows the installation's first token, by its hash only.
type AdminToken struct{ hash [sha256.Size]byte }

// LoadAdminToken reads the token's file: the token, or what HashToken gives for
// it, so that a server's host need not have the token itself.
func LoadAdminToken(path string) (*AdminToken, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	if digits, ok := strings.CutPrefix(text, hashPrefix); ok {
		t := new(AdminToken)
		if n, err := hex.Decode(t.hash[:], []byte(digits[:min(len(digits), 2*sha256.Size)])); err != nil || n != sha256.Size || len(digits) != 2*n {
			return nil, agent.Errorf(agent.ErrInvalid, "the hash in %s is not sha256: and 64 hexadecimal digits", path)
		}
		return t, nil
	}
	if len(text) < minTokenChars || strings.ContainsAny(text, " \t\r\n") {
		return nil, agent.Errorf(agent.ErrInvalid, "%s holds no token: write one word of at least %d characters", path, minTokenChars)
	}
	return &AdminToken{hash: sha256.Sum256([]byte(text))}, nil
}

// LoadOrMakeAdminToken reads the token's file, and makes it first where there is none.
func LoadOrMakeAdminToken(path string) (*AdminToken, error) {
	if err := writeOnce(path, NewToken); err != nil {
		return nil, err
	}
	return LoadAdminToken(path)
}

// Principal tells who holds a token. How long it takes says nothing of how
// much of the token was right.
func (t *AdminToken) Principal(token string) (agent.Principal, bool) {
	given := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(given[:], t.hash[:]) == 1 {
		return agent.PrincipalAdmin, true
	}
	return "", false
}
