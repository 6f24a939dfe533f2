package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"symbi.dev/symbi/agent"
)

// Lives of what lets a person in.
const (
	LoginLife   = 5 * time.Minute // of a one-time login link
	SessionLife = 12 * time.Hour  // a working day
)

// Sessions makes and reads the cookies of people who logged in. They hold no
// state but the one-time tokens that were used: a signed token is the login,
// and any server of the installation can read it.
type Sessions struct {
	key []byte

	mu   sync.Mutex
	used map[string]time.Time // one-time tokens, until they would be too old anyway
}

// NewSessions signs with a key derived from the master key.
func NewSessions(master MasterKey) *Sessions {
	return &Sessions{key: master.Derive(PurposeSession), used: map[string]time.Time{}}
}

// NewLogin makes a one-time token for a login link.
func (s *Sessions) NewLogin(p agent.Principal, now time.Time) (string, error) {
	nonce, err := NewToken()
	if err != nil {
		return "", err
	}
	return s.seal("login", string(p), nonce, now.Add(LoginLife)), nil
}

// Redeem trades a one-time token for the principal it was made for; once.
func (s *Sessions) Redeem(token string, now time.Time) (agent.Principal, bool) {
	p, expires, ok := s.open("login", token, now)
	if !ok {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, end := range s.used {
		if now.After(end) {
			delete(s.used, t)
		}
	}
	if _, again := s.used[token]; again {
		return "", false
	}
	s.used[token] = expires
	return p, true
}

// Issue makes a session's cookie.
func (s *Sessions) Issue(p agent.Principal, now time.Time) (string, time.Time) {
	expires := now.Add(SessionLife)
	return s.seal("session", string(p), "", expires), expires
}

// Verify reads a session's cookie.
func (s *Sessions) Verify(cookie string, now time.Time) (agent.Principal, bool) {
	p, _, ok := s.open("session", cookie, now)
	return p, ok
}

// seal writes kind, principal, nonce and end with their signature.
func (s *Sessions) seal(kind, principal, nonce string, expires time.Time) string {
	var end [8]byte
	binary.BigEndian.PutUint64(end[:], uint64(expires.Unix()))
	parts := []string{encode([]byte(principal)), encode([]byte(nonce)), encode(end[:])}
	return strings.Join(append(parts, encode(s.sum(kind, parts))), ".")
}

func (s *Sessions) open(kind, sealed string, now time.Time) (agent.Principal, time.Time, bool) {
	parts := strings.Split(sealed, ".")
	if len(parts) != 4 {
		return "", time.Time{}, false
	}
	sum, err := base64.RawURLEncoding.DecodeString(parts[3])
	if err != nil || !hmac.Equal(sum, s.sum(kind, parts[:3])) {
		return "", time.Time{}, false
	}
	principal, err1 := base64.RawURLEncoding.DecodeString(parts[0])
	end, err2 := base64.RawURLEncoding.DecodeString(parts[2])
	if err1 != nil || err2 != nil || len(end) != 8 {
		return "", time.Time{}, false
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(end)), 0)
	return agent.Principal(principal), expires, now.Before(expires)
}

func (s *Sessions) sum(kind string, parts []string) []byte {
	m := hmac.New(sha256.New, s.key)
	for _, field := range append([]string{kind}, parts...) {
		writeField(m, field)
	}
	return m.Sum(nil)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
