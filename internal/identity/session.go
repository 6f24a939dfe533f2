package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
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

// Sessions makes and reads the one-time tokens of login links and the cookies
// of people who logged in. Both are signed, and any server of the installation
// can read them.
//
// A one-time token counts once for each process: which ones were used is kept
// in memory, and those made before the process began are refused, so that a
// restart makes none of them good again.
type Sessions struct {
	key   []byte
	since time.Time // to the millisecond

	mu   sync.Mutex
	used map[string]time.Time // one-time tokens, until they would be too old anyway
}

// NewSessions signs with a key derived from the master key.
func NewSessions(master MasterKey) *Sessions {
	return &Sessions{
		key: master.Derive(PurposeSession), since: time.Now().Truncate(time.Millisecond), used: map[string]time.Time{},
	}
}

// Kinds of sealed text. One is never taken for the other.
const (
	kindLogin   = "login"
	kindSession = "session"
)

// NewLogin makes a one-time token for a login link.
func (s *Sessions) NewLogin(p agent.Principal, now time.Time) (string, error) {
	return s.seal(kindLogin, p, now.Add(LoginLife)), nil
}

// Redeem trades a one-time token for the principal it was made for; once.
func (s *Sessions) Redeem(token string, now time.Time) (agent.Principal, bool) {
	p, expires, ok := s.open(kindLogin, token, now)
	if !ok || expires.Add(-LoginLife).Before(s.since) {
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
	return s.seal(kindSession, p, expires), expires
}

// Verify reads a session's cookie.
func (s *Sessions) Verify(cookie string, now time.Time) (agent.Principal, bool) {
	p, _, ok := s.open(kindSession, cookie, now)
	return p, ok
}

// Format keeps the key out of whatever prints it.
func (s *Sessions) Format(f fmt.State, _ rune) { hide(f) }

// seal writes a principal, an end and something random, with their signature.
func (s *Sessions) seal(kind string, p agent.Principal, expires time.Time) string {
	var end [8]byte
	binary.BigEndian.PutUint64(end[:], uint64(expires.UnixMilli()))
	parts := []string{encode([]byte(p)), rand.Text(), encode(end[:])}
	return strings.Join(append(parts, encode(s.sum(kind, parts))), ".")
}

// open reads what seal wrote, unless it is another kind, not ours, or too old.
// There is one way to write a sealed text: an encoding that a decoder would
// take for the same has another signature.
func (s *Sessions) open(kind, sealed string, now time.Time) (agent.Principal, time.Time, bool) {
	parts := strings.Split(sealed, ".")
	if len(parts) != 4 || !hmac.Equal([]byte(parts[3]), []byte(encode(s.sum(kind, parts[:3])))) {
		return "", time.Time{}, false
	}
	principal, err1 := base64.RawURLEncoding.DecodeString(parts[0])
	end, err2 := base64.RawURLEncoding.DecodeString(parts[2])
	if err1 != nil || err2 != nil || len(end) != 8 {
		return "", time.Time{}, false
	}
	expires := time.UnixMilli(int64(binary.BigEndian.Uint64(end)))
	if !now.Before(expires) {
		return "", time.Time{}, false
	}
	return agent.Principal(principal), expires, true
}

func (s *Sessions) sum(kind string, parts []string) []byte {
	m := hmac.New(sha256.New, s.key)
	for _, field := range append([]string{kind}, parts...) {
		writeField(m, field)
	}
	return m.Sum(nil)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
