//go:build dev

package temporaldev

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"symbi.dev/symbi/agent"
)

const (
	// databaseFile is the file in Config.Dir.
	databaseFile = "temporal.db"
	// databaseFormat is kept in the file as SQLite's user_version. It stands for
	// schemaVersion and visibilityVersion of Temporal's schema; when a new
	// Temporal changes those, it goes up and openDatabase gets a step that
	// brings older files along (Temporal has none for SQLite).
	databaseFormat    = 1
	schemaVersion     = "0.11"
	visibilityVersion = "0.1"
)

// pragmas set up the connection. Temporal's plugin passes on any name, and
// SQLite ignores those it does not know: no leading underscores.
//
// With the write-ahead log, synchronous=normal survives the death of the
// process at any point; power loss can take the last moments, never the file.
var pragmas = map[string]string{
	"journal_mode": "wal",
	"synchronous":  "normal",
	"busy_timeout": "10000", // milliseconds; a backup tool may hold the file
	"temp_store":   "memory",
	"cache_size":   "-16384", // KiB, as negative numbers are
}

// databaseName is the file as the path of a SQLite URI.
func (c Config) databaseName() string {
	return (&url.URL{Path: filepath.Join(c.Dir, databaseFile)}).EscapedPath()
}

// store is Temporal's description of the database.
func (c Config) store() config.SQL {
	attributes := map[string]string{"mode": "rw"}
	for name, value := range pragmas {
		attributes[name] = value
	}
	return config.SQL{
		PluginName:        sqliteplugin.PluginName,
		DatabaseName:      c.databaseName(),
		ConnectAttributes: attributes,
		MaxConns:          databaseConnections,
		MaxIdleConns:      databaseConnections,
	}
}

// prepareDatabase makes the file with its schema if it is absent, and refuses
// one that a later version wrote. The schema appears whole or not at all.
func prepareDatabase(ctx context.Context, c Config) error {
	if sqliteschema.Version != schemaVersion || sqliteschema.VisibilityVersion != visibilityVersion {
		return fmt.Errorf("temporal's schema is %s/%s, this package knows %s/%s",
			sqliteschema.Version, sqliteschema.VisibilityVersion, schemaVersion, visibilityVersion)
	}
	path := filepath.Join(c.Dir, databaseFile)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("make the database file: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("make the database file: %w", err)
	}
	db, err := sql.Open("sqlite", "file:"+c.databaseName()+"?_txlock=immediate&_pragma=busy_timeout=10000")
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	err = ensureSchema(ctx, db, path)
	return errors.Join(err, db.Close())
}

func ensureSchema(ctx context.Context, db *sql.DB, path string) error {
	tx, err := db.BeginTx(ctx, nil)
	var code *sqlite.Error
	switch {
	case errors.As(err, &code) && code.Code() == sqlite3.SQLITE_NOTADB:
		return agent.Errorf(agent.ErrConflict, "%s is no database: %w; move it away, or choose another folder with --data", path, err)
	case err != nil:
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = tx.Rollback() }() // no effect once committed
	var format int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&format); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	switch {
	case format == databaseFormat:
		return nil
	case format > databaseFormat:
		return agent.Errorf(agent.ErrConflict,
			"%s was written by a later version (format %d, this one knows %d); run that one, or choose another folder with --data",
			path, format, databaseFormat)
	}
	if err := sqliteschema.SetupSchemaOnDB(schemaWriter{ctx: ctx, tx: tx}); err != nil {
		return fmt.Errorf("write the schema of %s: %w", path, err)
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", databaseFormat)); err != nil {
		return fmt.Errorf("write the format of %s: %w", path, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write the schema of %s: %w", path, err)
	}
	return nil
}

// schemaWriter lets Temporal write its schema in one transaction of ours; it
// calls Exec alone.
type schemaWriter struct {
	sqlplugin.AdminDB
	ctx context.Context
	tx  *sql.Tx
}

// Exec implements sqlplugin.AdminDB.
func (w schemaWriter) Exec(statement string, args ...any) error {
	_, err := w.tx.ExecContext(w.ctx, statement, args...)
	return err
}
