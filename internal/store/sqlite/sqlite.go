// Package sqlite is the store of `symbi dev`: one SQLite file, no server.
//
// A write that was acknowledged is on the disk (WAL, synchronous=FULL). What
// that costs is shared: every write goes to one writer, which runs all that
// wait in one SQL transaction and acknowledges them together. Each is a
// savepoint, so that a failing one is undone alone. Reads have connections of
// their own and never wait for writes.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	driver "modernc.org/sqlite"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/store/sqlstore"
)

// Config is what a store is opened with.
type Config struct {
	// Path is the database's file; it is made, with mode 0600, if it is not there.
	Path string
	// Readers is how many reads may run at once. 0: two for each CPU, at least 4.
	Readers int
	// Queue is how many writes may wait; more are refused with ErrExhausted.
	// 0: DefaultQueue.
	Queue int
}

// DefaultQueue is how many writes may wait: some seconds of work, so that what
// is refused would have come too late anyway.
const DefaultQueue = 4096

func (c Config) withDefaults() Config {
	if c.Readers <= 0 {
		c.Readers = max(4, 2*runtime.GOMAXPROCS(0))
	}
	if c.Queue <= 0 {
		c.Queue = DefaultQueue
	}
	return c
}

// lockWait is how long a statement waits for another process (a backup, the
// sqlite3 shell) that has the file locked.
const lockWait = 5 * time.Second

// engine is an open file.
type engine struct {
	readers *sql.DB
	reads   *statements
	writes  *sql.DB // one connection, which the writer has
	writer  *writer
	closed  atomic.Bool
}

var _ sqlstore.Engine = (*engine)(nil)

// Open opens or makes a database. ErrConflict when a newer binary has changed
// its tables; ErrUnavailable when the file cannot be had.
func Open(ctx context.Context, cfg Config) (store.Store, error) {
	e, err := open(ctx, cfg.withDefaults())
	if err != nil {
		if agent.KindOf(err) != nil {
			return nil, err
		}
		return nil, agent.Errorf(agent.ErrUnavailable, "open the database %s: %w", cfg.Path, err)
	}
	return sqlstore.New(e), nil
}

func open(ctx context.Context, cfg Config) (*engine, error) {
	path, err := makeFile(cfg.Path)
	if err != nil {
		return nil, err
	}
	// fdatasync makes a commit as durable as fsync does, in less time (measured:
	// 0.38 ms against 0.63 ms). The setting is the whole process's.
	if _, err := driver.Fdatasync(true); err != nil && !errors.Is(err, driver.ErrFdatasyncUnavailable) {
		return nil, err
	}
	if err := migrate(ctx, path); err != nil {
		return nil, err
	}
	e := &engine{}
	if e.writes, err = connect(path, 1); err != nil {
		return nil, err
	}
	if e.readers, err = connect(path, cfg.Readers, "query_only(1)"); err != nil {
		return nil, errors.Join(err, e.writes.Close())
	}
	e.reads = newStatements(e.readers)
	conn, err := e.writes.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, e.readers.Close(), e.writes.Close())
	}
	e.writer = startWriter(conn, cfg.Queue)
	return e, nil
}

// makeFile makes an empty file that nobody else can read, unless it is there.
func makeFile(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	return path, f.Close()
}

// connect makes a pool of connections to the file.
func connect(path string, conns int, more ...string) (*sql.DB, error) {
	pragmas := append([]string{fmt.Sprintf("busy_timeout(%d)", lockWait.Milliseconds())}, more...)
	pragmas = append(pragmas,
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(1)",
		fmt.Sprintf("journal_size_limit(%d)", journalLimit),
	)
	name := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas, "_dqs": {"0"}}.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// journalLimit is to what size the journal is cut after a burst, in bytes.
const journalLimit = 64 << 20

// ExecContext is part of reading: it never writes, readers may not.
func (e *engine) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if e.closed.Load() {
		return nil, errClosed
	}
	return e.reads.ExecContext(ctx, query, args...)
}

// QueryContext reads what was committed.
func (e *engine) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if e.closed.Load() {
		return nil, errClosed
	}
	return e.reads.QueryContext(ctx, query, args...)
}

// Atomically has the writer run fn within its next transaction. When ctx is
// done before fn was begun, fn is never run; after that, the outcome is
// waited for, because it is near and certain.
func (e *engine) Atomically(ctx context.Context, fn func(context.Context, sqlstore.Querier) error) error {
	return e.writer.do(ctx, fn)
}

// Each is Atomically: a group has one transaction anyway.
func (e *engine) Each(ctx context.Context, fn func(context.Context, sqlstore.Querier) error) error {
	return e.writer.do(ctx, fn)
}

// Ping reports whether the file can be read.
func (e *engine) Ping(ctx context.Context) error {
	rows, err := e.QueryContext(ctx, "SELECT id FROM installation")
	if err != nil {
		return err
	}
	return rows.Close()
}

// Close writes what waits and closes the file. It may be called twice.
func (e *engine) Close() error {
	e.closed.Store(true)
	return errors.Join(e.writer.stop(), e.reads.close(), e.readers.Close(), e.writes.Close())
}
