package sqlstore

import (
	"context"

	"symbi.dev/symbi/internal/store"
)

const eventColumns = `position, id, at, kind, action, principal, namespace, agent, resource, outcome, attempt, request, decision, details`

// positioned is an event with its place in the order of commits.
type positioned struct {
	position int64
	store.Event
}

func scanEvent(row scanner) (e positioned, err error) {
	err = row.Scan(&e.position, &e.ID, timeColumn{&e.At}, &e.Kind, &e.Action, &e.Principal, &e.Namespace, &e.Agent, &e.Resource,
		&e.Outcome, &e.Attempt, &e.Request, jsonInto(&e.Decision), rawColumn{&e.Details})
	return e, err
}

// AppendEvents writes events durably, in order, in one transaction. Places are
// taken from one row, which stays locked until the commit: their order is that
// of the commits, without gaps.
func (s *Store) AppendEvents(ctx context.Context, events []store.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.write(ctx, "append audit events", func(ctx context.Context, q Querier) error {
		last, err := one(ctx, q, scanValue[int64], `UPDATE event_head SET last_position = last_position + $1 RETURNING last_position`, len(events))
		if err != nil {
			return err
		}
		rows := make([][]any, len(events))
		for i, e := range events {
			decision, err := jsonOrNull(e.Decision)
			if err != nil {
				return err
			}
			rows[i] = []any{last - int64(len(events)-1-i), e.ID, micros(e.At), e.Kind, e.Action, e.Principal, e.Namespace, e.Agent,
				e.Resource, e.Outcome, e.Attempt, e.Request, decision, rawOrNull(e.Details)}
		}
		return insertRows(ctx, q, `INSERT INTO events (`+eventColumns+`)`, ``, rows)
	})
}

// ListEvents pages through events, newest first. Since is part of what is
// asked for, Until is not.
func (s *Store) ListEvents(ctx context.Context, f store.EventFilter, page store.Page) ([]store.Event, store.Cursor, error) {
	var w where
	equal(&w, `namespace`, f.Namespace)
	equal(&w, `agent`, f.Agent)
	equal(&w, `action`, f.Action)
	equal(&w, `principal`, f.Principal)
	if !f.Since.IsZero() {
		w.must(`at >= ` + w.add(micros(f.Since)))
	}
	if !f.Until.IsZero() {
		w.must(`at < ` + w.add(micros(f.Until)))
	}
	if page.After != "" {
		var at int64
		if err := page.After.Read("events", &at); err != nil {
			return nil, "", err
		}
		w.must(`position < ` + w.add(at))
	}
	query := `SELECT ` + eventColumns + ` FROM events` + w.String() + ` ORDER BY position DESC LIMIT ` + w.add(page.Rows()+1)
	found, err := list(ctx, s.engine, scanEvent, query, w.args...)
	if err != nil {
		return nil, "", s.fail("list audit events", err)
	}
	found, next, err := cut(found, page, func(e positioned) (store.Cursor, error) { return store.NewCursor("events", e.position) })
	events := make([]store.Event, len(found))
	for i, e := range found {
		events[i] = e.Event
	}
	return events, next, err
}
