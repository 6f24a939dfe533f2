package sqlstore

import (
	"context"
	"database/sql"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// params collects the parameters of a statement as it is written.
type params struct{ args []any }

// add gives the placeholder of one more parameter.
func (p *params) add(v any) string {
	p.args = append(p.args, v)
	return "$" + strconv.Itoa(len(p.args))
}

// addAll gives the placeholders of many, separated by commas.
func addAll[T any](p *params, values []T) string {
	marks := make([]string, len(values))
	for i, v := range values {
		marks[i] = p.add(v)
	}
	return strings.Join(marks, ", ")
}

// where is a condition made of parts that all must hold.
type where struct {
	params
	parts []string
}

// equal demands a value of a column, unless it is the zero value.
func equal[T comparable](w *where, column string, v T) {
	var zero T
	if v != zero {
		w.parts = append(w.parts, column+" = "+w.add(v))
	}
}

// among demands one of some values of a column, unless there are none.
func among[T any](w *where, column string, values []T) {
	if len(values) > 0 {
		w.parts = append(w.parts, column+" IN ("+addAll(&w.params, values)+")")
	}
}

// must demands a condition.
func (w *where) must(condition string) { w.parts = append(w.parts, condition) }

// String gives the WHERE clause; empty when nothing is demanded.
func (w *where) String() string {
	if len(w.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.parts, " AND ")
}

// exec runs a statement and says how many rows it changed.
func exec(ctx context.Context, q Querier, query string, args ...any) (int64, error) {
	res, err := q.ExecContext(ctx, query, storable(args)...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// scanner is a row whose columns can be read.
type scanner interface{ Scan(dest ...any) error }

// list reads all rows of a query.
func list[T any](ctx context.Context, q Querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, storable(args)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// one reads the first row of a query; sql.ErrNoRows when there is none.
func one[T any](ctx context.Context, q Querier, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	all, err := list(ctx, q, scan, query, args...)
	if err == nil && len(all) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return all[0], nil
}

// scanValue reads a row of one column.
func scanValue[T any](row scanner) (v T, err error) {
	err = row.Scan(&v)
	return v, err
}

// insertSizes are how many rows one INSERT has. Few sizes keep few statements
// prepared; the largest keeps well below the engines' bounds on parameters
// (32,766 in SQLite).
var insertSizes = []int{64, 8, 1}

// insertRows writes rows of equal width. The head is "INSERT INTO t (a, b)",
// the tail what follows the values.
func insertRows(ctx context.Context, q Querier, head, tail string, rows [][]any) error {
	for _, size := range insertSizes {
		for len(rows) >= size {
			var p params
			var b strings.Builder
			b.WriteString(head)
			b.WriteString(" VALUES ")
			for i, row := range rows[:size] {
				if i > 0 {
					b.WriteString(", ")
				}
				b.WriteString("(" + addAll(&p, row) + ")")
			}
			b.WriteString(tail)
			if _, err := exec(ctx, q, b.String(), p.args...); err != nil {
				return err
			}
			rows = rows[size:]
		}
	}
	return nil
}

// storable makes plain strings of named ones, and makes every string one that
// both engines keep as it is: PostgreSQL refuses NUL and invalid UTF-8, which a
// program's words can have.
func storable(args []any) []any {
	for i, a := range args {
		switch v := a.(type) {
		case nil, int, int64, float64, bool:
		case string:
			args[i] = clean(v)
		default:
			if rv := reflect.ValueOf(a); rv.Kind() == reflect.String {
				args[i] = clean(rv.String())
			}
		}
	}
	return args
}

func clean(s string) string {
	if strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	const replacement = "\uFFFD"
	return strings.ReplaceAll(strings.ToValidUTF8(s, replacement), "\x00", replacement)
}
