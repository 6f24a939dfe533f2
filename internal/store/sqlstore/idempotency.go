package sqlstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// subject is what a creation made: an agent's generation, or a task.
type subject struct {
	namespace, name string
	generation      int64
}

// recall gives what an earlier creation with the same key made; nil when
// there was none, and then the key is taken. Of two creations at once the
// second waits here for the first.
func recall(ctx context.Context, q Querier, idem *store.Idempotency) (*subject, error) {
	if idem == nil {
		return nil, nil
	}
	taken, err := exec(ctx, q, `INSERT INTO idempotency (id, body_hash, created_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET body_hash = excluded.body_hash, created_at = excluded.created_at
		WHERE idempotency.created_at <= $4`, keyID(idem), idem.BodyHash, micros(idem.Now), expiry(idem))
	if err != nil || taken > 0 {
		return nil, err
	}
	rec, err := one(ctx, q, scanKey, `SELECT body_hash, namespace, name, generation FROM idempotency WHERE id = $1`, keyID(idem))
	if err != nil {
		return nil, err
	}
	if rec.bodyHash != idem.BodyHash {
		return nil, agent.Errorf(agent.ErrConflict,
			"the Idempotency-Key %q was used for another request within the last %s; send a new key", clean(idem.Key), store.IdempotencyTTL)
	}
	return &rec.subject, nil
}

// remember notes what the creation made whose key recall took.
func remember(ctx context.Context, q Querier, idem *store.Idempotency, made subject) error {
	if idem == nil {
		return nil
	}
	_, err := exec(ctx, q, `UPDATE idempotency SET namespace = $2, name = $3, generation = $4 WHERE id = $1`,
		keyID(idem), made.namespace, made.name, made.generation)
	return err
}

// keyID is a key's place: of a length that any index takes, whatever the
// client sent.
func keyID(idem *store.Idempotency) string {
	h := sha256.New()
	for _, part := range []string{string(idem.Principal), idem.Scope, idem.Key} {
		sum := sha256.Sum256([]byte(part))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func expiry(idem *store.Idempotency) int64 { return micros(idem.Now.Add(-store.IdempotencyTTL)) }

type keyRecord struct {
	bodyHash string
	subject
}

func scanKey(row scanner) (r keyRecord, err error) {
	err = row.Scan(&r.bodyHash, &r.namespace, &r.name, &r.generation)
	return r, err
}

// Bounds of purging: how often old records are looked for, and how many go at
// once. Where more are left, the next creation goes on.
const (
	purgeEvery = time.Minute
	purgeBatch = 1000
)

// purgeKeys deletes records that are too old to matter. It is a write of its
// own after the creation's, so that it can neither fail nor block one; what
// it could not do, the next one does.
func (s *Store) purgeKeys(ctx context.Context, idem *store.Idempotency) {
	if idem == nil {
		return
	}
	now, last := micros(idem.Now), s.purged.Load()
	if now-last < purgeEvery.Microseconds() || !s.purged.CompareAndSwap(last, now) {
		return
	}
	var gone int64
	err := s.writeEach(ctx, "purge old idempotency records", func(ctx context.Context, q Querier) (err error) {
		gone, err = exec(ctx, q, `DELETE FROM idempotency WHERE id IN
			(SELECT id FROM idempotency WHERE created_at <= $1 ORDER BY created_at LIMIT $2)`, expiry(idem), purgeBatch)
		return err
	})
	if err != nil || gone == purgeBatch {
		s.purged.Store(last)
	}
}
