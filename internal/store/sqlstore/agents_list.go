package sqlstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// ListAgents pages through agents by namespace, name and generation. Without
// Dead these are the living ones, and the newest that are terminated where
// the filter names that state.
func (s *Store) ListAgents(ctx context.Context, f store.AgentFilter, page store.Page) ([]store.Agent, store.Cursor, error) {
	var w where
	switch {
	case f.Dead:
	case slices.Contains(f.States, agent.Terminated):
		w.must(`newest`)
	default:
		w.must(`state <> 'Terminated'`)
	}
	equal(&w, `namespace`, f.Namespace)
	equal(&w, `owner`, f.Owner)
	equal(&w, `priority`, f.Priority)
	equal(&w, `tier`, f.Tier)
	among(&w, `state`, f.States)
	if f.Hold != "" {
		w.must(`(',' || holds || ',') LIKE ` + w.add("%,"+string(f.Hold)+",%"))
	}
	for _, label := range slices.Sorted(maps.Keys(f.Labels)) {
		w.must(`EXISTS (SELECT 1 FROM agent_labels AS l WHERE l.namespace = agents.namespace AND l.name = agents.name
			AND l.generation = agents.generation AND l.label = ` + w.add(label) + ` AND l.content = ` + w.add(f.Labels[label]) + `)`)
	}
	if page.After != "" {
		var at agent.ID
		if err := page.After.Read("agents", &at.Namespace, &at.Name, &at.Generation); err != nil {
			return nil, "", err
		}
		w.must(`(namespace, name, generation) > (` + addAll(&w.params, []any{at.Namespace, at.Name, at.Generation}) + `)`)
	}
	query := `SELECT ` + agentColumns + ` FROM agents` + w.String() +
		` ORDER BY namespace, name, generation LIMIT ` + w.add(page.Rows()+1)
	recs, err := list(ctx, s.engine, scanAgent, query, w.args...)
	if err != nil {
		return nil, "", s.fail("list agents", err)
	}
	return cut(recs, page, func(a store.Agent) (store.Cursor, error) {
		return store.NewCursor("agents", a.Namespace, a.Name, a.Generation)
	})
}

// cut keeps what fits on a page; one item more than that says that there is
// another page.
func cut[T any](items []T, page store.Page, cursor func(T) (store.Cursor, error)) ([]T, store.Cursor, error) {
	n := page.Rows()
	if len(items) <= n {
		return items, "", nil
	}
	next, err := cursor(items[n-1])
	return items[:n], next, err
}

// UnstartedAgents lists agents written before the given time whose workflow was never confirmed.
func (s *Store) UnstartedAgents(ctx context.Context, before time.Time, limit int) ([]store.Agent, error) {
	recs, err := list(ctx, s.engine, scanAgent, `SELECT `+agentColumns+` FROM agents
		WHERE NOT started AND created_at < $1 ORDER BY created_at, namespace, name, generation LIMIT $2`, micros(before), store.Page{Limit: limit}.Rows())
	return recs, s.fail("list agents that were not started", err)
}

// CountAgents counts the newest generations by state.
func (s *Store) CountAgents(ctx context.Context) (map[agent.State]int64, error) {
	counts, err := list(ctx, s.engine, scanCount[agent.State], `SELECT state, COUNT(*) FROM agents WHERE newest GROUP BY state`)
	return countsByState(counts), s.fail("count agents", err)
}

// count is how many rows have a state.
type count[S ~string] struct {
	state S
	rows  int64
}

func scanCount[S ~string](row scanner) (c count[S], err error) {
	err = row.Scan(&c.state, &c.rows)
	return c, err
}

func countsByState[S ~string](counts []count[S]) map[S]int64 {
	m := make(map[S]int64, len(counts))
	for _, c := range counts {
		m[c.state] = c.rows
	}
	return m
}
