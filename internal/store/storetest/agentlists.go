package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// listed gives the names and generations that a filter finds.
func listed(t testing.TB, s store.Store, f store.AgentFilter) (out []string) {
	t.Helper()
	recs := pages(t, 2, func(p store.Page) ([]store.Agent, store.Cursor, error) { return s.ListAgents(t.Context(), f, p) }, nil)
	for _, r := range recs {
		out = append(out, fmt.Sprintf("%s.%d", r.Ref, r.Generation))
	}
	return out
}

var agentListTests = map[string]func(*testing.T, store.Store){
	"each filter selects, and filters together select what all of them do": func(t *testing.T, s store.Store) {
		make := func(ns agent.Namespace, name agent.Name, change func(*store.NewAgent), p store.AgentProjection) {
			n := newAgent(ns, name)
			change(&n)
			p.ID, p.Seq, p.At = createAgent(t, s, n).ID, 1, at(1)
			require.NoError(t, s.ProjectAgent(t.Context(), p))
		}
		make("default", "a", func(n *store.NewAgent) { n.Spec.Labels = map[string]string{"team": "safety", "x": "1"} },
			store.AgentProjection{State: agent.Ready, Tier: agent.TierGVisor})
		make("default", "b", func(n *store.NewAgent) { n.Owner, n.Spec.Labels = "key:b", map[string]string{"team": "safety"} },
			store.AgentProjection{State: agent.Suspended, Holds: agent.Holds{agent.HoldPolicy, agent.HoldUser}})
		make("default", "c", func(n *store.NewAgent) { n.Spec.Priority = agent.Critical },
			store.AgentProjection{State: agent.Running, Tier: agent.TierDocker, Holds: agent.Holds{agent.HoldResource}})
		make("other", "a", func(*store.NewAgent) {}, store.AgentProjection{State: agent.Ready, Tier: agent.TierDocker})

		for name, c := range map[string]struct {
			f    store.AgentFilter
			want []string
		}{
			"none":          {store.AgentFilter{}, []string{"default/a.1", "default/b.1", "default/c.1", "other/a.1"}},
			"namespace":     {store.AgentFilter{Namespace: "other"}, []string{"other/a.1"}},
			"a state":       {store.AgentFilter{States: []agent.State{agent.Ready}}, []string{"default/a.1", "other/a.1"}},
			"states":        {store.AgentFilter{States: []agent.State{agent.Suspended, agent.Running}}, []string{"default/b.1", "default/c.1"}},
			"owner":         {store.AgentFilter{Owner: "key:b"}, []string{"default/b.1"}},
			"priority":      {store.AgentFilter{Priority: agent.Critical}, []string{"default/c.1"}},
			"tier":          {store.AgentFilter{Tier: agent.TierDocker}, []string{"default/c.1", "other/a.1"}},
			"hold":          {store.AgentFilter{Hold: agent.HoldUser}, []string{"default/b.1"}},
			"another hold":  {store.AgentFilter{Hold: agent.HoldPolicy}, []string{"default/b.1"}},
			"label":         {store.AgentFilter{Labels: map[string]string{"team": "safety"}}, []string{"default/a.1", "default/b.1"}},
			"labels":        {store.AgentFilter{Labels: map[string]string{"team": "safety", "x": "1"}}, []string{"default/a.1"}},
			"label's value": {store.AgentFilter{Labels: map[string]string{"team": "saf"}}, nil},
			"several": {store.AgentFilter{Namespace: "default", States: []agent.State{agent.Ready}, Owner: "admin", Tier: agent.TierGVisor},
				[]string{"default/a.1"}},
		} {
			require.Equal(t, c.want, listed(t, s, c.f), name)
		}
	},
	"the dead are listed when asked for": func(t *testing.T, s store.Store) {
		for _, name := range []agent.Name{"again", "gone"} {
			putState(t, s, createAgent(t, s, newAgent("default", name)).ID, 1, agent.Terminated)
		}
		createAgent(t, s, newAgent("default", "again"))
		terminated := []agent.State{agent.Terminated}
		require.Equal(t, []string{"default/again.2"}, listed(t, s, store.AgentFilter{}))
		require.Equal(t, []string{"default/gone.1"}, listed(t, s, store.AgentFilter{States: terminated}))
		require.Equal(t, []string{"default/again.1", "default/again.2", "default/gone.1"}, listed(t, s, store.AgentFilter{Dead: true}))
		require.Equal(t, []string{"default/again.1", "default/gone.1"}, listed(t, s, store.AgentFilter{Dead: true, States: terminated}))
	},
	"names are sorted by their bytes": func(t *testing.T, s store.Store) {
		names := []string{"a-c", "a", "ab", "a_b", "b", "a1", "0"}
		for _, name := range names {
			createAgent(t, s, newAgent("default", agent.Name(name)))
		}
		slices.Sort(names)
		for i, name := range names {
			names[i] = "default/" + name + ".1"
		}
		require.Equal(t, names, listed(t, s, store.AgentFilter{}))
	},
	"pages neither repeat nor miss what was there, whatever joins meanwhile": func(t *testing.T, s store.Store) {
		var want []agent.Name
		for i := range 20 {
			name := agent.Name(fmt.Sprintf("agent-%02d", i))
			want = append(want, name)
			createAgent(t, s, newAgent("default", name))
		}
		joined := 0
		all := pages(t, 3, func(p store.Page) ([]store.Agent, store.Cursor, error) {
			return s.ListAgents(t.Context(), store.AgentFilter{}, p)
		}, func() {
			joined++
			createAgent(t, s, newAgent("default", agent.Name(fmt.Sprintf("agent-%02d-joined", joined))))
			createAgent(t, s, newAgent("default", agent.Name(fmt.Sprintf("aaa-%02d", joined))))
		})
		var got []agent.Name
		seen := map[agent.Name]bool{}
		for _, rec := range all {
			require.False(t, seen[rec.Name], "%s twice", rec.Name)
			seen[rec.Name] = true
			if slices.Contains(want, rec.Name) {
				got = append(got, rec.Name)
			}
		}
		require.Equal(t, want, got)
	},
	"a page has bounds": func(t *testing.T, s store.Store) {
		for i := range store.DefaultLimit + 1 {
			createAgent(t, s, newAgent("default", agent.Name(fmt.Sprintf("agent-%03d", i))))
		}
		recs, next, err := s.ListAgents(t.Context(), store.AgentFilter{}, store.Page{})
		require.NoError(t, err)
		require.Len(t, recs, store.DefaultLimit)
		recs, next, err = s.ListAgents(t.Context(), store.AgentFilter{}, store.Page{After: next})
		require.NoError(t, err)
		require.Len(t, recs, 1)
		require.Empty(t, next)
		recs, next, err = s.ListAgents(t.Context(), store.AgentFilter{}, store.Page{Limit: store.DefaultLimit + 1})
		require.NoError(t, err)
		require.Len(t, recs, store.DefaultLimit+1)
		require.Empty(t, next, "a full page that is the last has no next one")
		require.Equal(t, store.MaxLimit, store.Page{Limit: 1 << 40}.Rows())
	},
	"a cursor that is not one of the list is refused": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "a"))
		createAgent(t, s, newAgent("default", "b"))
		createTask(t, s, newTask(a, "t1"))
		createTask(t, s, newTask(a, "t2"))
		_, ofAgents, err := s.ListAgents(t.Context(), store.AgentFilter{}, store.Page{Limit: 1})
		require.NoError(t, err)
		_, ofTasks, err := s.ListTasks(t.Context(), store.TaskFilter{}, store.Page{Limit: 1})
		require.NoError(t, err)
		for _, c := range []store.Cursor{"x", "!!", "bnVsbA", ofTasks} {
			_, _, err := s.ListAgents(t.Context(), store.AgentFilter{}, store.Page{After: c})
			requireKind(t, agent.ErrInvalid, err)
		}
		for _, c := range []store.Cursor{"x", "W10", ofAgents} {
			_, _, err = s.ListTasks(t.Context(), store.TaskFilter{}, store.Page{After: c})
			requireKind(t, agent.ErrInvalid, err)
			_, _, err = s.ListEvents(t.Context(), store.EventFilter{}, store.Page{After: c})
			requireKind(t, agent.ErrInvalid, err)
			_, _, err = s.AgentHistory(t.Context(), a.ID, store.Page{After: c})
			requireKind(t, agent.ErrInvalid, err)
		}
	},
}

var agentProjectionTests = map[string]func(*testing.T, store.Store){
	"all that the workflow says is kept": func(t *testing.T, s store.Store) {
		rec := createAgent(t, s, newAgent("default", "reporter"))
		p := store.AgentProjection{
			ID: rec.ID, Seq: 4, State: agent.Failed, Holds: agent.Holds{agent.HoldPolicy, agent.HoldUser}, Active: 2, Waiting: 7,
			Terminating: true, Tier: agent.TierDocker, Failure: failed("no image"), At: at(9),
		}
		require.NoError(t, s.ProjectAgent(t.Context(), p))
		rec.State, rec.Holds, rec.Active, rec.Waiting, rec.Terminating = p.State, p.Holds, p.Active, p.Waiting, p.Terminating
		rec.Tier, rec.Failure, rec.Seq, rec.Started, rec.UpdatedAt = p.Tier, p.Failure, p.Seq, true, p.At
		got, err := s.Agent(t.Context(), rec.Ref)
		require.NoError(t, err)
		require.Equal(t, rec, got)
	},
	"an older word changes nothing, but its transitions are recorded once": func(t *testing.T, s store.Store) {
		rec := createAgent(t, s, newAgent("default", "reporter"))
		step := func(n int64, from, to agent.State, cause string) store.Transition {
			return store.Transition{Number: n, From: from, To: to, Cause: cause, Principal: "runtime", At: at(int(n))}
		}
		first := step(1, agent.Initializing, agent.Ready, "its program is there")
		second := step(2, agent.Ready, agent.Running, "task t1")
		third := step(3, agent.Running, agent.Ready, "task t1 ended")
		newer := store.AgentProjection{ID: rec.ID, Seq: 3, State: agent.Ready, Transitions: []store.Transition{third}, At: at(3)}
		older := store.AgentProjection{
			ID: rec.ID, Seq: 2, State: agent.Running, Active: 1, Failure: failed("late"), Transitions: []store.Transition{first, second}, At: at(2),
		}
		for _, p := range []store.AgentProjection{newer, older, older, newer} {
			require.NoError(t, s.ProjectAgent(t.Context(), p))
		}
		lie := second
		lie.Cause = "something else"
		older.Transitions = []store.Transition{lie}
		require.NoError(t, s.ProjectAgent(t.Context(), older))

		got, err := s.Agent(t.Context(), rec.Ref)
		require.NoError(t, err)
		require.Equal(t, agent.Ready, got.State)
		require.Zero(t, got.Active)
		require.Nil(t, got.Failure)
		require.Equal(t, at(3), got.UpdatedAt)
		history := pages(t, 2, func(p store.Page) ([]store.Transition, store.Cursor, error) {
			return s.AgentHistory(t.Context(), rec.ID, p)
		}, nil)
		require.Equal(t, []store.Transition{first, second, third}, history)
		errs, err := s.RecentErrors(t.Context(), "", 10)
		require.NoError(t, err)
		require.Empty(t, errs)
	},
	"a failure stands among the recent errors, with the time it was first told": func(t *testing.T, s store.Store) {
		rec := createAgent(t, s, newAgent("default", "reporter"))
		p := store.AgentProjection{ID: rec.ID, Seq: 1, State: agent.Failed, Failure: failed("no image"), At: at(1)}
		require.NoError(t, s.ProjectAgent(t.Context(), p))
		p.Seq, p.State, p.At = 2, agent.Terminated, at(50)
		require.NoError(t, s.ProjectAgent(t.Context(), p))
		errs, err := s.RecentErrors(t.Context(), "default", 10)
		require.NoError(t, err)
		require.Equal(t, []store.RecordedFailure{{At: at(1), Namespace: "default", Agent: "reporter", Failure: *failed("no image")}}, errs)
	},
	"many transitions at once are all recorded": func(t *testing.T, s store.Store) {
		rec := createAgent(t, s, newAgent("default", "reporter"))
		var steps []store.Transition
		for i := range int64(200) {
			steps = append(steps, store.Transition{Number: i + 1, From: agent.Ready, To: agent.Running, Cause: fmt.Sprint("task ", i), Principal: "admin", At: at(int(i))})
		}
		require.NoError(t, s.ProjectAgent(t.Context(), store.AgentProjection{ID: rec.ID, Seq: 1, State: agent.Running, Transitions: steps, At: at(1)}))
		got := pages(t, 64, func(p store.Page) ([]store.Transition, store.Cursor, error) {
			return s.AgentHistory(t.Context(), rec.ID, p)
		}, nil)
		require.Equal(t, steps, got)
	},
}
