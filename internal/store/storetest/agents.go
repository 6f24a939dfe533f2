package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

var agentTests = map[string]func(*testing.T, store.Store){
	"a created agent is read as it was written": func(t *testing.T, s store.Store) {
		n := newAgent("default", "reporter")
		n.Spec.Labels = map[string]string{"team": "safety", "tier": "1"}
		rec := createAgent(t, s, n)
		require.Equal(t, store.Agent{
			ID: agent.ID{Ref: n.Ref, Generation: 1}, Owner: "admin", Spec: n.Spec, ManifestVersion: 1,
			State: agent.Initializing, CreatedAt: epoch, UpdatedAt: epoch,
		}, rec)
		newest, err := s.Agent(t.Context(), n.Ref)
		require.NoError(t, err)
		require.Equal(t, rec, newest)
		generation, err := s.AgentGeneration(t.Context(), rec.ID)
		require.NoError(t, err)
		require.Equal(t, rec, generation)
	},
	"a living agent's name is taken, in its namespace": func(t *testing.T, s store.Store) {
		createAgent(t, s, newAgent("default", "reporter"))
		for i, state := range []agent.State{agent.Initializing, agent.Ready, agent.Running, agent.Suspended, agent.Failed} {
			putState(t, s, agent.ID{Ref: agent.Ref{Namespace: "default", Name: "reporter"}, Generation: 1},
				int64(i+1), state)
			_, _, err := s.CreateAgent(t.Context(), newAgent("default", "reporter"), nil)
			requireKind(t, agent.ErrConflict, err)
			require.ErrorContains(t, err, "default/reporter")
		}
		createAgent(t, s, newAgent("other", "reporter"))
	},
	"a terminated agent's name begins a new generation that shares nothing": func(t *testing.T, s store.Store) {
		first := newAgent("default", "reporter")
		first.Spec.Labels = map[string]string{"of": "first"}
		old := createAgent(t, s, first)
		putState(t, s, old.ID, 1, agent.Terminated)
		second := newAgent("default", "reporter")
		second.Manifest, second.Owner = []byte(`{"second":true}`), "key:2"
		rec := createAgent(t, s, second)
		require.EqualValues(t, 2, rec.Generation)
		require.EqualValues(t, 1, rec.ManifestVersion)
		require.Equal(t, agent.Initializing, rec.State)
		require.Empty(t, rec.Spec.Labels)

		newest, err := s.Agent(t.Context(), second.Ref)
		require.NoError(t, err)
		require.Equal(t, rec, newest)
		kept, err := s.AgentGeneration(t.Context(), old.ID)
		require.NoError(t, err)
		require.Equal(t, agent.Terminated, kept.State)
		manifest, err := s.Manifest(t.Context(), old.ID, 0)
		require.NoError(t, err)
		require.Equal(t, first.Manifest, manifest)
	},
	"an agent that is not there is not found": func(t *testing.T, s store.Store) {
		rec := createAgent(t, s, newAgent("default", "reporter"))
		gone := agent.ID{Ref: rec.Ref, Generation: 2}
		_, err := s.Agent(t.Context(), agent.Ref{Namespace: "other", Name: "reporter"})
		requireKind(t, agent.ErrNotFound, err)
		_, err = s.AgentGeneration(t.Context(), gone)
		requireKind(t, agent.ErrNotFound, err)
		_, err = s.Manifest(t.Context(), gone, 0)
		requireKind(t, agent.ErrNotFound, err)
		_, _, err = s.AgentHistory(t.Context(), gone, store.Page{})
		requireKind(t, agent.ErrNotFound, err)
		requireKind(t, agent.ErrNotFound, s.MarkAgentStarted(t.Context(), gone))
		requireKind(t, agent.ErrNotFound, s.ProjectAgent(t.Context(), store.AgentProjection{ID: gone, Seq: 1, State: agent.Ready}))
		_, err = s.UpdateManifest(t.Context(), gone, 0, []byte(`{}`), store.AgentSpec{})
		requireKind(t, agent.ErrNotFound, err)
	},
	"agents whose workflow was never confirmed are found, oldest first": func(t *testing.T, s store.Store) {
		for i, name := range []agent.Name{"c", "a", "b", "late"} {
			n := newAgent("default", name)
			n.At = at(i)
			createAgent(t, s, n)
		}
		id := func(name agent.Name) agent.ID {
			return agent.ID{Ref: agent.Ref{Namespace: "default", Name: name}, Generation: 1}
		}
		names := func(limit int) (out []agent.Name) {
			recs, err := s.UnstartedAgents(t.Context(), at(3), limit)
			require.NoError(t, err)
			for _, r := range recs {
				require.False(t, r.Started)
				out = append(out, r.Name)
			}
			return out
		}
		require.Equal(t, []agent.Name{"c", "a", "b"}, names(10))
		require.Equal(t, []agent.Name{"c", "a"}, names(2))
		require.NoError(t, s.MarkAgentStarted(t.Context(), id("c")))
		require.NoError(t, s.MarkAgentStarted(t.Context(), id("c")), "twice is no error")
		putState(t, s, id("b"), 1, agent.Ready) // whose workflow speaks was started
		require.Equal(t, []agent.Name{"a"}, names(10))
		rec, err := s.AgentGeneration(t.Context(), id("c"))
		require.NoError(t, err)
		require.True(t, rec.Started)
	},
	"counts are of the newest generations": func(t *testing.T, s store.Store) {
		for _, name := range []agent.Name{"a", "b", "c"} {
			putState(t, s, createAgent(t, s, newAgent("default", name)).ID, 1, agent.Terminated)
		}
		createAgent(t, s, newAgent("default", "a"))
		putState(t, s, createAgent(t, s, newAgent("other", "a")).ID, 1, agent.Ready)
		counts, err := s.CountAgents(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[agent.State]int64{agent.Initializing: 1, agent.Ready: 1, agent.Terminated: 2}, counts)
	},
}

var manifestTests = map[string]func(*testing.T, store.Store){
	"versions count up and each stays readable, byte for byte": func(t *testing.T, s store.Store) {
		n := newAgent("default", "reporter")
		rec := createAgent(t, s, n)
		second, third := []byte(`{"v":  2}`), []byte(`{"v":3,"z":1,"a":2}`)
		rec, err := s.UpdateManifest(t.Context(), rec.ID, 1, second, store.AgentSpec{Priority: agent.Low, MinTier: agent.TierDocker})
		require.NoError(t, err)
		require.EqualValues(t, 2, rec.ManifestVersion)
		require.Equal(t, store.AgentSpec{Priority: agent.Low, MinTier: agent.TierDocker}, rec.Spec)
		require.True(t, rec.UpdatedAt.After(rec.CreatedAt))
		rec, err = s.UpdateManifest(t.Context(), rec.ID, 0, third, rec.Spec)
		require.NoError(t, err)
		require.EqualValues(t, 3, rec.ManifestVersion)
		for version, want := range [][]byte{third, n.Manifest, second, third} {
			got, err := s.Manifest(t.Context(), rec.ID, int64(version))
			require.NoError(t, err)
			require.Equal(t, string(want), string(got), "version %d", version)
		}
		_, err = s.Manifest(t.Context(), rec.ID, 4)
		requireKind(t, agent.ErrNotFound, err)
	},
	"an update of another version than the current one changes nothing": func(t *testing.T, s store.Store) {
		rec := createAgent(t, s, newAgent("default", "reporter"))
		_, err := s.UpdateManifest(t.Context(), rec.ID, 2, []byte(`{"v":2}`), store.AgentSpec{})
		requireKind(t, agent.ErrConflict, err)
		require.ErrorContains(t, err, "version 1")
		now, err := s.Agent(t.Context(), rec.Ref)
		require.NoError(t, err)
		require.Equal(t, rec, now)
	},
	"a terminated agent's manifest is as it was": func(t *testing.T, s store.Store) {
		rec := createAgent(t, s, newAgent("default", "reporter"))
		putState(t, s, rec.ID, 1, agent.Terminated)
		_, err := s.UpdateManifest(t.Context(), rec.ID, 0, []byte(`{}`), store.AgentSpec{})
		requireKind(t, agent.ErrConflict, err)
	},
	"labels follow the manifest": func(t *testing.T, s store.Store) {
		n := newAgent("default", "reporter")
		n.Spec.Labels = map[string]string{"team": "safety", "stage": "one"}
		rec := createAgent(t, s, n)
		spec := store.AgentSpec{Labels: map[string]string{"team": "ops"}}
		rec, err := s.UpdateManifest(t.Context(), rec.ID, 1, []byte(`{}`), spec)
		require.NoError(t, err)
		require.Equal(t, spec.Labels, rec.Spec.Labels)
		for _, c := range []struct {
			labels map[string]string
			found  int
		}{{map[string]string{"team": "safety"}, 0}, {map[string]string{"stage": "one"}, 0}, {map[string]string{"team": "ops"}, 1}} {
			found, _, err := s.ListAgents(t.Context(), store.AgentFilter{Labels: c.labels}, store.Page{})
			require.NoError(t, err)
			require.Len(t, found, c.found, "%v", c.labels)
		}
	},
}
