package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// newestFirst is the order of tasks. The indexes of tasks end in its columns.
const newestFirst = ` ORDER BY created_at DESC, namespace DESC, task DESC LIMIT `

// ListTasks pages through tasks, newest first.
func (s *Store) ListTasks(ctx context.Context, f store.TaskFilter, page store.Page) ([]store.Task, store.Cursor, error) {
	query, args, err := taskQuery(f, page)
	if err != nil {
		return nil, "", err
	}
	recs, err := list(ctx, s.engine, scanTask, query, args...)
	if err != nil {
		return nil, "", s.fail("list tasks", err)
	}
	return cut(recs, page, func(t store.Task) (store.Cursor, error) {
		return store.NewCursor("tasks", micros(t.CreatedAt), t.Spec.Namespace, t.Spec.Task)
	})
}

// taskQuery writes the query of a page. Of several states each is asked for
// by itself: an index gives the newest tasks of one state in order, of several
// only after sorting all.
func taskQuery(f store.TaskFilter, page store.Page) (query string, args []any, err error) {
	var w where
	equal(&w, `namespace`, f.Namespace)
	equal(&w, `agent`, f.Agent)
	equal(&w, `generation`, f.Generation)
	equal(&w, `node`, f.Node)
	if f.Node != "" {
		w.must(`node <> ''`) // what the nodes' index holds
	}
	if page.After != "" {
		var at int64
		var ns agent.Namespace
		var task agent.TaskID
		if err := page.After.Read("tasks", &at, &ns, &task); err != nil {
			return "", nil, err
		}
		w.must(`(created_at, namespace, task) < (` + addAll(&w.params, []any{at, ns, task}) + `)`)
	}
	limit := newestFirst + w.add(page.Rows()+1)
	if len(f.States) == 0 {
		return `SELECT ` + taskColumns + ` FROM tasks` + w.String() + limit, w.args, nil
	}
	var parts []string
	for _, state := range distinct(f.States) {
		of := where{params: w.params, parts: slices.Clone(w.parts)}
		equal(&of, `state`, state)
		w.params = of.params
		parts = append(parts, `SELECT * FROM (SELECT `+taskColumns+` FROM tasks`+of.String()+limit+`) AS part`)
	}
	return strings.Join(parts, ` UNION ALL `) + limit, w.args, nil
}

func distinct[T cmp.Ordered](values []T) []T {
	values = slices.Clone(values)
	slices.Sort(values)
	return slices.Compact(values)
}

// UnstartedTasks lists tasks written before the given time whose workflow was never confirmed.
func (s *Store) UnstartedTasks(ctx context.Context, before time.Time, limit int) ([]store.Task, error) {
	recs, err := list(ctx, s.engine, scanTask, `SELECT `+taskColumns+` FROM tasks
		WHERE NOT started AND created_at < $1 ORDER BY created_at, namespace, task LIMIT $2`, micros(before), store.Page{Limit: limit}.Rows())
	return recs, s.fail("list tasks that were not started", err)
}

// CountTasks counts tasks by state.
func (s *Store) CountTasks(ctx context.Context) (map[agent.TaskState]int64, error) {
	counts, err := list(ctx, s.engine, scanCount[agent.TaskState], `SELECT state, COUNT(*) FROM tasks GROUP BY state`)
	return countsByState(counts), s.fail("count tasks", err)
}

// Artifacts lists what a task left, by path.
func (s *Store) Artifacts(ctx context.Context, ns agent.Namespace, id agent.TaskID) ([]agent.Artifact, error) {
	found, err := list(ctx, s.engine, scanArtifact, `SELECT path, bytes, digest, media_type FROM artifacts WHERE `+ofTask+` ORDER BY path`, ns, id)
	if err == nil && len(found) == 0 {
		err = taskExists(ctx, s.engine, ns, id)
	}
	return found, s.fail("list artifacts", err)
}

func scanArtifact(row scanner) (a agent.Artifact, err error) {
	err = row.Scan(&a.Path, &a.Bytes, &a.Digest, &a.MediaType)
	return a, err
}
