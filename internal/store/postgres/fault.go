package postgres

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"symbi.dev/symbi/internal/store/sqlstore"
)

// Fault says what an error of PostgreSQL, or of the way to it, means. The
// codes are those of appendix A of its manual.
func (e *engine) Fault(err error) sqlstore.Fault {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if e.closed.Load() {
			return sqlstore.FaultUnavailable
		}
		return connectionFault(err)
	}
	switch pg.Code {
	case "23505": // unique_violation
		return sqlstore.FaultUnique
	case "23503": // foreign_key_violation
		return sqlstore.FaultForeignKey
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return sqlstore.FaultUnavailable
	case "25006": // read_only_sql_transaction: connected to a standby
		return sqlstore.FaultUnavailable
	}
	if len(pg.Code) < 2 {
		return sqlstore.FaultOther
	}
	switch pg.Code[:2] {
	case "08", "28", "57", "58", "3D": // connection, credentials, operator intervention, system, no such database
		return sqlstore.FaultUnavailable
	case "53": // insufficient resources: disk, memory, connections
		return sqlstore.FaultExhausted
	}
	return sqlstore.FaultOther
}

// connectionFault tells a server that cannot be reached from a fault of ours.
func connectionFault(err error) sqlstore.Fault {
	for _, gone := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, sqldriver.ErrBadConn, sql.ErrConnDone} {
		if errors.Is(err, gone) {
			return sqlstore.FaultUnavailable
		}
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) {
		return sqlstore.FaultUnavailable
	}
	return sqlstore.FaultOther
}
