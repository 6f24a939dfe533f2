package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// AcquireLeadership makes holder the leader of name for ttl if nobody else is,
// counting the epoch up when the holder changes; it renews when holder already
// is. The statement decides alone, so that of several candidates one wins.
func (s *Store) AcquireLeadership(ctx context.Context, name, holder string, ttl time.Duration, now time.Time) (epoch int64, ok bool, err error) {
	err = s.writeEach(ctx, "acquire leadership", func(ctx context.Context, q Querier) error {
		epoch, err = one(ctx, q, scanValue[int64], `INSERT INTO leaderships (name, holder, epoch, expires_at) VALUES ($1, $2, 1, $3)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at,
				epoch = leaderships.epoch + CASE WHEN leaderships.holder = excluded.holder THEN 0 ELSE 1 END
			WHERE leaderships.holder = excluded.holder OR leaderships.expires_at <= $4
			RETURNING epoch`, name, holder, micros(now.Add(ttl)), micros(now))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		ok = err == nil
		return err
	})
	return epoch, ok, err
}

// ResignLeadership gives it up if holder has it.
func (s *Store) ResignLeadership(ctx context.Context, name, holder string) error {
	return s.writeEach(ctx, "resign leadership", func(ctx context.Context, q Querier) error {
		_, err := exec(ctx, q, `UPDATE leaderships SET holder = '', expires_at = 0 WHERE name = $1 AND holder = $2`, name, holder)
		return err
	})
}
