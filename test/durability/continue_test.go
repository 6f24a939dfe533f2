//go:build dev

package durability

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	enums "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	"symbi.dev/symbi/agent"
	symbi "symbi.dev/symbi/worker"
	"symbi.dev/symbi/workflows/api"
)

var record = flag.String("record", "", "write the histories below this folder, for workflows/testdata")

// strikes continues as new after every third signal.
var strikes = api.AgentInput{
	ID:    agent.ID{Ref: agent.Ref{Namespace: "default", Name: "strikes"}, Generation: 1},
	Owner: agent.PrincipalAdmin, Priority: agent.Normal, ManifestVersion: 1, ContinueAfter: 3,
}

func (w *world) start(id, name string, in any) {
	w.t.Helper()
	_, err := w.c.ExecuteWorkflow(w.t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: api.Queue}, name, in)
	if err != nil {
		w.t.Fatal(err)
	}
}

func taskRef(id agent.TaskID) agent.TaskRef {
	return agent.TaskRef{Namespace: "default", Agent: "strikes", Task: id}
}

func (w *world) submit(ids ...agent.TaskID) {
	w.t.Helper()
	for _, id := range ids {
		w.start(taskRef(id).WorkflowID(), api.TaskWorkflow, api.TaskInput{
			Spec: agent.TaskSpec{TaskRef: taskRef(id), AgentGeneration: 1, ManifestVersion: 1}, Priority: agent.Normal,
		})
	}
}

func (w *world) order(signal string) {
	w.t.Helper()
	if _, err := w.signal(w.t.Context(), strikes.WorkflowID(), signal, api.Command{Principal: agent.PrincipalAdmin}); err != nil {
		w.t.Fatal(err)
	}
}

// TestContinueAsNewWithRunningAndSuspendedTasks has an agent continue as new
// every third event while its tasks run, stand still and wait, and checks what
// a user would: every task ran once and ended well.
func TestContinueAsNewWithRunningAndSuspendedTasks(t *testing.T) {
	w := newWorld(t)
	w.start(strikes.WorkflowID(), api.AgentWorkflow, strikes)
	all := []agent.TaskID{"t1", "t2", "t3", "t4", "t5", "t6"}
	w.submit(all[:4]...)
	w.await("two tasks to run", func() bool { return len(w.running) == 2 })

	for range 3 {
		w.order(api.SignalSuspend)
		w.await("both to be frozen", func() bool { return w.frozenNow() == 2 })
		w.order(api.SignalResume)
		w.await("both to be thawed", func() bool { return w.frozenNow() == 0 })
	}
	w.order(api.SignalSuspend)
	w.await("both to be frozen", func() bool { return w.frozenNow() == 2 })
	w.submit(all[4:]...)
	w.order(api.SignalResume)

	for done := 1; done <= len(all); done++ {
		w.await("a task to run", func() bool { return len(w.running)-len(w.ends) > 0 && len(w.running) >= done })
		w.note(func() {
			for id := range w.running {
				if _, over := w.ends[id]; !over {
					w.letGo(id)
					return
				}
			}
		})
		w.await("it to end", func() bool { return len(w.ends) >= done })
	}
	w.order(api.SignalTerminate)
	w.await("the agent to end", func() bool { return slices.Contains(w.states, agent.Terminated) })

	for _, id := range all {
		if w.running[id] != 1 || w.ends[id] != agent.TaskSucceeded {
			t.Errorf("task %s was started %d times and is %q", id, w.running[id], w.ends[id])
		}
	}
	for i := 1; i < len(w.states); i++ {
		if !agent.CanMove(w.states[i-1], w.states[i]) {
			t.Errorf("step %s -> %s is no arrow", w.states[i-1], w.states[i])
		}
	}
	runs := w.histories()
	if len(runs) < 5+len(all) {
		t.Errorf("%d runs of workflows, want the agent's many and %d tasks", len(runs), len(all))
	}
	replay(t, runs)
	if *record != "" {
		save(t, *record, runs)
	}
}

// frozenNow counts the frozen programs that have not ended. The caller holds the lock.
func (w *world) frozenNow() int {
	n := 0
	for id, frozen := range w.frozen {
		if _, over := w.ends[id]; frozen && !over {
			n++
		}
	}
	return n
}

// histories reads the histories of all runs of all workflows.
func (w *world) histories() map[string]*historypb.History {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	all := map[string]*historypb.History{}
	var ids []string
	for _, id := range []agent.TaskID{"t1", "t2", "t3", "t4", "t5", "t6"} {
		ids = append(ids, taskRef(id).WorkflowID())
	}
	for _, id := range append(ids, strikes.WorkflowID()) {
		for n, run := 0, ""; ; n++ {
			h := new(historypb.History)
			it := w.c.GetWorkflowHistory(ctx, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			for it.HasNext() {
				e, err := it.Next()
				if err != nil {
					w.t.Fatal(err)
				}
				h.Events = append(h.Events, e)
			}
			all[fmt.Sprintf("%s.%d", id, n)] = h
			if run = h.Events[0].GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId(); run == "" {
				break
			}
		}
	}
	return all
}

// replay runs the workflows' code against histories: it must take the same steps.
func replay(t *testing.T, runs map[string]*historypb.History) {
	t.Helper()
	r := worker.NewWorkflowReplayer()
	symbi.RegisterWorkflows(r)
	for name, h := range runs {
		if err := r.ReplayWorkflowHistory(nil, h); err != nil {
			t.Errorf("%s does not replay: %v", name, err)
		}
	}
}

func save(t *testing.T, dir string, runs map[string]*historypb.History) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, h := range runs {
		b, err := protojson.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
