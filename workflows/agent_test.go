package workflows_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/workflows"
	"symbi.dev/symbi/workflows/api"
)

// agentWorld stands for everything around an agent's workflow, and remembers
// what the workflow did.
type agentWorld struct {
	env *testsuite.TestWorkflowEnvironment

	mu        sync.Mutex
	init      workflows.InitialiseResult
	refuse    map[string]bool // signals that policy denies
	gone      map[agent.TaskID]bool
	published []workflows.PublishInput
	told      []workflows.Message
}

func newAgentWorld(t *testing.T) *agentWorld {
	t.Helper()
	w := &agentWorld{env: newEnvironment(), refuse: map[string]bool{}, gone: map[agent.TaskID]bool{}}
	w.init = workflows.InitialiseResult{MaxConcurrent: 2, Priority: agent.Normal, Tier: agent.TierGVisor}
	w.env.RegisterWorkflowWithOptions(workflows.Agent, workflow.RegisterOptions{Name: api.AgentWorkflow})
	register := func(name string, fn any) {
		w.env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	register(workflows.StepInitialise, func(context.Context, workflows.InitialiseInput) (workflows.InitialiseResult, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.init, nil
	})
	register(workflows.StepPrepareImage, func(context.Context, workflows.InitialiseInput) (workflows.InitialiseResult, error) {
		return workflows.InitialiseResult{MaxConcurrent: 1, Failure: &agent.Failure{Class: agent.FailDependency, Code: agent.CodeImageMissing, Cause: "no such image"}}, nil
	})
	register(workflows.StepJudge, func(_ context.Context, in workflows.JudgeInput) (workflows.JudgeResult, error) {
		if w.refuse[in.Signal] {
			return workflows.JudgeResult{Principal: agent.PrincipalTemporalUI, Reason: "not by hand"}, nil
		}
		return workflows.JudgeResult{Allowed: true, Principal: agent.PrincipalAdmin}, nil
	})
	register(workflows.StepPublish, func(_ context.Context, in workflows.PublishInput) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.published = append(w.published, in)
		return nil
	})
	register(workflows.StepTell, func(_ context.Context, in workflows.TellInput) (workflows.TellResult, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		var r workflows.TellResult
		for _, m := range in.Messages {
			if w.gone[m.Task.Task] {
				r.Gone = append(r.Gone, m.Task.Task)
				continue
			}
			w.told = append(w.told, m)
		}
		return r, nil
	})
	return w
}

var strikes = api.AgentInput{
	ID:    agent.ID{Ref: agent.Ref{Namespace: "default", Name: "strikes"}, Generation: 1},
	Owner: agent.PrincipalAdmin, Priority: agent.Normal, ManifestVersion: 1,
}

// script sends signals at given times; the test clock skips the waiting.
type script []struct {
	at     time.Duration
	signal string
	arg    any
}

func (w *agentWorld) run(in api.AgentInput, s script) {
	for _, step := range s {
		w.env.RegisterDelayedCallback(func() { w.env.SignalWorkflow(step.signal, step.arg) }, step.at)
	}
	w.env.ExecuteWorkflow(api.AgentWorkflow, in)
}

// states lists every state that was ever published, by transitions.
func (w *agentWorld) states() []agent.State {
	states := []agent.State{agent.Initializing}
	for _, p := range w.published {
		for _, t := range p.Transitions {
			states = append(states, t.To)
		}
	}
	return states
}

// lastTold is what a task was told last.
func (w *agentWorld) lastTold(task agent.TaskID) string {
	for _, m := range slices.Backward(w.told) {
		if m.Task.Task == task {
			return m.Signal
		}
	}
	return ""
}

func wantStates(t *testing.T, w *agentWorld, want ...agent.State) {
	t.Helper()
	if got := w.states(); !slices.Equal(got, want) {
		t.Errorf("states: got %v, want %v", got, want)
	}
}

func arrived(task agent.TaskID) api.TaskArrived { return api.TaskArrived{Task: task} }
func ended(task agent.TaskID) api.TaskEnded {
	return api.TaskEnded{Task: task, State: agent.TaskSucceeded}
}

func TestAgentLivesAndIsTerminated(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t)
	w.run(strikes, script{
		{time.Second, api.SignalTaskArrived, arrived("t1")},
		{2 * time.Second, api.SignalTaskEnded, ended("t1")},
		{3 * time.Second, api.SignalTerminate, api.Command{Reason: "enough"}},
	})
	if err := w.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	wantStates(t, w, agent.Initializing, agent.Ready, agent.Running, agent.Ready, agent.Terminated)
	if got := w.lastTold("t1"); got != api.SignalGo {
		t.Errorf("the task was told %q, want go", got)
	}
}

func TestAgentWithoutItsProgramFailsAndRefusesTasks(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t)
	w.init.Failure = &agent.Failure{Class: agent.FailDependency, Code: agent.CodeProgramMissing, Cause: "no program"}
	w.run(strikes, script{
		{time.Second, api.SignalTaskArrived, arrived("t1")},
		{2 * time.Second, api.SignalSuspend, api.Command{}},
		{3 * time.Second, api.SignalTerminate, api.Command{}},
	})
	wantStates(t, w, agent.Initializing, agent.Failed, agent.Terminated)
	if got := w.lastTold("t1"); got != api.SignalCancel {
		t.Errorf("the task was told %q, want cancel", got)
	}
	if f := w.published[0].Failure; f == nil || f.Cause != "no program" {
		t.Errorf("published failure: %+v", f)
	}
}

func TestAgentFetchesItsImageAndSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t)
	w.init.PullImage = true
	w.run(strikes, script{{time.Second, api.SignalTerminate, api.Command{}}})
	wantStates(t, w, agent.Initializing, agent.Failed, agent.Terminated)
	if f := w.published[0].Failure; f == nil || f.Code != agent.CodeImageMissing {
		t.Errorf("published failure: %+v", f)
	}
}

func TestSuspendedAgentHoldsItsTasksAndResumesThem(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t)
	w.run(strikes, script{
		{1 * time.Second, api.SignalTaskArrived, arrived("t1")},
		{2 * time.Second, api.SignalSuspend, api.Command{Reason: "look closer"}},
		{3 * time.Second, api.SignalTaskArrived, arrived("t2")},
		{4 * time.Second, api.SignalSuspend, api.Command{}},
		{5 * time.Second, api.SignalResume, api.Command{}},
		{6 * time.Second, api.SignalTaskEnded, ended("t1")},
		{7 * time.Second, api.SignalTaskEnded, ended("t2")},
		{8 * time.Second, api.SignalTerminate, api.Command{}},
	})
	wantStates(t, w, agent.Initializing, agent.Ready, agent.Running, agent.Suspended, agent.Running, agent.Ready, agent.Terminated)
	var toT1, toT2 []string
	for _, m := range w.told {
		if m.Task.Task == "t1" {
			toT1 = append(toT1, m.Signal)
		} else {
			toT2 = append(toT2, m.Signal)
		}
	}
	if want := []string{api.SignalGo, api.SignalHold, api.SignalGo}; !slices.Equal(toT1, want) {
		t.Errorf("t1 was told %v, want %v", toT1, want)
	}
	if want := []string{api.SignalHold, api.SignalGo}; !slices.Equal(toT2, want) {
		t.Errorf("t2 was told %v, want %v", toT2, want)
	}
}

func TestSuspendingAReadyAgentHoldsItsNextTask(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t)
	w.run(strikes, script{
		{1 * time.Second, api.SignalSuspend, api.Command{}},
		{2 * time.Second, api.SignalTaskArrived, arrived("t1")},
		{3 * time.Second, api.SignalTerminate, api.Command{}},
		{4 * time.Second, api.SignalTaskEnded, ended("t1")},
	})
	wantStates(t, w, agent.Initializing, agent.Ready, agent.Running, agent.Suspended, agent.Terminated)
	if held := w.published[1]; held.Lifecycle.State != agent.Ready || !held.Lifecycle.Holds.Has(agent.HoldUser) {
		t.Errorf("after the suspend: %+v, want Ready with the hold shown", held.Lifecycle)
	}
	if got := w.lastTold("t1"); got != api.SignalCancel {
		t.Errorf("the task was told %q at last, want cancel", got)
	}
}

func TestCommandsThatComeTogetherKeepTheirOrder(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w.env.RegisterDelayedCallback(func() {
		w.env.SignalWorkflow(api.SignalResume, api.Command{At: at})
		w.env.SignalWorkflow(api.SignalSuspend, api.Command{At: at.Add(time.Millisecond)})
	}, 2*time.Second)
	w.run(strikes, script{
		{1 * time.Second, api.SignalSuspend, api.Command{At: at.Add(-time.Second)}},
		{3 * time.Second, api.SignalTaskArrived, arrived("t1")},
		{4 * time.Second, api.SignalTerminate, api.Command{}},
		{5 * time.Second, api.SignalTaskEnded, ended("t1")},
	})
	wantStates(t, w, agent.Initializing, agent.Ready, agent.Running, agent.Suspended, agent.Terminated)
}

func TestTasksBeyondTheLimitWaitTheirTurn(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t)
	w.init.MaxConcurrent = 1
	w.run(strikes, script{
		{1 * time.Second, api.SignalTaskArrived, arrived("t1")},
		{2 * time.Second, api.SignalTaskArrived, arrived("t2")},
		{2 * time.Second, api.SignalTaskArrived, arrived("t2")},
		{3 * time.Second, api.SignalTaskEnded, ended("t1")},
		{4 * time.Second, api.SignalTaskEnded, ended("t2")},
		{5 * time.Second, api.SignalTerminate, api.Command{}},
	})
	var order []agent.TaskID
	for _, m := range w.told {
		order = append(order, m.Task.Task)
	}
	if want := []agent.TaskID{"t1", "t2"}; !slices.Equal(order, want) {
		t.Errorf("told to go: %v, want %v, each once", order, want)
	}
}

func TestATaskThatIsGoneMakesRoom(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t)
	w.init.MaxConcurrent = 1
	w.gone["lost"] = true
	w.run(strikes, script{
		{1 * time.Second, api.SignalTaskArrived, arrived("lost")},
		{2 * time.Second, api.SignalTaskArrived, arrived("t2")},
		{3 * time.Second, api.SignalTaskEnded, ended("t2")},
		{4 * time.Second, api.SignalTerminate, api.Command{}},
	})
	if got := w.lastTold("t2"); got != api.SignalGo {
		t.Errorf("t2 was told %q, want go", got)
	}
	if err := w.env.GetWorkflowError(); err != nil {
		t.Error(err)
	}
}

func TestACommandThatPolicyDeniesChangesNothing(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t)
	w.refuse[api.SignalSuspend] = true
	w.run(strikes, script{
		{1 * time.Second, api.SignalSuspend, api.Command{}},
		{2 * time.Second, api.SignalTaskArrived, arrived("t1")},
		{3 * time.Second, api.SignalTaskEnded, ended("t1")},
		{4 * time.Second, api.SignalTerminate, api.Command{}},
	})
	wantStates(t, w, agent.Initializing, agent.Ready, agent.Running, agent.Ready, agent.Terminated)
}

func TestCancellingTheWorkflowByHandTerminatesTheAgent(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t)
	w.env.RegisterDelayedCallback(w.env.CancelWorkflow, 2*time.Second)
	w.run(strikes, script{
		{1 * time.Second, api.SignalTaskArrived, arrived("t1")},
		{3 * time.Second, api.SignalTaskEnded, ended("t1")},
	})
	wantStates(t, w, agent.Initializing, agent.Ready, agent.Running, agent.Ready, agent.Terminated)
	if got := w.lastTold("t1"); got != api.SignalCancel {
		t.Errorf("the task was told %q, want cancel", got)
	}
}

func TestContinuingAsNewCarriesOpenTasks(t *testing.T) {
	t.Parallel()
	in := strikes
	in.ContinueAfter = 3
	signals := script{
		{1 * time.Second, api.SignalTaskArrived, arrived("t1")},
		{2 * time.Second, api.SignalTaskArrived, arrived("t2")},
		{3 * time.Second, api.SignalSuspend, api.Command{}},
		{4 * time.Second, api.SignalTaskArrived, arrived("t3")},
		{5 * time.Second, api.SignalResume, api.Command{}},
		{6 * time.Second, api.SignalTaskEnded, ended("t1")},
		{7 * time.Second, api.SignalTaskEnded, ended("t2")},
		{8 * time.Second, api.SignalTaskEnded, ended("t3")},
		{9 * time.Second, api.SignalTerminate, api.Command{}},
	}
	var all []agent.State
	for runs := 0; ; runs++ {
		if runs > 10 {
			t.Fatal("the agent does not end")
		}
		w := newAgentWorld(t)
		n := min(in.ContinueAfter, len(signals))
		w.run(in, signals[:n])
		signals = signals[n:]
		all = append(all, w.states()[1:]...)
		var again *workflow.ContinueAsNewError
		err := w.env.GetWorkflowError()
		if err == nil {
			break
		}
		if !errors.As(err, &again) {
			t.Fatal(err)
		}
		if err := w.env.GetWorkflowResult(nil); err == nil {
			t.Fatal("a run that continues has no result")
		}
		in = continued(t, again)
	}
	want := []agent.State{agent.Ready, agent.Running, agent.Suspended, agent.Running, agent.Ready, agent.Terminated}
	if !slices.Equal(all, want) {
		t.Errorf("states over all runs: got %v, want %v", all, want)
	}
}

func continued(t *testing.T, e *workflow.ContinueAsNewError) api.AgentInput {
	t.Helper()
	var in api.AgentInput
	if err := defaultConverter.FromPayloads(e.Input, &in); err != nil {
		t.Fatal(err)
	}
	return in
}
