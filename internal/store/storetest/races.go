package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// inParallel begins n calls at the same moment; none may fail.
func inParallel(t testing.TB, n int, call func(ctx context.Context, i int) error) {
	t.Helper()
	begin := make(chan struct{})
	g, ctx := errgroup.WithContext(t.Context())
	for i := range n {
		g.Go(func() error {
			<-begin
			return call(ctx, i)
		})
	}
	close(begin)
	require.NoError(t, g.Wait())
}

const racers = 12

var raceTests = map[string]func(*testing.T, store.Store){
	"of creations of one name at once, one wins and the others are told": func(t *testing.T, s store.Store) {
		for generation := range int64(3) {
			var won atomic.Int64
			inParallel(t, racers, func(ctx context.Context, i int) error {
				n := newAgent("default", "worker")
				n.Manifest = []byte(fmt.Sprint(i))
				rec, _, err := s.CreateAgent(ctx, n, nil)
				if err == nil {
					won.Add(1)
					if rec.Generation != generation+1 {
						return fmt.Errorf("generation %d", rec.Generation)
					}
					return nil
				}
				return mustBe(agent.ErrConflict, err)
			})
			require.EqualValues(t, 1, won.Load())
			rec, err := s.Agent(t.Context(), agent.Ref{Namespace: "default", Name: "worker"})
			require.NoError(t, err)
			putState(t, s, rec.ID, 1, agent.Terminated)
		}
	},
	"of identical creations at once, one is made and the others replay it": func(t *testing.T, s store.Store) {
		var made atomic.Int64
		recs := make([]store.Agent, racers)
		inParallel(t, racers, func(ctx context.Context, i int) error {
			rec, replayed, err := s.CreateAgent(ctx, newAgent("default", "worker"), key("s", "k", "h", epoch))
			if !replayed {
				made.Add(1)
			}
			recs[i] = rec
			return err
		})
		require.EqualValues(t, 1, made.Load())
		for _, rec := range recs {
			require.Equal(t, recs[0], rec)
		}
		made.Store(0)
		tasks := make([]store.Task, racers)
		inParallel(t, racers, func(ctx context.Context, i int) error {
			n := newTask(recs[0], agent.TaskID(fmt.Sprint("t", i))) // the server makes an ID for each request
			rec, replayed, err := s.CreateTask(ctx, n, key("t", "k", "h", epoch))
			if !replayed {
				made.Add(1)
			}
			tasks[i] = rec
			return err
		})
		require.EqualValues(t, 1, made.Load())
		for _, rec := range tasks {
			require.Equal(t, tasks[0], rec)
		}
		require.Len(t, listedTasks(t, s, store.TaskFilter{}), 1)
	},
	"of creations of one task ID at once, the identical replay and the others are told": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		var made, conflicts atomic.Int64
		inParallel(t, racers, func(ctx context.Context, i int) error {
			n := newTask(a, "first")
			n.Spec.Params = fmt.Appendf(nil, `{"of":%d}`, i%2)
			_, replayed, err := s.CreateTask(ctx, n, nil)
			switch {
			case err != nil:
				conflicts.Add(1)
				return mustBe(agent.ErrConflict, err)
			case !replayed:
				made.Add(1)
			}
			return nil
		})
		require.EqualValues(t, 1, made.Load())
		require.EqualValues(t, racers/2, conflicts.Load())
	},
	"of updates of one version at once, one wins": func(t *testing.T, s store.Store) {
		a := createAgent(t, s, newAgent("default", "worker"))
		var won atomic.Int64
		inParallel(t, racers, func(ctx context.Context, i int) error {
			_, err := s.UpdateManifest(ctx, a.ID, 1, fmt.Appendf(nil, `{"by":%d}`, i), store.AgentSpec{Labels: map[string]string{"by": fmt.Sprint(i)}})
			if err == nil {
				won.Add(1)
				return nil
			}
			return mustBe(agent.ErrConflict, err)
		})
		require.EqualValues(t, 1, won.Load())
		inParallel(t, racers, func(ctx context.Context, i int) error {
			_, err := s.UpdateManifest(ctx, a.ID, 0, fmt.Appendf(nil, `{"by":%d}`, i), store.AgentSpec{Labels: map[string]string{"by": fmt.Sprint(i)}})
			return err
		})
		rec, err := s.Agent(t.Context(), a.Ref)
		require.NoError(t, err)
		require.EqualValues(t, 2+racers, rec.ManifestVersion)
		manifest, err := s.Manifest(t.Context(), a.ID, 0)
		require.NoError(t, err)
		require.JSONEq(t, fmt.Sprintf(`{"by":%s}`, rec.Spec.Labels["by"]), string(manifest))
	},
	"of leaders at once, one leads": func(t *testing.T, s store.Store) {
		for term := range 5 {
			var leads atomic.Int64
			inParallel(t, racers, func(ctx context.Context, i int) error {
				epoch, ok, err := s.AcquireLeadership(ctx, "scheduler", fmt.Sprint(term, ".", i), time.Second, at(2*term))
				if ok {
					leads.Add(1)
					if epoch != int64(term+1) {
						return fmt.Errorf("epoch %d in term %d", epoch, term)
					}
				}
				return err
			})
			require.EqualValues(t, 1, leads.Load())
		}
	},
	"of grants of one request at once, one is made": func(t *testing.T, s store.Store) {
		inParallel(t, racers, func(ctx context.Context, i int) error {
			_, err := s.RequestLease(ctx, newLease("l1", i))
			return err
		})
		var made atomic.Int64
		var node atomic.Value
		inParallel(t, racers, func(ctx context.Context, i int) error {
			err := s.GrantLease(ctx, "l1", agent.NodeID(fmt.Sprint("n", i)), int64(i), at(1))
			if err == nil {
				made.Add(1)
				node.Store(agent.NodeID(fmt.Sprint("n", i)))
				return nil
			}
			return mustBe(agent.ErrConflict, err)
		})
		require.EqualValues(t, 1, made.Load())
		leases := open(t, s)
		require.Len(t, leases, 1)
		require.Equal(t, node.Load(), leases[0].Node)
	},
	"words that arrive at once and in any order leave the newest": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		id := agent.ID{Ref: agent.Ref{Namespace: "default", Name: "worker"}, Generation: 1}
		inParallel(t, 30, func(ctx context.Context, i int) error {
			seq := int64(30 - i)
			p := projection(task, seq, agent.TaskRunning)
			p.Attempt, p.Why = 1, fmt.Sprint("why ", seq)
			if seq == 30 {
				p.State, p.Outcome = agent.TaskFailed, ended(failed("exit 3"), "report.html")
			}
			if err := s.ProjectTask(ctx, p); err != nil {
				return err
			}
			said := store.Progress{Percent: float64(seq), At: at(int(seq))}
			if err := s.ProjectTask(ctx, store.TaskProjection{Namespace: "default", Task: "first", Seq: seq, Attempt: 1, Progress: &said}); err != nil {
				return err
			}
			return s.ProjectAgent(ctx, store.AgentProjection{
				ID: id, Seq: seq, State: agent.Running, Active: int(seq), At: at(int(seq)),
				Transitions: []store.Transition{{Number: seq, From: agent.Ready, To: agent.Running, Cause: fmt.Sprint(seq), At: at(int(seq))}},
			})
		})
		got := readTask(t, s, task)
		require.Equal(t, agent.TaskFailed, got.State)
		require.Equal(t, "why 30", got.Why)
		require.Equal(t, at(30), got.EndedAt)
		require.EqualValues(t, 30, got.Progress.Percent)
		a, err := s.Agent(t.Context(), id.Ref)
		require.NoError(t, err)
		require.Equal(t, 30, a.Active)
		history, _, err := s.AgentHistory(t.Context(), id, store.Page{})
		require.NoError(t, err)
		require.Len(t, history, 30)
		require.True(t, slices.IsSortedFunc(history, func(a, b store.Transition) int { return int(a.Number - b.Number) }))
	},
}

func mustBe(kind, err error) error {
	if agent.KindOf(err) != kind {
		return fmt.Errorf("it should be of kind %q: %w", kind, err)
	}
	return nil
}
