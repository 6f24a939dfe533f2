//go:build dev

// Package durability runs the real workflows on a real Temporal server, with
// everything around them in memory, and replays the histories that they left.
package durability

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/temporaldev"
	symbi "symbi.dev/symbi/worker"
	"symbi.dev/symbi/workflows"
	"symbi.dev/symbi/workflows/api"

	enums "go.temporal.io/api/enums/v1"
)

const node agent.NodeID = "n1"

// world is what surrounds the workflows.
type world struct {
	t *testing.T
	c client.Client

	mu      sync.Mutex
	changed *sync.Cond
	states  []agent.State // of the agent, in order
	ends    map[agent.TaskID]agent.TaskState
	running map[agent.TaskID]int // how often each program was started
	frozen  map[agent.TaskID]bool
	free    map[agent.TaskID]chan struct{} // closed when the program may end
}

func newWorld(t *testing.T) *world {
	t.Helper()
	attributes := map[string]enums.IndexedValueType{}
	for _, name := range api.KeywordAttrs {
		attributes[name] = enums.INDEXED_VALUE_TYPE_KEYWORD
	}
	for _, name := range api.KeywordListAttrs {
		attributes[name] = enums.INDEXED_VALUE_TYPE_KEYWORD_LIST
	}
	s, err := temporaldev.Start(t.Context(), temporaldev.Config{Dir: t.TempDir(), Token: "a token of this test only", SearchAttributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	c, err := client.Dial(s.ClientOptions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &world{
		t: t, c: c, ends: map[agent.TaskID]agent.TaskState{}, running: map[agent.TaskID]int{},
		frozen: map[agent.TaskID]bool{}, free: map[agent.TaskID]chan struct{}{},
	}
	w.changed = sync.NewCond(&w.mu)
	w.work(api.Queue, true)
	w.work(api.NodeQueue(node), false)
	return w
}

// work polls a task queue.
func (w *world) work(queue string, shared bool) {
	wk := worker.New(w.c, queue, worker.Options{DisableWorkflowWorker: !shared})
	register := func(name string, fn any) {
		wk.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	if shared {
		symbi.RegisterWorkflows(wk)
		w.registerSteps(register)
	} else {
		register(workflows.StepRun, w.run)
		register(workflows.StepControl, w.control)
	}
	if err := wk.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(wk.Stop)
}

func (w *world) registerSteps(register func(string, any)) {
	register(workflows.StepInitialise, func(context.Context, workflows.InitialiseInput) (workflows.InitialiseResult, error) {
		return workflows.InitialiseResult{MaxConcurrent: 2, Tier: agent.TierGVisor, Priority: agent.Normal}, nil
	})
	register(workflows.StepJudge, func(context.Context, workflows.JudgeInput) (workflows.JudgeResult, error) {
		return workflows.JudgeResult{Allowed: true, Principal: agent.PrincipalAdmin}, nil
	})
	register(workflows.StepPublish, func(_ context.Context, in workflows.PublishInput) error {
		w.note(func() {
			for _, t := range in.Transitions {
				// A step that was taken before its worker could say so is
				// taken again: numbers tell, as they do in the store.
				if t.Number == int64(len(w.states))+1 {
					w.states = append(w.states, t.To)
				}
			}
		})
		return nil
	})
	register(workflows.StepTell, w.tell)
	register(workflows.StepArrive, func(ctx context.Context, in workflows.ArriveInput) (workflows.ArriveResult, error) {
		gone, err := w.signal(ctx, strikes.WorkflowID(), api.SignalTaskArrived, api.TaskArrived{Task: in.Task})
		return workflows.ArriveResult{AgentGone: gone}, err
	})
	register(workflows.StepAssess, func(context.Context, workflows.AssessInput) (workflows.Assessment, error) {
		return workflows.Assessment{Decision: agent.Decision{Verdict: agent.Allow}, Tier: agent.TierGVisor}, nil
	})
	register(workflows.StepNote, func(context.Context, workflows.NoteInput) error { return nil })
	register(workflows.StepLease, func(_ context.Context, in workflows.LeaseInput) (workflows.Lease, error) {
		return workflows.Lease{ID: in.ID, Node: node, Epoch: 1, TTL: agent.Duration(time.Minute)}, nil
	})
	register(workflows.StepUnlease, func(context.Context, workflows.UnleaseInput) error { return nil })
	register(workflows.StepFinish, func(ctx context.Context, in workflows.FinishInput) error {
		w.note(func() { w.ends[in.Task] = in.State })
		_, err := w.signal(ctx, strikes.WorkflowID(), api.SignalTaskEnded, api.TaskEnded{Task: in.Task, State: in.State})
		return err
	})
}

func (w *world) tell(ctx context.Context, in workflows.TellInput) (workflows.TellResult, error) {
	var r workflows.TellResult
	for _, m := range in.Messages {
		by := api.Command{Principal: agent.PrincipalRuntime, Reason: m.Reason}
		var payload any = by
		if m.Signal != api.SignalCancel {
			o := api.Order{Seq: m.Seq, Holds: m.Holds, By: by}
			o.By.Request = o.Tag()
			payload = o
		}
		gone, err := w.signal(ctx, m.Task.WorkflowID(), m.Signal, payload)
		if err != nil {
			return r, err
		}
		if gone {
			r.Gone = append(r.Gone, m.Task.Task)
		}
	}
	return r, nil
}

// signal sends a signal; gone says that the workflow is over.
func (w *world) signal(ctx context.Context, id, name string, payload any) (gone bool, err error) {
	err = w.c.SignalWorkflow(ctx, id, "", name, payload)
	var absent *serviceerror.NotFound
	if errors.As(err, &absent) {
		return true, nil
	}
	return false, err
}

// run stands for a program: it ends when the test lets it, and not while it is frozen.
func (w *world) run(ctx context.Context, in workflows.RunInput) (*agent.Outcome, error) {
	task := in.Spec.Task
	var free chan struct{}
	w.note(func() {
		w.running[task]++
		w.frozen[task] = in.Frozen
		if w.free[task] == nil {
			w.free[task] = make(chan struct{})
		}
		free = w.free[task]
	})
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for {
		select {
		case <-free:
			w.await("a frozen program to be thawed", func() bool { return !w.frozen[task] })
			return &agent.Outcome{Tier: agent.TierGVisor}, nil
		case <-beat.C:
			activity.RecordHeartbeat(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w *world) control(_ context.Context, in workflows.ControlInput) error {
	w.note(func() {
		switch in.Op {
		case workflows.Freeze:
			w.frozen[in.Task] = true
		case workflows.Thaw:
			w.frozen[in.Task] = false
		case workflows.Stop:
			w.frozen[in.Task] = false
			w.letGo(in.Task)
		}
	})
	return nil
}

// letGo lets a program end. The caller holds the lock.
func (w *world) letGo(task agent.TaskID) {
	select {
	case <-w.free[task]:
	default:
		close(w.free[task])
	}
}

// note changes what is known, and wakes whoever waits for it.
func (w *world) note(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	w.changed.Broadcast()
}

// patience bounds every wait: the server runs beside everything else here.
const patience = 60 * time.Second

// await waits until something is so; ok is called under the lock.
func (w *world) await(what string, ok func() bool) {
	w.t.Helper()
	expired := false
	timer := time.AfterFunc(patience, func() { w.note(func() { expired = true }) })
	defer timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !ok() {
		if expired {
			w.t.Errorf("waited in vain for %s: states %v, running %v, frozen %v, ends %v", what, w.states, w.running, w.frozen, w.ends)
			return
		}
		w.changed.Wait()
	}
}
