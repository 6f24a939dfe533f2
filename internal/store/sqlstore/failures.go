package sqlstore

import (
	"context"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// recordFailure gives a failure its place among the recent errors, once: told
// again, it keeps its time. An agent's own failure has no task.
func recordFailure(ctx context.Context, q Querier, id agent.ID, task agent.TaskID, attempt int, failure any, at int64) error {
	_, err := exec(ctx, q, `INSERT INTO failures (namespace, agent, generation, task, attempt, failure, at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (namespace, agent, generation, task)
		DO UPDATE SET attempt = excluded.attempt, failure = excluded.failure, at = excluded.at
		WHERE failures.failure <> excluded.failure`,
		id.Namespace, id.Name, id.Generation, task, attempt, failure, at)
	return err
}

// forgetFailure takes a failure back that an earlier word had recorded.
func forgetFailure(ctx context.Context, q Querier, id agent.ID, task agent.TaskID) error {
	_, err := exec(ctx, q, `DELETE FROM failures WHERE namespace = $1 AND agent = $2 AND generation = $3 AND task = $4`,
		id.Namespace, id.Name, id.Generation, task)
	return err
}

// RecentErrors lists the newest failures of agents and tasks; of every
// namespace where ns is empty.
func (s *Store) RecentErrors(ctx context.Context, ns agent.Namespace, limit int) ([]store.RecordedFailure, error) {
	var w where
	equal(&w, `namespace`, ns)
	query := `SELECT at, namespace, agent, task, attempt, failure FROM failures` + w.String() +
		` ORDER BY at DESC, namespace DESC, agent DESC, task DESC LIMIT ` + w.add(store.Page{Limit: limit}.Rows())
	found, err := list(ctx, s.engine, scanFailure, query, w.args...)
	return found, s.fail("list recent errors", err)
}

func scanFailure(row scanner) (f store.RecordedFailure, err error) {
	err = row.Scan(timeColumn{&f.At}, &f.Namespace, &f.Agent, &f.Task, &f.Attempt, jsonInto(&f.Failure))
	return f, err
}
