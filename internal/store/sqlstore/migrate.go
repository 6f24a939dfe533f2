package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"symbi.dev/symbi/agent"
)

// schemaTable is where goose keeps which migrations a database has had.
const schemaTable = "schema_version"

// Migrate applies those of the migrations that a database has not had yet.
// The caller keeps others from doing so meanwhile. ErrConflict when a newer
// binary has already gone further: this one does not know those tables.
func Migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB, migrations fs.FS) error {
	p, err := goose.NewProvider(dialect, db, migrations,
		goose.WithDisableGlobalRegistry(true), goose.WithTableName(schemaTable))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	has, knows, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the database's version: %w", err)
	}
	if has > knows {
		return agent.Errorf(agent.ErrConflict,
			"the database was written by a newer symbi (schema %d, this one knows %d); use that one, or another database", has, knows)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database from version %d to %d: %w", has, knows, err)
	}
	return nil
}
