// Package sqlstore is the store over any SQL engine that database/sql reaches:
// the statements are written once, in the SQL that PostgreSQL and SQLite share,
// with $1, $2, … for parameters.
//
// What differs between the engines (how a connection is opened, how a
// transaction is run, what an error means, the tables' own definition) is
// behind Engine, in the packages postgres and sqlite.
//
// Times are microseconds since 1970 in UTC, 0 for the zero time. Structures
// are JSON text; what lists filter or sort by has a column of its own.
package sqlstore
