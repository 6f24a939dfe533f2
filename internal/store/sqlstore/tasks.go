package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

const taskColumns = `namespace, task, spec, state, holds, priority, tier, attempt, node, lease, why, risk, decision, progress, outcome,
	seq, started, created_at, updated_at, ended_at`

// ofTask is the condition for one task, parameters 1 and 2.
const ofTask = `namespace = $1 AND task = $2`

func scanTask(row scanner) (t store.Task, err error) {
	err = row.Scan(&t.Spec.Namespace, &t.Spec.Task, jsonInto(&t.Spec), &t.State, holdsColumn{&t.Holds}, &t.Priority, &t.Tier, &t.Attempt, &t.Node, &t.Lease, &t.Why,
		jsonInto(&t.Risk), jsonInto(&t.Decision), jsonInto(&t.Progress), jsonInto(&t.Outcome),
		&t.Seq, &t.Started, timeColumn{&t.CreatedAt}, timeColumn{&t.UpdatedAt}, timeColumn{&t.EndedAt})
	return t, err
}

// CreateTask writes a task and its idempotency record in one transaction. The
// same task ID with the same spec again is a repeat too.
func (s *Store) CreateTask(ctx context.Context, t store.NewTask, idem *store.Idempotency) (rec store.Task, replayed bool, err error) {
	err = s.write(ctx, "create a task", func(ctx context.Context, q Querier) error {
		known, err := recall(ctx, q, idem)
		if err != nil {
			return err
		}
		if known != nil {
			replayed = true
			rec, err = readTask(ctx, q, agent.Namespace(known.namespace), agent.TaskID(known.name))
			return err
		}
		if rec, replayed, err = s.insertTask(ctx, q, t); err != nil {
			return err
		}
		return remember(ctx, q, idem, subject{namespace: string(t.Spec.Namespace), name: string(t.Spec.Task)})
	})
	s.purgeKeys(ctx, idem)
	return rec, replayed, err
}

// insertTask writes the row, or finds the one that a repeat of the request is about.
func (s *Store) insertTask(ctx context.Context, q Querier, t store.NewTask) (rec store.Task, repeat bool, err error) {
	spec, err := jsonText(t.Spec)
	if err != nil {
		return rec, false, err
	}
	rec, err = one(ctx, q, scanTask, `INSERT INTO tasks (namespace, task, agent, generation, spec, state, priority, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (namespace, task) DO NOTHING RETURNING `+taskColumns,
		t.Spec.Namespace, t.Spec.Task, t.Spec.Agent, t.Spec.AgentGeneration, spec, agent.TaskWaiting, t.Priority, micros(t.At))
	if s.is(err, FaultForeignKey) {
		return rec, false, noGeneration(agent.ID{
			Ref: agent.Ref{Namespace: t.Spec.Namespace, Name: t.Spec.Agent}, Generation: t.Spec.AgentGeneration,
		})
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return rec, false, err
	}
	if rec, err = readTask(ctx, q, t.Spec.Namespace, t.Spec.Task); err != nil {
		return rec, false, err
	}
	stored, err := jsonText(rec.Spec)
	if err != nil {
		return rec, false, err
	}
	if stored != clean(spec) {
		return store.Task{}, false, agent.Errorf(agent.ErrConflict, "task %s exists and is another; choose another ID", t.Spec.TaskRef)
	}
	return rec, true, nil
}

// Task gives one task.
func (s *Store) Task(ctx context.Context, ns agent.Namespace, id agent.TaskID) (store.Task, error) {
	rec, err := readTask(ctx, s.engine, ns, id)
	return rec, s.fail("read a task", err)
}

func readTask(ctx context.Context, q Querier, ns agent.Namespace, id agent.TaskID) (store.Task, error) {
	rec, err := one(ctx, q, scanTask, `SELECT `+taskColumns+` FROM tasks WHERE `+ofTask, ns, id)
	if errors.Is(err, sql.ErrNoRows) {
		return rec, noTask(ns, id)
	}
	return rec, err
}

// MarkTaskStarted notes that the task's workflow exists.
func (s *Store) MarkTaskStarted(ctx context.Context, ns agent.Namespace, id agent.TaskID) error {
	return s.writeEach(ctx, "note that a task was started", func(ctx context.Context, q Querier) error {
		n, err := exec(ctx, q, `UPDATE tasks SET started = TRUE WHERE `+ofTask+` AND NOT started`, ns, id)
		if err != nil || n > 0 {
			return err
		}
		return taskExists(ctx, q, ns, id)
	})
}

// taskExists gives ErrNotFound for a task that is not there.
func taskExists(ctx context.Context, q Querier, ns agent.Namespace, id agent.TaskID) error {
	_, err := one(ctx, q, scanValue[string], `SELECT task FROM tasks WHERE `+ofTask, ns, id)
	if errors.Is(err, sql.ErrNoRows) {
		return noTask(ns, id)
	}
	return err
}

func noTask(ns agent.Namespace, id agent.TaskID) error {
	return agent.Errorf(agent.ErrNotFound, "there is no task %s/%s", ns, id)
}
