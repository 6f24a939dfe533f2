package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// Store is a store.Store on an engine.
type Store struct {
	engine Engine
	purged atomic.Int64 // when old idempotency records were last purged, in microseconds
}

var _ store.Store = (*Store)(nil)

// New makes a store on an engine whose tables exist. Closing the store closes
// the engine.
func New(e Engine) *Store { return &Store{engine: e} }

// Ping reports whether the engine answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.fail("ask the database whether it answers", s.engine.Ping(ctx))
}

// Close releases the engine. It waits for writes under way.
func (s *Store) Close() error {
	if err := s.engine.Close(); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// write runs fn in one transaction.
func (s *Store) write(ctx context.Context, doing string, fn func(context.Context, Querier) error) error {
	return s.fail(doing, s.engine.Atomically(ctx, fn))
}

// writeEach runs an fn whose statements each stand for themselves.
func (s *Store) writeEach(ctx context.Context, doing string, fn func(context.Context, Querier) error) error {
	return s.fail(doing, s.engine.Each(ctx, fn))
}

// is reports whether an error of the engine means f.
func (s *Store) is(err error, f Fault) bool { return err != nil && s.engine.Fault(err) == f }

// fail gives an error of the engine its kind and says what was being done. A
// message for callers carries no cause; the error's own text does, for logs.
func (s *Store) fail(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case agent.KindOf(err) != nil:
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return failure(agent.ErrUnavailable, "the database did not answer in time; try again soon", doing, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch s.engine.Fault(err) {
	case FaultUnique:
		return failure(agent.ErrConflict, "it exists already", doing, err)
	case FaultForeignKey:
		return failure(agent.ErrNotFound, "what it belongs to does not exist", doing, err)
	case FaultUnavailable:
		return failure(agent.ErrUnavailable, "the database does not answer; try again soon", doing, err)
	case FaultExhausted:
		return failure(agent.ErrExhausted, "the database has no room or too much to do; try again later, and look at its disk", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func failure(kind error, message, doing string, cause error) error {
	return fmt.Errorf("%w: %s: %w", &agent.Error{Kind: kind, Message: message}, doing, cause)
}
