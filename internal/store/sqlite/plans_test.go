package sqlite

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/store/sqlstore"
)

// planner is an engine that keeps how SQLite would do each read.
type planner struct {
	*engine
	mu    sync.Mutex
	plans map[string]string
}

func (p *planner) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	found, err := p.readers.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var plan []string
	for found.Next() {
		var id, parent, unused int
		var step string
		if err := found.Scan(&id, &parent, &unused, &step); err != nil {
			return nil, err
		}
		plan = append(plan, step)
	}
	p.mu.Lock()
	p.plans[query] = strings.Join(plan, "\n")
	p.mu.Unlock()
	return p.engine.QueryContext(ctx, query, args...)
}

// TestReadsFollowIndexes holds every read that is asked often to what an
// index gives: no table read from end to end, nothing sorted that is large.
func TestReadsFollowIndexes(t *testing.T) {
	t.Parallel()
	p := &planner{engine: openEngine(t, 0), plans: map[string]string{}}
	s := sqlstore.New(p)
	ref := agent.Ref{Namespace: "default", Name: "worker"}
	id := agent.ID{Ref: ref, Generation: 1}
	require.NoError(t, s.AppendEvents(t.Context(), []store.Event{{ID: "e"}}))
	now := time.Now()
	agents := func(f store.AgentFilter) func() error {
		return func() error { _, _, err := s.ListAgents(t.Context(), f, store.Page{}); return err }
	}
	tasks := func(f store.TaskFilter, after store.Cursor) func() error {
		return func() error { _, _, err := s.ListTasks(t.Context(), f, store.Page{After: after}); return err }
	}
	events := func(f store.EventFilter) func() error {
		return func() error { _, _, err := s.ListEvents(t.Context(), f, store.Page{}); return err }
	}
	after, err := store.NewCursor("tasks", now.UnixMicro(), "default", "t")
	require.NoError(t, err)
	some := []agent.TaskState{agent.TaskRunning, agent.TaskFailed}
	for name, c := range map[string]struct {
		call  func() error
		index string
	}{
		"agents":                {agents(store.AgentFilter{}), "agents_living"},
		"agents of a namespace": {agents(store.AgentFilter{Namespace: "default"}), "agents_living"},
		"agents in a state":     {agents(store.AgentFilter{Namespace: "default", States: []agent.State{agent.Ready}}), "agents_state"},
		"agents in some state":  {agents(store.AgentFilter{States: []agent.State{agent.Ready}}), "agents_state"},
		"agents of an owner":    {agents(store.AgentFilter{Owner: "key:1"}), "agents_owner"},
		"an agent":              {func() error { _, err := s.Agent(t.Context(), ref); return mayMiss(err) }, "agents_newest"},
		"counts of agents":      {func() error { _, err := s.CountAgents(t.Context()); return err }, "COVERING INDEX agents_state"},
		"unstarted agents":      {func() error { _, err := s.UnstartedAgents(t.Context(), now, 9); return err }, "agents_unstarted"},
		"history":               {func() error { _, _, err := s.AgentHistory(t.Context(), id, store.Page{}); return mayMiss(err) }, "number>?"},
		"a manifest":            {func() error { _, err := s.Manifest(t.Context(), id, 0); return mayMiss(err) }, "autoindex_manifests"},
		"tasks":                 {tasks(store.TaskFilter{}, ""), "tasks_created"},
		"tasks' later pages":    {tasks(store.TaskFilter{}, after), "tasks_created"},
		"tasks of a namespace":  {tasks(store.TaskFilter{Namespace: "default"}, after), "tasks_namespace"},
		"tasks of an agent":     {tasks(store.TaskFilter{Namespace: "default", Agent: "worker", Generation: 1}, after), "tasks_agent"},
		"tasks in a state":      {tasks(store.TaskFilter{States: some[:1]}, after), "tasks_state"},
		"tasks in states":       {tasks(store.TaskFilter{Namespace: "default", States: some}, after), "tasks_namespace_state"},
		"tasks on a node":       {tasks(store.TaskFilter{Node: "n1"}, after), "tasks_node"},
		"unstarted tasks":       {func() error { _, err := s.UnstartedTasks(t.Context(), now, 9); return err }, "tasks_unstarted"},
		"counts of tasks":       {func() error { _, err := s.CountTasks(t.Context()); return err }, "COVERING INDEX tasks_state"},
		"recent errors":         {func() error { _, err := s.RecentErrors(t.Context(), "", 9); return err }, "failures_at"},
		"open leases":           {func() error { _, err := s.OpenLeases(t.Context()); return err }, "leases_open"},
		"events":                {events(store.EventFilter{}), "SCAN events"}, // in the table's own order
		"events of an agent":    {events(store.EventFilter{Namespace: "default", Agent: "worker"}), "events_agent"},
	} {
		clear(p.plans)
		require.NoError(t, c.call(), name)
		for query, plan := range p.plans {
			if !strings.Contains(query, "LIMIT") && !strings.Contains(query, "ORDER") && !strings.Contains(query, "COUNT") {
				continue // a look whether the thing exists
			}
			require.Contains(t, plan, c.index, "%s\n%s\n%s", name, query, plan)
			if !strings.Contains(query, "UNION") { // which sorts a page of each part
				require.NotContains(t, plan, "TEMP B-TREE", "%s\n%s\n%s", name, query, plan)
			}
		}
	}
}

// mayMiss forgives that an empty store has no such thing.
func mayMiss(err error) error {
	if agent.KindOf(err) == agent.ErrNotFound {
		return nil
	}
	return err
}
