package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

var taskTests = map[string]func(*testing.T, store.Store){
	"a created task is read as it was written": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		n := newTask(a, "first")
		n.Spec.RetryOf = "zeroth"
		rec := createTask(t, s, n)
		require.Equal(t, store.Task{
			Spec: n.Spec, State: agent.TaskWaiting, Priority: agent.High, CreatedAt: epoch, UpdatedAt: epoch,
		}, rec)
		require.Equal(t, rec, readTask(t, s, rec))
	},
	"a task needs its agent's generation": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		a.Generation = 2
		_, _, err := s.CreateTask(t.Context(), newTask(a, "first"), nil)
		requireKind(t, agent.ErrNotFound, err)
		_, err = s.Task(t.Context(), "default", "first")
		requireKind(t, agent.ErrNotFound, err)
	},
	"the same task again is a repeat, another of that ID a conflict": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		first := createTask(t, s, newTask(a, "first"))
		project(t, s, projection(first, 1, agent.TaskRunning))
		again, replayed, err := s.CreateTask(t.Context(), newTask(a, "first"), nil)
		require.NoError(t, err)
		require.True(t, replayed)
		require.Equal(t, agent.TaskRunning, again.State)

		other := newTask(a, "first")
		other.Spec.Params = []byte(`{"top":21}`)
		_, _, err = s.CreateTask(t.Context(), other, nil)
		requireKind(t, agent.ErrConflict, err)
		require.Equal(t, first.Spec, readTask(t, s, first).Spec)

		elsewhere := createAgent(t, s, newAgent("other", "worker"))
		createTask(t, s, newTask(elsewhere, "first"))
	},
	"a task that is not there is not found": func(t *testing.T, s store.Store) {
		_, err := s.Task(t.Context(), "default", "none")
		requireKind(t, agent.ErrNotFound, err)
		_, err = s.Artifacts(t.Context(), "default", "none")
		requireKind(t, agent.ErrNotFound, err)
		requireKind(t, agent.ErrNotFound, s.MarkTaskStarted(t.Context(), "default", "none"))
		for _, p := range []store.TaskProjection{
			{State: agent.TaskRunning}, {State: agent.TaskFailed}, {Progress: &store.Progress{Percent: 1, At: at(1)}},
		} {
			p.Namespace, p.Task, p.Seq = "default", "none", 1
			requireKind(t, agent.ErrNotFound, s.ProjectTask(t.Context(), p))
		}
	},
	"tasks whose workflow was never confirmed are found, oldest first": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		var tasks []store.Task
		for i, id := range []agent.TaskID{"c", "a", "b", "d", "late"} {
			n := newTask(a, id)
			n.At = at(i)
			tasks = append(tasks, createTask(t, s, n))
		}
		ids := func(limit int) (out []agent.TaskID) {
			recs, err := s.UnstartedTasks(t.Context(), at(4), limit)
			require.NoError(t, err)
			for _, r := range recs {
				out = append(out, r.Spec.Task)
			}
			return out
		}
		require.Equal(t, []agent.TaskID{"c", "a", "b", "d"}, ids(10))
		require.Equal(t, []agent.TaskID{"c"}, ids(1))
		require.NoError(t, s.MarkTaskStarted(t.Context(), "default", "a"))
		require.NoError(t, s.MarkTaskStarted(t.Context(), "default", "a"), "twice is no error")
		project(t, s, projection(tasks[2], 1, agent.TaskHeld))
		project(t, s, store.TaskProjection{Namespace: "default", Task: "d", Progress: &store.Progress{At: at(1)}})
		require.Equal(t, []agent.TaskID{"c"}, ids(10))
		require.True(t, readTask(t, s, tasks[1]).Started)
	},
	"counts are by state": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		for i, state := range []agent.TaskState{agent.TaskRunning, agent.TaskRunning, agent.TaskSucceeded, agent.TaskWaiting} {
			rec := createTask(t, s, newTask(a, agent.TaskID(fmt.Sprint("t", i))))
			project(t, s, projection(rec, 1, state))
		}
		counts, err := s.CountTasks(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[agent.TaskState]int64{agent.TaskRunning: 2, agent.TaskSucceeded: 1, agent.TaskWaiting: 1}, counts)
	},
}

// listedTasks gives the IDs that a filter finds.
func listedTasks(t testing.TB, s store.Store, f store.TaskFilter) (out []agent.TaskID) {
	t.Helper()
	for _, r := range pages(t, 2, func(p store.Page) ([]store.Task, store.Cursor, error) { return s.ListTasks(t.Context(), f, p) }, nil) {
		out = append(out, r.Spec.Task)
	}
	return out
}

var taskListTests = map[string]func(*testing.T, store.Store){
	"each filter selects, newest first": func(t *testing.T, s store.Store) {
		old := createAgent(t, s, newAgent("default", "worker"))
		put := func(a store.Agent, id agent.TaskID, second int, p store.TaskProjection) {
			n := newTask(a, id)
			n.At = at(second)
			rec := createTask(t, s, n)
			p.Namespace, p.Task, p.Seq, p.At = rec.Spec.Namespace, rec.Spec.Task, 1, at(second)
			project(t, s, p)
		}
		put(old, "of-old", 1, store.TaskProjection{State: agent.TaskCancelled})
		putState(t, s, old.ID, 1, agent.Terminated)
		a := createAgent(t, s, newAgent("default", "worker"))
		b := createAgent(t, s, newAgent("default", "other"))
		c := createAgent(t, s, newAgent("elsewhere", "worker"))
		put(a, "running", 3, store.TaskProjection{State: agent.TaskRunning, Node: "n1"})
		put(a, "done", 2, store.TaskProjection{State: agent.TaskSucceeded, Node: "n2"})
		put(b, "of-other", 4, store.TaskProjection{State: agent.TaskRunning, Node: "n2"})
		put(c, "of-elsewhere", 5, store.TaskProjection{State: agent.TaskQueued})

		for name, x := range map[string]struct {
			f    store.TaskFilter
			want []agent.TaskID
		}{
			"none":       {store.TaskFilter{}, []agent.TaskID{"of-elsewhere", "of-other", "running", "done", "of-old"}},
			"namespace":  {store.TaskFilter{Namespace: "default"}, []agent.TaskID{"of-other", "running", "done", "of-old"}},
			"agent":      {store.TaskFilter{Namespace: "default", Agent: "worker"}, []agent.TaskID{"running", "done", "of-old"}},
			"generation": {store.TaskFilter{Namespace: "default", Agent: "worker", Generation: 2}, []agent.TaskID{"running", "done"}},
			"state":      {store.TaskFilter{States: []agent.TaskState{agent.TaskRunning}}, []agent.TaskID{"of-other", "running"}},
			"states": {store.TaskFilter{States: []agent.TaskState{agent.TaskRunning, agent.TaskQueued}},
				[]agent.TaskID{"of-elsewhere", "of-other", "running"}},
			"node":    {store.TaskFilter{Node: "n2"}, []agent.TaskID{"of-other", "done"}},
			"several": {store.TaskFilter{Node: "n2", States: []agent.TaskState{agent.TaskSucceeded}}, []agent.TaskID{"done"}},
		} {
			require.Equal(t, x.want, listedTasks(t, s, x.f), name)
		}
	},
	"pages neither repeat nor miss what was there, whatever joins meanwhile": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		var want []agent.TaskID
		for i := range 20 {
			n := newTask(a, agent.TaskID(fmt.Sprintf("t%02d", i)))
			n.At = at(i / 4) // ties
			createTask(t, s, n)
			want = append(want, n.Spec.Task)
		}
		slices.Reverse(want)
		joined := 0
		all := pages(t, 3, func(p store.Page) ([]store.Task, store.Cursor, error) {
			return s.ListTasks(t.Context(), store.TaskFilter{Namespace: "default"}, p)
		}, func() {
			joined++
			n := newTask(a, agent.TaskID(fmt.Sprintf("joined%02d", joined)))
			n.At = at(100 + joined)
			createTask(t, s, n)
		})
		var got []agent.TaskID
		for _, r := range all {
			got = append(got, r.Spec.Task)
		}
		require.Equal(t, want, got)
	},
	"recent errors are the newest, of a namespace or of all": func(t *testing.T, s store.Store) {
		for i, ns := range []agent.Namespace{"default", "other", "default"} {
			a := createAgent(t, s, newAgent(ns, agent.Name(fmt.Sprint("worker", i))))
			p := projection(createTask(t, s, newTask(a, agent.TaskID(fmt.Sprint("t", i)))), 1, agent.TaskFailed)
			p.Attempt, p.At, p.Outcome = 2, at(i), &agent.Outcome{Failure: failed(fmt.Sprint("cause ", i))}
			project(t, s, p)
		}
		record := func(i int, ns agent.Namespace) store.RecordedFailure {
			return store.RecordedFailure{
				At: at(i), Namespace: ns, Agent: agent.Name(fmt.Sprint("worker", i)), Task: agent.TaskID(fmt.Sprint("t", i)),
				Attempt: 2, Failure: *failed(fmt.Sprint("cause ", i)),
			}
		}
		for _, c := range []struct {
			ns    agent.Namespace
			limit int
			want  []store.RecordedFailure
		}{
			{"", 10, []store.RecordedFailure{record(2, "default"), record(1, "other"), record(0, "default")}},
			{"", 1, []store.RecordedFailure{record(2, "default")}},
			{"default", 0, []store.RecordedFailure{record(2, "default"), record(0, "default")}},
			{"none", 10, nil},
		} {
			got, err := s.RecentErrors(t.Context(), c.ns, c.limit)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		}
	},
}
