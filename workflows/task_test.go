package workflows_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/workflows"
	"symbi.dev/symbi/workflows/api"
)

// taskWorld stands for everything around a task's workflow.
type taskWorld struct {
	env *testsuite.TestWorkflowEnvironment

	mu       sync.Mutex
	assess   workflows.Assessment
	queue    bool                                                       // leases are granted by signal only
	run      func(n int, in workflows.RunInput) (*agent.Outcome, error) // the n-th run
	onLease  func(agent.LeaseID)
	finished *workflows.FinishInput
	runs     []workflows.RunInput
	controls []workflows.ControlOp
	leased   []agent.LeaseID
	returned []agent.LeaseID
	notes    []agent.TaskState
}

// runTime is how long a program works in these tests, in the test's clock.
const runTime = time.Minute

func newTaskWorld(t *testing.T) *taskWorld {
	t.Helper()
	w := &taskWorld{env: newEnvironment()}
	w.env.SetTestTimeout(20 * time.Second)
	w.assess = workflows.Assessment{
		Decision: agent.Decision{Verdict: agent.Allow}, Tier: agent.TierGVisor,
		Retry: agent.Retry{MaxAttempts: 3, Backoff: agent.Duration(5 * time.Second), On: []agent.FailureClass{agent.FailSandbox}},
	}
	w.run = func(int, workflows.RunInput) (*agent.Outcome, error) { return &agent.Outcome{}, nil }
	w.env.RegisterWorkflowWithOptions(workflows.Task, workflow.RegisterOptions{Name: api.TaskWorkflow})
	register := func(name string, fn any) {
		w.env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	register(workflows.StepArrive, func(context.Context, workflows.ArriveInput) (workflows.ArriveResult, error) {
		return workflows.ArriveResult{}, nil
	})
	register(workflows.StepJudge, func(_ context.Context, in workflows.JudgeInput) (workflows.JudgeResult, error) {
		if in.Command.Principal == "" && in.Signal != api.SignalCancel {
			return workflows.JudgeResult{Principal: agent.PrincipalTemporalUI, Reason: "only the runtime sends it"}, nil
		}
		return workflows.JudgeResult{Allowed: true, Principal: agent.PrincipalAdmin}, nil
	})
	register(workflows.StepAssess, func(context.Context, workflows.AssessInput) (workflows.Assessment, error) { return w.assess, nil })
	register(workflows.StepNote, func(_ context.Context, in workflows.NoteInput) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.notes = append(w.notes, in.State)
		return nil
	})
	register(workflows.StepLease, func(_ context.Context, in workflows.LeaseInput) (workflows.Lease, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.leased = append(w.leased, in.ID)
		if w.onLease != nil {
			w.onLease(in.ID)
		}
		if w.queue {
			return workflows.Lease{ID: in.ID}, nil
		}
		return workflows.Lease{ID: in.ID, Node: "a", Epoch: 1, TTL: agent.Duration(10 * time.Second)}, nil
	})
	register(workflows.StepUnlease, func(_ context.Context, in workflows.UnleaseInput) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.returned = append(w.returned, in.ID)
		return nil
	})
	register(workflows.StepRun, func(_ context.Context, in workflows.RunInput) (*agent.Outcome, error) {
		w.mu.Lock()
		w.runs = append(w.runs, in)
		n := len(w.runs)
		w.mu.Unlock()
		return w.run(n, in)
	})
	register(workflows.StepControl, func(_ context.Context, in workflows.ControlInput) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.controls = append(w.controls, in.Op)
		return nil
	})
	register(workflows.StepFinish, func(_ context.Context, in workflows.FinishInput) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.finished != nil {
			t.Error("the task was finished twice")
		}
		w.finished = &in
		return nil
	})
	return w
}

// goOrder is the agent's order to go on; holdOrder to stand still.
func goOrder(seq int64) api.Order { return signed(api.Order{Seq: seq}) }
func holdOrder(seq int64) api.Order {
	return signed(api.Order{Seq: seq, Holds: agent.Holds{agent.HoldUser}})
}

func signed(o api.Order) api.Order {
	o.By = api.Command{Principal: agent.PrincipalRuntime, Request: o.Tag()}
	return o
}

func (w *taskWorld) execute(t *testing.T, s script) {
	t.Helper()
	for _, step := range s {
		w.env.RegisterDelayedCallback(func() { w.env.SignalWorkflow(step.signal, step.arg) }, step.at)
	}
	w.env.ExecuteWorkflow(api.TaskWorkflow, api.TaskInput{Spec: agent.TaskSpec{
		TaskRef: agent.TaskRef{Namespace: "default", Agent: "strikes", Task: "t1"}, AgentGeneration: 1, ManifestVersion: 1,
	}, Priority: agent.Normal})
	if !w.env.IsWorkflowCompleted() {
		t.Fatal("the task has no end")
	}
	if w.finished == nil {
		t.Fatalf("the task was not finished: %v", w.env.GetWorkflowError())
	}
}

// longRun makes the first run take the test's clock runTime, unless a control
// stops it.
func (w *taskWorld) longRun() {
	w.env.OnActivity(workflows.StepRun, anything, anything).After(runTime).Return(&agent.Outcome{}, nil)
}

func TestTaskRunsOnceItsAgentSaysGo(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.execute(t, script{{time.Second, api.SignalGo, goOrder(1)}})
	if w.finished.State != agent.TaskSucceeded || w.finished.Lease == "" || len(w.runs) != 1 {
		t.Errorf("finished %+v after %d runs", w.finished, len(w.runs))
	}
	if err := w.env.GetWorkflowError(); err != nil {
		t.Error(err)
	}
}

func TestTaskOfASuspendedAgentIsHeldUntilGo(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.execute(t, script{
		{time.Second, api.SignalHold, holdOrder(1)},
		{time.Hour, api.SignalGo, goOrder(2)},
	})
	if !slices.Contains(w.notes, agent.TaskHeld) || w.finished.State != agent.TaskSucceeded {
		t.Errorf("notes %v, end %s", w.notes, w.finished.State)
	}
	if len(w.runs) != 1 || w.runs[0].Frozen {
		t.Errorf("runs: %+v", w.runs)
	}
}

func TestAnOlderOrderDoesNotUndoANewerOne(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.execute(t, script{
		{1 * time.Second, api.SignalHold, holdOrder(3)},
		{2 * time.Second, api.SignalGo, goOrder(2)},
		{time.Hour, api.SignalGo, goOrder(4)},
	})
	if got := w.env.Now().Sub(time.Unix(0, 0)); len(w.runs) != 1 || got < time.Hour {
		t.Errorf("%d runs", len(w.runs))
	}
}

func TestOrdersSentByHandAreIgnored(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	forged := goOrder(9)
	forged.Seq = 10 // the signature is for another order
	w.execute(t, script{
		{1 * time.Second, api.SignalGo, api.Order{Seq: 5}},
		{2 * time.Second, api.SignalGo, forged},
		{3 * time.Second, api.SignalCancel, api.Command{Reason: "no go came"}},
	})
	if len(w.runs) != 0 || w.finished.State != agent.TaskCancelled {
		t.Errorf("%d runs, end %s", len(w.runs), w.finished.State)
	}
}

func TestSuspendFreezesTheProgramAndResumeThawsIt(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.longRun()
	w.execute(t, script{
		{1 * time.Second, api.SignalGo, goOrder(1)},
		{10 * time.Second, api.SignalHold, holdOrder(2)},
		{20 * time.Second, api.SignalGo, goOrder(3)},
	})
	if want := []workflows.ControlOp{workflows.Freeze, workflows.Thaw}; !slices.Equal(w.controls, want) {
		t.Errorf("controls: got %v, want %v", w.controls, want)
	}
}

func TestCancelStopsTheProgramOnce(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.env.OnActivity(workflows.StepRun, anything, anything).After(runTime).Return(&agent.Outcome{Cancelled: true}, nil)
	w.execute(t, script{
		{1 * time.Second, api.SignalGo, goOrder(1)},
		{10 * time.Second, api.SignalCancel, api.Command{Reason: "wrong input"}},
		{11 * time.Second, api.SignalCancel, api.Command{Reason: "again"}},
		{12 * time.Second, api.SignalHold, holdOrder(2)},
	})
	if want := []workflows.ControlOp{workflows.Stop}; !slices.Equal(w.controls, want) {
		t.Errorf("controls: got %v, want %v", w.controls, want)
	}
	if w.finished.State != agent.TaskCancelled || w.finished.Why != "cancelled: wrong input" {
		t.Errorf("finished: %+v", w.finished)
	}
}

func TestACancelThatComesTooLateDoesNotUndoSuccess(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.longRun()
	w.execute(t, script{
		{1 * time.Second, api.SignalGo, goOrder(1)},
		{10 * time.Second, api.SignalCancel, api.Command{}},
	})
	if w.finished.State != agent.TaskSucceeded {
		t.Errorf("end: %s, want the program's own success", w.finished.State)
	}
}

func TestAWorkerThatDiesIsAskedToAdoptUnderTheSameLease(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.run = func(n int, _ workflows.RunInput) (*agent.Outcome, error) {
		switch n {
		case 1:
			return nil, temporal.NewHeartbeatTimeoutError()
		case 2:
			return nil, temporal.NewNonRetryableApplicationError("stopping", workflows.ErrTypeNodeStopping, nil)
		}
		return &agent.Outcome{}, nil
	}
	w.execute(t, script{{time.Second, api.SignalGo, goOrder(1)}})
	if len(w.runs) != 3 || len(w.leased) != 1 || w.finished.State != agent.TaskSucceeded {
		t.Fatalf("%d runs under %d leases, end %s", len(w.runs), len(w.leased), w.finished.State)
	}
	for _, r := range w.runs[1:] {
		if r.Lease.ID != w.runs[0].Lease.ID || r.Attempt != 1 || r.Seq <= w.runs[0].Seq {
			t.Errorf("adoption: %+v", r)
		}
	}
}

func TestFailuresThatTheManifestNamesAreTriedAgain(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.run = func(n int, _ workflows.RunInput) (*agent.Outcome, error) {
		return &agent.Outcome{Failure: &agent.Failure{Class: agent.FailSandbox, Code: agent.CodeSandboxDied, Cause: "it died"}}, nil
	}
	w.execute(t, script{{time.Second, api.SignalGo, goOrder(1)}})
	if len(w.runs) != 3 || w.finished.State != agent.TaskFailed || w.finished.Attempt != 3 {
		t.Errorf("%d runs, finished %+v", len(w.runs), w.finished)
	}
	if len(w.returned) != 2 || w.returned[0] != w.leased[0] || w.finished.Lease != w.leased[2] {
		t.Errorf("leases %v, returned %v, at the end %s", w.leased, w.returned, w.finished.Lease)
	}
	var app *temporal.ApplicationError
	var f agent.Failure
	if err := w.env.GetWorkflowError(); !errors.As(err, &app) || app.Details(&f) != nil || f.Code != agent.CodeSandboxDied {
		t.Errorf("the workflow's error: %v", w.env.GetWorkflowError())
	}
}

func TestOtherFailuresAreNotTriedAgain(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.run = func(int, workflows.RunInput) (*agent.Outcome, error) {
		return &agent.Outcome{Failure: &agent.Failure{Class: agent.FailProgram, Code: agent.CodeExit, Cause: "exit 1"}}, nil
	}
	w.execute(t, script{{time.Second, api.SignalGo, goOrder(1)}})
	if len(w.runs) != 1 || w.finished.State != agent.TaskFailed || w.finished.Outcome.Failure.Cause != "exit 1" {
		t.Errorf("%d runs, finished %+v", len(w.runs), w.finished)
	}
}

func TestATaskThatPolicyDeniesNeverAsksForALease(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.assess.Failure = &agent.Failure{Class: agent.FailPolicy, Code: agent.CodeDenied, Cause: "no"}
	w.execute(t, script{{time.Second, api.SignalGo, goOrder(1)}})
	if len(w.leased) != 0 || w.finished.State != agent.TaskFailed || w.finished.Outcome.Failure.Class != agent.FailPolicy {
		t.Errorf("leases %v, finished %+v", w.leased, w.finished)
	}
}

func TestALeaseThatHasToWaitComesBySignal(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.queue = true
	w.onLease = func(id agent.LeaseID) {
		g := api.Grant{Lease: id, Node: "b", Epoch: 7, TTL: agent.Duration(time.Second)}
		g.By = api.Command{Principal: agent.PrincipalRuntime, Request: g.Tag()}
		w.env.SignalWorkflow(api.SignalGranted, api.Grant{Lease: "another", Node: "c", By: g.By})
		w.env.SignalWorkflow(api.SignalGranted, g)
	}
	w.execute(t, script{{time.Second, api.SignalGo, goOrder(1)}})
	if len(w.runs) != 1 || w.runs[0].Lease.Node != "b" || w.runs[0].Lease.Epoch != 7 {
		t.Errorf("runs: %+v", w.runs)
	}
}

func TestAHoldWhileQueuedWithdrawsTheRequest(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.queue = true
	w.env.RegisterDelayedCallback(func() { w.queue = false }, 30*time.Second)
	w.execute(t, script{
		{1 * time.Second, api.SignalGo, goOrder(1)},
		{10 * time.Second, api.SignalHold, holdOrder(2)},
		{time.Minute, api.SignalGo, goOrder(3)},
	})
	if len(w.leased) != 2 || len(w.returned) != 1 || w.returned[0] != w.leased[0] || w.leased[0] == w.leased[1] {
		t.Errorf("leased %v, returned %v", w.leased, w.returned)
	}
}

func TestANodeThatIsGoneIsAFailureOfADependency(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.run = func(int, workflows.RunInput) (*agent.Outcome, error) {
		return nil, temporal.NewTimeoutError(scheduleToStart, nil)
	}
	w.execute(t, script{{time.Second, api.SignalGo, goOrder(1)}})
	if f := w.finished.Outcome.Failure; f == nil || f.Code != agent.CodeNodeLost {
		t.Errorf("finished: %+v", w.finished)
	}
}

func TestCancellingTheWorkflowByHandCancelsTheTask(t *testing.T) {
	t.Parallel()
	w := newTaskWorld(t)
	w.env.RegisterDelayedCallback(w.env.CancelWorkflow, time.Minute)
	w.execute(t, nil)
	if w.finished.State != agent.TaskCancelled {
		t.Errorf("end: %s", w.finished.State)
	}
}
