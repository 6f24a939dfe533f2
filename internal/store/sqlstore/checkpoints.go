package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"symbi.dev/symbi/agent"
)

// SaveCheckpoint keeps what a program wants its next attempt to have. A task
// that has ended keeps none.
func (s *Store) SaveCheckpoint(ctx context.Context, ns agent.Namespace, id agent.TaskID, attempt int, data []byte) error {
	return s.writeEach(ctx, "keep a checkpoint", func(ctx context.Context, q Querier) error {
		n, err := exec(ctx, q, `INSERT INTO checkpoints (namespace, task, attempt, data)
			SELECT namespace, task, $3, $4 FROM tasks WHERE `+ofTask+` AND ended_at = 0
			ON CONFLICT (namespace, task) DO UPDATE SET attempt = excluded.attempt, data = excluded.data
			WHERE checkpoints.attempt <= excluded.attempt`, ns, id, attempt, data)
		if err != nil || n > 0 {
			return err
		}
		return taskExists(ctx, q, ns, id)
	})
}

// Checkpoint gives what was saved last.
func (s *Store) Checkpoint(ctx context.Context, ns agent.Namespace, id agent.TaskID) ([]byte, error) {
	data, err := one(ctx, s.engine, scanValue[[]byte], `SELECT data FROM checkpoints WHERE `+ofTask, ns, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, agent.Errorf(agent.ErrNotFound, "task %s/%s has kept no checkpoint", ns, id)
	}
	return data, s.fail("read a checkpoint", err)
}
