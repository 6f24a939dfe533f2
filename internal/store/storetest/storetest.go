// Package storetest is what every engine of the store must do: one suite, run
// over each with the real engine behind it. It asserts what callers of
// store.Store may rely on, and nothing of how an engine does it.
//
// Times in it are given in microseconds, which is as fine as a store keeps them.
package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// Open gives an empty store; the suite closes it.
type Open func(t testing.TB) store.Store

// Run holds an engine to the contract.
func Run(t *testing.T, open Open) {
	for name, group := range map[string]map[string]func(*testing.T, store.Store){
		"agents": agentTests, "manifests": manifestTests, "agent lists": agentListTests, "projections of agents": agentProjectionTests,
		"tasks": taskTests, "task lists": taskListTests, "projections of tasks": taskProjectionTests,
		"checkpoints": checkpointTests, "idempotency": idempotencyTests, "leases": leaseTests, "leadership": leadershipTests, "nodes": nodeTests,
		"events": eventTests, "installation": installationTests, "races": raceTests, "properties": propertyTests,
		"the store itself": conductTests,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, test := range group {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := open(t)
					t.Cleanup(func() { require.NoError(t, s.Close()) })
					test(t, s)
				})
			}
		})
	}
}

// epoch is when the suite's stories begin.
var epoch = time.Date(2026, 3, 4, 5, 6, 7, 891234000, time.UTC)

// at is so many seconds into a story.
func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

// newAgent is an agent to be, with a manifest that is told from others by the name.
func newAgent(ns agent.Namespace, name agent.Name) store.NewAgent {
	return store.NewAgent{
		Ref: agent.Ref{Namespace: ns, Name: name}, Owner: "admin",
		Manifest: []byte(`{"name":"` + string(name) + `","note":"a < b & c > d – ü"}`),
		Spec:     store.AgentSpec{Priority: agent.Normal, MinTier: agent.TierGVisor},
		At:       epoch,
	}
}

// createAgent makes an agent that must succeed.
func createAgent(t testing.TB, s store.Store, a store.NewAgent) store.Agent {
	t.Helper()
	rec, replayed, err := s.CreateAgent(t.Context(), a, nil)
	require.NoError(t, err)
	require.False(t, replayed)
	return rec
}

// putState projects no more than a state.
func putState(t testing.TB, s store.Store, id agent.ID, seq int64, state agent.State) {
	t.Helper()
	require.NoError(t, s.ProjectAgent(t.Context(), store.AgentProjection{ID: id, Seq: seq, State: state, At: at(int(seq))}))
}

// newTask is a task to be of an agent.
func newTask(a store.Agent, id agent.TaskID) store.NewTask {
	return store.NewTask{
		Spec: agent.TaskSpec{
			TaskRef:         agent.TaskRef{Namespace: a.Namespace, Agent: a.Name, Task: id},
			AgentGeneration: a.Generation, ManifestVersion: a.ManifestVersion,
			Params:      json.RawMessage(`{"top":20,"also":"<&>"}`),
			Inputs:      []agent.InputRef{{Name: "reports", Digest: digest(1), Bytes: 12, Sensitivity: agent.Public, MediaType: "text/csv"}},
			SubmittedBy: "admin",
		},
		Priority: agent.High, At: epoch,
	}
}

// createTask makes a task that must succeed.
func createTask(t testing.TB, s store.Store, n store.NewTask) store.Task {
	t.Helper()
	rec, replayed, err := s.CreateTask(t.Context(), n, nil)
	require.NoError(t, err)
	require.False(t, replayed)
	return rec
}

// oneTask makes an agent and a task of it.
func oneTask(t testing.TB, s store.Store) store.Task {
	t.Helper()
	return createTask(t, s, newTask(createAgent(t, s, newAgent("default", "worker")), "first"))
}

// readTask reads a task that must be there.
func readTask(t testing.TB, s store.Store, like store.Task) store.Task {
	t.Helper()
	rec, err := s.Task(t.Context(), like.Spec.Namespace, like.Spec.Task)
	require.NoError(t, err)
	return rec
}

// projection is of a task, with its sequence number and state.
func projection(task store.Task, seq int64, state agent.TaskState) store.TaskProjection {
	return store.TaskProjection{Namespace: task.Spec.Namespace, Task: task.Spec.Task, Seq: seq, State: state, At: at(int(seq))}
}

// project writes a projection that must succeed.
func project(t testing.TB, s store.Store, p store.TaskProjection) {
	t.Helper()
	require.NoError(t, s.ProjectTask(t.Context(), p))
}

func digest(n int) agent.Digest { return agent.Digest(fmt.Sprintf("sha256:%064x", n)) }

// failed is a failure that is told from others by its cause.
func failed(cause string) *agent.Failure {
	code := 3
	return &agent.Failure{
		Class: agent.FailProgram, Code: agent.CodeExit, Cause: cause, NextStep: "look at the log", ExitCode: &code,
	}
}

// requireKind demands an error of a kind, with a message for a person.
func requireKind(t testing.TB, kind, err error) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	var told *agent.Error
	require.True(t, errors.As(err, &told), "an error of a kind is an agent.Error: %v", err)
	require.NotEmpty(t, told.Message)
	require.NotContains(t, told.Message, "SQL", "messages for callers carry no cause")
}

// pages reads a whole list, some items at a time, and calls between each two pages.
func pages[T any](t testing.TB, limit int, read func(store.Page) ([]T, store.Cursor, error), between func()) []T {
	t.Helper()
	var all []T
	page := store.Page{Limit: limit}
	for {
		items, next, err := read(page)
		require.NoError(t, err)
		require.LessOrEqual(t, len(items), limit)
		all = append(all, items...)
		if next == "" {
			return all
		}
		require.Len(t, items, limit, "only the last page is shorter")
		page.After = next
		if between != nil {
			between()
		}
	}
}
