package server

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/gin-gonic/gin"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// idempotency is the record of a creation that a client may repeat; nil when
// it sent no key.
func (s *Server) idempotency(c *gin.Context, scope string, body []byte) *store.Idempotency {
	return s.idempotent(callerOf(c).principal, c.GetHeader("Idempotency-Key"), scope, body)
}

func (s *Server) idempotent(who agent.Principal, key, scope string, body []byte) *store.Idempotency {
	if key == "" {
		return nil
	}
	sum := sha256.Sum256(body)
	return &store.Idempotency{
		Principal: who, Scope: scope, Key: key, BodyHash: hex.EncodeToString(sum[:]), Now: s.cfg.Now(),
	}
}
