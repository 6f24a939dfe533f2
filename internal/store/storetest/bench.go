package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// Bench measures an engine: durable writes a second, and how long callers
// wait for what they do most.
func Bench(b *testing.B, open func(testing.TB) store.Store) {
	for _, callers := range []int{1, 16, 64} {
		for name, bench := range map[string]func(testing.TB, store.Store) func(context.Context, int64) error{
			"append-event": benchAppend, "project-task": benchProject, "create-agent": benchCreate,
		} {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				s := open(b)
				defer func() { require.NoError(b, s.Close()) }()
				measure(b, callers, bench(b, s))
			})
		}
	}
	b.Run("lists", func(b *testing.B) { benchLists(b, open) })
}

// measure has callers do b.N calls between them, and reports their rate and
// how long a caller waits.
func measure(b *testing.B, callers int, call func(context.Context, int64) error) {
	var next atomic.Int64
	var mu sync.Mutex
	var waits []time.Duration
	b.ResetTimer()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			var mine []time.Duration
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				begin := time.Now()
				if err := call(b.Context(), i); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, mine...)
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(waits)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	for name, share := range map[string]int{"p50-µs": 50, "p99-µs": 99} {
		b.ReportMetric(float64(waits[min(len(waits)-1, len(waits)*share/100)].Microseconds()), name)
	}
}

func benchAppend(_ testing.TB, s store.Store) func(context.Context, int64) error {
	return func(ctx context.Context, i int64) error {
		e := newEvent(fmt.Sprint(i), 1)
		e.Decision = &agent.Decision{Verdict: agent.Allow, Rules: []string{"rule"}, Revision: "1"}
		return s.AppendEvents(ctx, []store.Event{e})
	}
}

func benchProject(t testing.TB, s store.Store) func(context.Context, int64) error {
	const tasks = 1000
	a := createAgent(t, s, newAgent("default", "worker"))
	for i := range tasks {
		createTask(t, s, newTask(a, agent.TaskID(fmt.Sprint("t", i))))
	}
	states := []agent.TaskState{agent.TaskQueued, agent.TaskStarting, agent.TaskRunning}
	return func(ctx context.Context, i int64) error {
		return s.ProjectTask(ctx, store.TaskProjection{
			Namespace: "default", Task: agent.TaskID(fmt.Sprint("t", i%tasks)), Seq: i, State: states[i%3], Attempt: 1, Why: "is measured", At: at(1),
		})
	}
}

func benchCreate(_ testing.TB, s store.Store) func(context.Context, int64) error {
	return func(ctx context.Context, i int64) error {
		n := newAgent("default", agent.Name(fmt.Sprint("agent-", i)))
		_, _, err := s.CreateAgent(ctx, n, key("agent.create default", fmt.Sprint(i), "h", epoch))
		return err
	}
}

// benchRows is how many tasks lists are measured over.
const benchRows = 50_000

func benchLists(b *testing.B, open func(testing.TB) store.Store) {
	s := open(b)
	defer func() { require.NoError(b, s.Close()) }()
	a := createAgent(b, s, newAgent("default", "worker"))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1); i <= benchRows; i = next.Add(1) {
				n := newTask(a, agent.TaskID(fmt.Sprint("t", i)))
				n.At, n.Spec.Params = at(int(i)), json.RawMessage(`{}`)
				_, _, err := s.CreateTask(b.Context(), n, nil)
				p := store.TaskProjection{Namespace: "default", Task: n.Spec.Task, Seq: 1, State: agent.TaskSucceeded, Node: "n1", At: at(int(i))}
				if i%1000 == 0 {
					p.State = agent.TaskRunning
				}
				if err == nil {
					err = s.ProjectTask(b.Context(), p)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	_, deep, err := s.ListTasks(b.Context(), store.TaskFilter{}, store.Page{Limit: store.MaxLimit})
	require.NoError(b, err)
	for name, call := range map[string]func(context.Context) error{
		"newest": func(ctx context.Context) error {
			_, _, err := s.ListTasks(ctx, store.TaskFilter{Namespace: "default"}, store.Page{})
			return err
		},
		"later-page": func(ctx context.Context) error {
			_, _, err := s.ListTasks(ctx, store.TaskFilter{}, store.Page{After: deep})
			return err
		},
		"rare-state": func(ctx context.Context) error {
			_, _, err := s.ListTasks(ctx, store.TaskFilter{Namespace: "default", States: []agent.TaskState{agent.TaskRunning}}, store.Page{})
			return err
		},
		"of-agent": func(ctx context.Context) error {
			_, _, err := s.ListTasks(ctx, store.TaskFilter{Namespace: "default", Agent: "worker", Generation: 1}, store.Page{})
			return err
		},
		"one-task": func(ctx context.Context) error { _, err := s.Task(ctx, "default", "t7"); return err },
		"count":    func(ctx context.Context) error { _, err := s.CountTasks(ctx); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, call(b.Context()))
			}
		})
	}
}
