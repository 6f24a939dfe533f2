package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// ProjectTask records what a task's workflow or its node says of it.
//
// Everything but progress is guarded by the sequence number. Progress comes
// from the program itself, between the numbers of others, and is ordered by
// its attempt and time instead: it is neither lost to a higher number nor
// takes the place of a lower one, and it never goes back to an earlier one.
func (s *Store) ProjectTask(ctx context.Context, p store.TaskProjection) error {
	const doing = "write where a task stands"
	switch {
	case p.State == "" && p.Progress == nil:
		return agent.Errorf(agent.ErrInvalid, "a projection of task %s/%s has neither state nor progress", p.Namespace, p.Task)
	case p.State == "":
		return s.writeEach(ctx, doing, func(ctx context.Context, q Querier) error { return projectProgress(ctx, q, p) })
	case p.State.Final() || p.Progress != nil:
		return s.write(ctx, doing, func(ctx context.Context, q Querier) error { return projectWhole(ctx, q, p) })
	}
	return s.writeEach(ctx, doing, func(ctx context.Context, q Querier) error {
		_, err := projectState(ctx, q, p)
		return err
	})
}

// projectWhole writes a projection of several parts.
func projectWhole(ctx context.Context, q Querier, p store.TaskProjection) error {
	row, err := projectState(ctx, q, p)
	if err != nil {
		return err
	}
	if p.Progress != nil {
		if err := projectProgress(ctx, q, p); err != nil {
			return err
		}
	}
	if row == nil || !p.State.Final() {
		return nil
	}
	if _, err := exec(ctx, q, `DELETE FROM checkpoints WHERE `+ofTask, p.Namespace, p.Task); err != nil {
		return err
	}
	return projectEnd(ctx, q, p, *row)
}

// projectedTask is what the changed row says that the projection does not.
type projectedTask struct {
	agent.ID
	attempt int
}

func scanProjected(row scanner) (t projectedTask, err error) {
	err = row.Scan(&t.Namespace, &t.Name, &t.Generation, &t.attempt)
	return t, err
}

// projectState writes all but progress, unless the row is newer: then it gives nil.
func projectState(ctx context.Context, q Querier, p store.TaskProjection) (*projectedTask, error) {
	set, args, err := taskChanges(p)
	if err != nil {
		return nil, err
	}
	row, err := one(ctx, q, scanProjected, `UPDATE tasks SET `+set+` WHERE `+ofTask+` AND seq < $3
		RETURNING namespace, agent, generation, attempt`, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, taskExists(ctx, q, p.Namespace, p.Task)
	}
	return &row, err
}

// taskChanges writes the SET clause of a projection; its parameters 1 to 3
// are the task's namespace and ID and the sequence number.
func taskChanges(p store.TaskProjection) (string, []any, error) {
	w := params{args: []any{p.Namespace, p.Task, p.Seq}}
	set := []string{`seq = $3`, `started = TRUE`}
	put := func(column string, v any) { set = append(set, column+` = `+w.add(v)) }
	put(`state`, p.State)
	put(`holds`, holdsText(p.Holds))
	put(`why`, p.Why)
	if p.Attempt != 0 {
		put(`attempt`, p.Attempt)
	}
	if p.Tier != "" {
		put(`tier`, p.Tier)
	}
	if p.Node != "" {
		put(`node`, p.Node)
	}
	if p.Lease != "" {
		put(`lease`, p.Lease)
	}
	if !p.At.IsZero() {
		put(`updated_at`, micros(p.At))
	}
	var ended int64
	if p.State.Final() {
		ended = micros(p.At)
	}
	put(`ended_at`, ended)
	for _, c := range []struct {
		column string
		there  bool
		v      any
	}{{`risk`, p.Risk != nil, p.Risk}, {`decision`, p.Decision != nil, p.Decision}, {`outcome`, p.Outcome != nil, p.Outcome}} {
		if !c.there {
			continue
		}
		text, err := jsonText(c.v)
		if err != nil {
			return "", nil, err
		}
		put(c.column, text)
	}
	return strings.Join(set, ", "), w.args, nil
}

// projectProgress writes what the program said of how far it is. Without an
// attempt it is of the current one.
func projectProgress(ctx context.Context, q Querier, p store.TaskProjection) error {
	text, err := jsonText(p.Progress)
	if err != nil {
		return err
	}
	n, err := exec(ctx, q, `UPDATE tasks SET progress = $3, progress_at = $4, started = TRUE,
			progress_attempt = CASE WHEN $5 = 0 THEN attempt ELSE $5 END,
			updated_at = CASE WHEN updated_at < $4 THEN $4 ELSE updated_at END
		WHERE `+ofTask+` AND (attempt <= $5 OR $5 = 0)
			AND (progress_attempt < CASE WHEN $5 = 0 THEN attempt ELSE $5 END
				OR (progress_attempt = CASE WHEN $5 = 0 THEN attempt ELSE $5 END AND progress_at <= $4))`,
		p.Namespace, p.Task, text, micros(p.Progress.At), p.Attempt)
	if err != nil || n > 0 {
		return err
	}
	return taskExists(ctx, q, p.Namespace, p.Task)
}

// projectEnd writes what a task left, and its place among the recent errors
// if it has one, instead of what an earlier end had written.
func projectEnd(ctx context.Context, q Querier, p store.TaskProjection, row projectedTask) error {
	if p.Outcome == nil {
		return nil
	}
	if _, err := exec(ctx, q, `DELETE FROM artifacts WHERE `+ofTask, p.Namespace, p.Task); err != nil {
		return err
	}
	rows := make([][]any, len(p.Outcome.Artifacts))
	for i, a := range p.Outcome.Artifacts {
		rows[i] = []any{p.Namespace, p.Task, a.Path, a.Bytes, a.Digest, a.MediaType}
	}
	err := insertRows(ctx, q, `INSERT INTO artifacts (namespace, task, path, bytes, digest, media_type)`, ` ON CONFLICT DO NOTHING`, rows)
	if err != nil {
		return err
	}
	if p.Outcome.Failure == nil {
		return forgetFailure(ctx, q, row.ID, p.Task)
	}
	failure, err := jsonText(p.Outcome.Failure)
	if err != nil {
		return err
	}
	return recordFailure(ctx, q, row.ID, p.Task, row.attempt, failure, micros(p.At))
}
