package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// key is an idempotency record of the suite's admin.
func key(scope, name, body string, now time.Time) *store.Idempotency {
	return &store.Idempotency{Principal: "admin", Scope: scope, Key: name, BodyHash: body, Now: now}
}

var idempotencyTests = map[string]func(*testing.T, store.Store){
	"a repeated creation of an agent gives what the first made, as it is now": func(t *testing.T, s store.Store) {
		n := newAgent("default", "worker")
		first, replayed, err := s.CreateAgent(t.Context(), n, key("agent.create default", "k", "h", epoch))
		require.NoError(t, err)
		require.False(t, replayed)
		putState(t, s, first.ID, 1, agent.Terminated)
		again, replayed, err := s.CreateAgent(t.Context(), n, key("agent.create default", "k", "h", at(60)))
		require.NoError(t, err)
		require.True(t, replayed)
		require.Equal(t, first.ID, again.ID)
		require.Equal(t, agent.Terminated, again.State)
	},
	"a repeated creation of a task gives what the first made, as it is now": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		first, replayed, err := s.CreateTask(t.Context(), newTask(a, "first"), key("task.submit default", "k", "h", epoch))
		require.NoError(t, err)
		require.False(t, replayed)
		project(t, s, projection(first, 1, agent.TaskRunning))
		again, replayed, err := s.CreateTask(t.Context(), newTask(a, "of-another-id"), key("task.submit default", "k", "h", at(60)))
		require.NoError(t, err)
		require.True(t, replayed)
		require.Equal(t, first.Spec, again.Spec)
		require.Equal(t, agent.TaskRunning, again.State)
		_, err = s.Task(t.Context(), "default", "of-another-id")
		requireKind(t, agent.ErrNotFound, err)
	},
	"a key with another body is a conflict, in either order": func(t *testing.T, s store.Store) {
		a, _, err := s.CreateAgent(t.Context(), newAgent("default", "worker"), key("s", "k", "h", epoch))
		require.NoError(t, err)
		_, _, err = s.CreateAgent(t.Context(), newAgent("default", "other"), key("s", "k", "h2", at(1)))
		requireKind(t, agent.ErrConflict, err)
		_, err = s.Agent(t.Context(), agent.Ref{Namespace: "default", Name: "other"})
		requireKind(t, agent.ErrNotFound, err)
		_, _, err = s.CreateTask(t.Context(), newTask(a, "t"), key("t", "k", "h", epoch))
		require.NoError(t, err)
		_, _, err = s.CreateTask(t.Context(), newTask(a, "u"), key("t", "k", "h2", at(1)))
		requireKind(t, agent.ErrConflict, err)
	},
	"keys of other principals, scopes and names are other keys": func(t *testing.T, s store.Store) {
		for i, k := range []store.Idempotency{
			{Principal: "a", Scope: "b", Key: "c"}, {Principal: "a", Scope: "bc", Key: ""}, {Principal: "ab", Scope: "", Key: "c"},
			{Principal: "a", Scope: "b", Key: "C"}, {Principal: "a", Scope: "b", Key: "c\x00"},
			{Principal: "a", Scope: "b", Key: string(make([]byte, 100_000))},
		} {
			k.BodyHash, k.Now = fmt.Sprint(i), epoch
			_, replayed, err := s.CreateAgent(t.Context(), newAgent("default", agent.Name(fmt.Sprint("agent", i))), &k)
			require.NoError(t, err)
			require.False(t, replayed)
		}
	},
	"a key is forgotten after its time": func(t *testing.T, s store.Store) {
		first, _, err := s.CreateAgent(t.Context(), newAgent("default", "worker"), key("s", "k", "h", epoch))
		require.NoError(t, err)
		_, replayed, err := s.CreateAgent(t.Context(), newAgent("default", "worker"), key("s", "k", "h", epoch.Add(store.IdempotencyTTL-time.Second)))
		require.NoError(t, err)
		require.True(t, replayed)
		putState(t, s, first.ID, 1, agent.Terminated)
		second, replayed, err := s.CreateAgent(t.Context(), newAgent("default", "worker"), key("s", "k", "other", epoch.Add(store.IdempotencyTTL)))
		require.NoError(t, err)
		require.False(t, replayed)
		require.EqualValues(t, 2, second.Generation)
	},
	"a creation that failed leaves its key free": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		_, _, err := s.CreateAgent(t.Context(), newAgent("default", "worker"), key("s", "k", "h", epoch))
		requireKind(t, agent.ErrConflict, err)
		putState(t, s, a.ID, 1, agent.Terminated)
		_, replayed, err := s.CreateAgent(t.Context(), newAgent("default", "worker"), key("s", "k", "h", epoch))
		require.NoError(t, err)
		require.False(t, replayed)
	},
	"many old keys do not stand in the way": func(t *testing.T, s store.Store) {
		for day := range 3 {
			for i := range 30 {
				name := agent.Name(fmt.Sprintf("agent-%d-%d", day, i))
				_, replayed, err := s.CreateAgent(t.Context(), newAgent("default", name),
					key("s", fmt.Sprint("k", i), "h", epoch.Add(time.Duration(day)*store.IdempotencyTTL)))
				require.NoError(t, err)
				require.False(t, replayed)
			}
		}
	},
}
