package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// told is one thing that is said of a task.
type told struct {
	seq      int64
	state    agent.TaskState
	node     agent.NodeID
	progress float64 // of attempt 1, at that second; 0 for none
}

func drawTold(t *rapid.T) told {
	return told{
		seq:      rapid.Int64Range(1, 8).Draw(t, "seq"),
		state:    rapid.SampledFrom(append([]agent.TaskState{""}, agent.TaskStates...)).Draw(t, "state"),
		node:     rapid.SampledFrom([]agent.NodeID{"", "n1", "n2"}).Draw(t, "node"),
		progress: float64(rapid.IntRange(0, 5).Draw(t, "progress")),
	}
}

// expect is the model: what a task's row is to say after these, in this order.
func expect(words []told) (seq int64, state agent.TaskState, node agent.NodeID, progress float64) {
	state = agent.TaskWaiting
	for _, w := range words {
		if w.state != "" && w.seq > seq {
			seq, state = w.seq, w.state
			if w.node != "" {
				node = w.node
			}
		}
		progress = max(progress, w.progress)
	}
	return seq, state, node, progress
}

var propertyTests = map[string]func(*testing.T, store.Store){
	"whatever is said of a task in whatever order, its row is what the newest words say": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		var tasks atomic.Int64
		rapid.Check(t, func(rt *rapid.T) {
			task := createTask(t, s, newTask(a, agent.TaskID(fmt.Sprint("t", tasks.Add(1)))))
			words := rapid.SliceOfN(rapid.Custom(drawTold), 1, 12).Draw(rt, "words")
			for _, w := range words {
				p := projection(task, w.seq, w.state)
				p.Node = w.node
				if w.progress > 0 {
					p.Progress = &store.Progress{Percent: w.progress, At: at(int(w.progress))}
				}
				if p.State == "" && p.Progress == nil {
					continue
				}
				if err := s.ProjectTask(context.Background(), p); err != nil {
					rt.Fatal(err)
				}
			}
			seq, state, node, progress := expect(words)
			got, err := s.Task(context.Background(), "default", task.Spec.Task)
			if err != nil {
				rt.Fatal(err)
			}
			require.Equal(rt, seq, got.Seq)
			require.Equal(rt, state, got.State)
			require.Equal(rt, node, got.Node)
			require.Equal(rt, state.Final(), !got.EndedAt.IsZero())
			if progress > 0 {
				require.EqualValues(rt, progress, got.Progress.Percent)
			} else {
				require.Nil(rt, got.Progress)
			}
		})
	},
	"paging gives what one large page gives, whatever the size of the pages": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		states := []agent.TaskState{agent.TaskRunning, agent.TaskSucceeded, agent.TaskQueued}
		for i := range 40 {
			n := newTask(a, agent.TaskID(fmt.Sprintf("t%02d", i*7%40)))
			n.At = at(i % 5)
			project(t, s, projection(createTask(t, s, n), 1, states[i%len(states)]))
		}
		rapid.Check(t, func(rt *rapid.T) {
			f := store.TaskFilter{States: rapid.SliceOfDistinct(rapid.SampledFrom(states), rapid.ID).Draw(rt, "states")}
			limit := rapid.IntRange(1, 41).Draw(rt, "limit")
			whole, next, err := s.ListTasks(context.Background(), f, store.Page{Limit: 100})
			require.NoError(rt, err)
			require.Empty(rt, next)
			paged := pages(t, limit, func(p store.Page) ([]store.Task, store.Cursor, error) {
				return s.ListTasks(context.Background(), f, p)
			}, nil)
			require.Equal(rt, whole, paged)
		})
	},
}

var conductTests = map[string]func(*testing.T, store.Store){
	"it answers": func(t *testing.T, s store.Store) {
		require.NoError(t, s.Ping(t.Context()))
	},
	"a context that is done ends reads and writes before they begin": func(t *testing.T, s store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := s.CreateAgent(ctx, newAgent("default", "worker"), nil)
		require.ErrorIs(t, err, context.Canceled)
		_, _, err = s.ListAgents(ctx, store.AgentFilter{}, store.Page{})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, s.MarkTaskStarted(ctx, "default", "x"), context.Canceled)
		_, err = s.Agent(t.Context(), agent.Ref{Namespace: "default", Name: "worker"})
		requireKind(t, agent.ErrNotFound, err)
		late, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		requireKind(t, agent.ErrUnavailable, s.PutNode(late, store.Node{ID: "n"}))
	},
	"once closed it is unavailable, and closing again is no error": func(t *testing.T, s store.Store) {
		createAgent(t, s, newAgent("default", "worker"))
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		_, err := s.Agent(t.Context(), agent.Ref{Namespace: "default", Name: "worker"})
		requireKind(t, agent.ErrUnavailable, err)
		_, _, err = s.CreateAgent(t.Context(), newAgent("default", "other"), nil)
		requireKind(t, agent.ErrUnavailable, err)
		requireKind(t, agent.ErrUnavailable, s.PutNode(t.Context(), store.Node{ID: "n"}))
		requireKind(t, agent.ErrUnavailable, s.Ping(t.Context()))
	},
	"closing lets the writes under way end, and refuses what comes after": func(t *testing.T, s store.Store) {
		var acknowledged, begun atomic.Int64
		closing := make(chan error, 1)
		inParallel(t, racers, func(ctx context.Context, i int) error {
			for n := range 50 {
				if begun.Add(1) == racers*10 {
					closing <- s.Close()
				}
				if err := s.PutNode(ctx, store.Node{ID: agent.NodeID(fmt.Sprint(i, ".", n))}); err != nil {
					return mustBe(agent.ErrUnavailable, err)
				}
				acknowledged.Add(1)
			}
			return nil
		})
		require.NoError(t, <-closing)
		require.Positive(t, acknowledged.Load())
		require.Less(t, acknowledged.Load(), int64(racers*50))
	},
}
