package sqlstore

import (
	"context"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// ProjectAgent records what an agent's workflow says of itself. An older
// sequence number than the stored one changes nothing, but its transitions,
// keyed by their number, are still recorded once.
func (s *Store) ProjectAgent(ctx context.Context, p store.AgentProjection) error {
	return s.write(ctx, "write what an agent says of itself", func(ctx context.Context, q Querier) error {
		failure, err := jsonOrNull(p.Failure)
		if err != nil {
			return err
		}
		// That a workflow speaks proves that it was started.
		changed, err := exec(ctx, q, `UPDATE agents SET seq = $4, state = $5, holds = $6, active = $7, waiting = $8,
				terminating = $9, tier = $10, failure = $11, updated_at = $12, started = TRUE
			WHERE `+ofGeneration+` AND seq < $4`,
			p.Namespace, p.Name, p.Generation, p.Seq, p.State, holdsText(p.Holds), p.Active, p.Waiting,
			p.Terminating, p.Tier, failure, micros(p.At))
		if err != nil {
			return err
		}
		if changed == 0 {
			if err := agentExists(ctx, q, p.ID); err != nil {
				return err
			}
		}
		if err := insertTransitions(ctx, q, p.ID, p.Transitions); err != nil {
			return err
		}
		if changed == 0 || p.Failure == nil {
			return nil
		}
		return recordFailure(ctx, q, p.ID, "", 0, failure, micros(p.At))
	})
}

func insertTransitions(ctx context.Context, q Querier, id agent.ID, steps []store.Transition) error {
	rows := make([][]any, len(steps))
	for i, t := range steps {
		rows[i] = []any{id.Namespace, id.Name, id.Generation, t.Number, t.From, t.To, t.Cause, t.Principal, micros(t.At)}
	}
	return insertRows(ctx, q, `INSERT INTO transitions (namespace, name, generation, number, from_state, to_state, cause, principal, at)`,
		` ON CONFLICT DO NOTHING`, rows)
}

// AgentHistory pages through an agent's transitions, oldest first.
func (s *Store) AgentHistory(ctx context.Context, id agent.ID, page store.Page) ([]store.Transition, store.Cursor, error) {
	var after int64
	if page.After != "" {
		if err := page.After.Read("history", &after); err != nil {
			return nil, "", err
		}
	}
	steps, err := list(ctx, s.engine, scanTransition, `SELECT number, from_state, to_state, cause, principal, at FROM transitions
		WHERE `+ofGeneration+` AND number > $4 ORDER BY number LIMIT $5`, id.Namespace, id.Name, id.Generation, after, page.Rows()+1)
	if err == nil && len(steps) == 0 {
		err = agentExists(ctx, s.engine, id)
	}
	if err != nil {
		return nil, "", s.fail("read an agent's history", err)
	}
	return cut(steps, page, func(t store.Transition) (store.Cursor, error) { return store.NewCursor("history", t.Number) })
}

func scanTransition(row scanner) (t store.Transition, err error) {
	err = row.Scan(&t.Number, &t.From, &t.To, &t.Cause, &t.Principal, timeColumn{&t.At})
	return t, err
}
