package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"symbi.dev/symbi/internal/store/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables up to date, alone: an exclusive connection keeps
// every other process out until it is closed.
func migrate(ctx context.Context, path string) (err error) {
	db, err := connect(path, 1, "locking_mode(EXCLUSIVE)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// The first write takes the lock; the mode keeps it beyond the commit.
	if _, err := db.ExecContext(ctx, "BEGIN EXCLUSIVE; COMMIT"); err != nil {
		return fmt.Errorf("lock the database for migrating it: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return sqlstore.Migrate(ctx, goose.DialectSQLite3, db, files)
}
