package sqlite

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"symbi.dev/symbi/internal/store/sqlstore"
)

// Fault says what an error of SQLite means.
func (e *engine) Fault(err error) sqlstore.Fault {
	var se *driver.Error
	if !errors.As(err, &se) {
		if e.closed.Load() || errors.Is(err, sql.ErrConnDone) || errors.Is(err, sqldriver.ErrBadConn) {
			return sqlstore.FaultUnavailable
		}
		return sqlstore.FaultOther
	}
	switch se.Code() {
	case codes.SQLITE_CONSTRAINT_UNIQUE, codes.SQLITE_CONSTRAINT_PRIMARYKEY, codes.SQLITE_CONSTRAINT_ROWID:
		return sqlstore.FaultUnique
	case codes.SQLITE_CONSTRAINT_FOREIGNKEY:
		return sqlstore.FaultForeignKey
	}
	const primary = 0xff // the low byte of an extended code is the class
	switch se.Code() & primary {
	case codes.SQLITE_FULL, codes.SQLITE_NOMEM:
		return sqlstore.FaultExhausted
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_IOERR, codes.SQLITE_CANTOPEN, codes.SQLITE_READONLY,
		codes.SQLITE_PROTOCOL, codes.SQLITE_PERM:
		return sqlstore.FaultUnavailable
	}
	return sqlstore.FaultOther
}
