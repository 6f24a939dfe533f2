package sqlstore

import (
	"context"
	"database/sql"
)

// Querier runs statements.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Engine is one database. As a Querier it reads; each statement sees all that
// was committed before it.
type Engine interface {
	Querier

	// Atomically runs fn in one transaction, and returns nil only once all it
	// wrote is durable. An error of fn undoes what it wrote and is returned.
	// fn may be run later and elsewhere, but has ended when Atomically
	// returns; it must use the context that it is given.
	Atomically(ctx context.Context, fn func(context.Context, Querier) error) error
	// Each is like Atomically for an fn that can do without a transaction:
	// each of its statements stands for itself.
	Each(ctx context.Context, fn func(context.Context, Querier) error) error
	// Fault says what an error of this engine means.
	Fault(err error) Fault
	// Ping reports whether the engine answers.
	Ping(ctx context.Context) error
	// Close releases the engine once the writes under way have ended.
	Close() error
}

// Fault is the meaning of an engine's error.
type Fault int

// The faults that are told apart.
const (
	FaultOther       Fault = iota // a fault of ours
	FaultUnique                   // a row with that key exists
	FaultForeignKey               // what a row points at does not exist
	FaultUnavailable              // the engine does not answer; trying later can succeed
	FaultExhausted                // disk, memory or a queue is full
)
