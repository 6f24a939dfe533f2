// Package postgres is the store of a production installation: PostgreSQL 12
// or later, reached through pgx. Any number of servers and workers share it.
//
// Transactions run at READ COMMITTED: what must be unique or in order is
// decided by indexes, row locks and conditions within single statements,
// never by reading first. Durability is what the database is configured for;
// PostgreSQL's default (synchronous_commit on) is what this store promises.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/store/sqlstore"
)

// Config is what a store is opened with.
type Config struct {
	// URL is a connection string in either of PostgreSQL's forms; what it does
	// not say comes from the usual PG… variables.
	URL string
	// MaxConns bounds the connections of this process. 0: DefaultMaxConns.
	MaxConns int
}

// Defaults of the pool. A connection costs the server some MB; twenty keep a
// process of this system busy.
const (
	DefaultMaxConns = 20
	connectTimeout  = 5 * time.Second // for one attempt, unless the URL says otherwise
)

// minConns is one connection for the lock and one for the migrations under it.
const minConns = 2

// engine is a pool of connections.
type engine struct {
	pool   *pgxpool.Pool
	db     *sql.DB // on the pool
	closed atomic.Bool
}

var _ sqlstore.Engine = (*engine)(nil)

// Open connects and brings the tables up to date. ErrInvalid when the URL is
// wrong, ErrUnavailable when the database does not answer, ErrConflict when a
// newer binary has changed its tables.
func Open(ctx context.Context, cfg Config) (store.Store, error) {
	e, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	if err := e.Ping(ctx); err != nil {
		return nil, errors.Join(unavailable(err), e.Close())
	}
	if err := e.migrate(ctx); err != nil {
		if agent.KindOf(err) == nil && e.Fault(err) == sqlstore.FaultUnavailable {
			err = unavailable(err)
		}
		return nil, errors.Join(err, e.Close())
	}
	return sqlstore.New(e), nil
}

func unavailable(err error) error {
	return agent.Errorf(agent.ErrUnavailable, "connect to PostgreSQL: %w; check database.url (SYMBI_DATABASE_URL) and that the server runs", err)
}

// connect makes the pool; connections are opened as they are needed.
func connect(cfg Config) (*engine, error) {
	c, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, badURL(cfg.URL, err)
	}
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = DefaultMaxConns
	}
	c.MaxConns = int32(max(cfg.MaxConns, minConns))
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = connectTimeout
	}
	c.PingTimeout = c.ConnConfig.ConnectTimeout
	if c.ConnConfig.RuntimeParams["application_name"] == "" {
		c.ConnConfig.RuntimeParams["application_name"] = "symbi"
	}
	// The pool outlives the context of opening it.
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		return nil, agent.Errorf(agent.ErrInvalid, "use database.url (SYMBI_DATABASE_URL): %w", err)
	}
	return &engine{pool: pool, db: stdlib.OpenDBFromPool(pool)}, nil
}

// badURL says what is wrong with a connection string. Only of one that is a
// URL does pgx's error leave the password out.
func badURL(text string, err error) error {
	if u, urlErr := url.Parse(text); urlErr == nil && u.Host != "" {
		return agent.Errorf(agent.ErrInvalid, "read database.url (SYMBI_DATABASE_URL): %w", err)
	}
	return agent.Errorf(agent.ErrInvalid,
		"database.url (SYMBI_DATABASE_URL) is no connection string; write it like postgres://user:password@host:5432/database")
}

// errClosed answers what comes after Close.
var errClosed = agent.Errorf(agent.ErrUnavailable, "the database is closed")

// ExecContext runs a statement that stands for itself.
func (e *engine) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if e.closed.Load() {
		return nil, errClosed
	}
	res, err := e.db.ExecContext(ctx, query, args...)
	return res, e.told(err)
}

// QueryContext runs a query that stands for itself.
func (e *engine) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if e.closed.Load() {
		return nil, errClosed
	}
	rows, err := e.db.QueryContext(ctx, query, args...)
	return rows, e.told(err)
}

// Atomically runs fn in a transaction.
func (e *engine) Atomically(ctx context.Context, fn func(context.Context, sqlstore.Querier) error) error {
	if e.closed.Load() {
		return errClosed
	}
	tx, err := e.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return e.told(err)
	}
	if err := fn(ctx, tx); err != nil {
		// A transaction whose connection or context is gone is undone by the server.
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// Each runs fn without a transaction, which saves two round trips.
func (e *engine) Each(ctx context.Context, fn func(context.Context, sqlstore.Querier) error) error {
	return fn(ctx, e)
}

// Ping reports whether the server answers.
func (e *engine) Ping(ctx context.Context) error {
	if e.closed.Load() {
		return errClosed
	}
	return e.told(e.db.PingContext(ctx))
}

// told says of an error that came with closing that it did: the pool ends
// attempts to connect as if their callers had.
func (e *engine) told(err error) error {
	if err != nil && e.closed.Load() {
		return fmt.Errorf("%w: %w", errClosed, err)
	}
	return err
}

// Close waits for what is under way and closes the connections. It may be
// called twice.
func (e *engine) Close() error {
	e.closed.Store(true)
	err := e.db.Close()
	e.pool.Close()
	return err
}
