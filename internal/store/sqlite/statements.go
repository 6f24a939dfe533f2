package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
)

// preparer is a connection or a pool of them.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// maxStatements bounds how many statements stay prepared. Lists with filters
// have many shapes; what comes beyond the bound is prepared each time.
const maxStatements = 300

// statements keeps statements prepared.
type statements struct {
	on preparer

	mu       sync.RWMutex
	prepared map[string]*sql.Stmt
}

func newStatements(on preparer) *statements {
	return &statements{on: on, prepared: map[string]*sql.Stmt{}}
}

// get gives a prepared statement; nil where there is no room for it.
func (s *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.RLock()
	stmt, n := s.prepared[query], len(s.prepared)
	s.mu.RUnlock()
	if stmt != nil || n >= maxStatements {
		return stmt, nil
	}
	stmt, err := s.on.PrepareContext(ctx, numbered(query))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.prepared[query]; other != nil {
		return other, stmt.Close()
	}
	s.prepared[query] = stmt
	return stmt, nil
}

// numbered writes $1 as ?1: to SQLite the first is a name, which would be
// looked up with every use.
func numbered(query string) string { return strings.ReplaceAll(query, "$", "?") }

// ExecContext runs a statement.
func (s *statements) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := s.get(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return s.on.ExecContext(ctx, numbered(query), args...)
	}
	return stmt.ExecContext(ctx, args...)
}

// QueryContext runs a query.
func (s *statements) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := s.get(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return s.on.QueryContext(ctx, numbered(query), args...)
	}
	return stmt.QueryContext(ctx, args...)
}

// close lets go of them.
func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for query, stmt := range s.prepared {
		errs = append(errs, stmt.Close())
		delete(s.prepared, query)
	}
	return errors.Join(errs...)
}
