package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/workflows/api"
)

// Task is one task, from its submission to its one end. It asks its agent for
// admission, then makes attempts until one ends well, one ends in a way that
// is not to be tried again, or somebody cancels it.
//
// A task that failed ends its workflow with an error whose details are its
// agent.Failure, so that it shows as failed in the Temporal Web UI too.
func Task(ctx workflow.Context, in api.TaskInput) (api.TaskResult, error) {
	t := newTaskRun(ctx, in)
	if err := workflow.SetQueryHandler(ctx, api.QueryStatus, t.status); err != nil {
		return api.TaskResult{}, err
	}
	if err := t.awaitAdmission(); err != nil {
		return api.TaskResult{}, err
	}
	for t.cancel == nil && t.failure == nil {
		again, err := t.attemptOnce()
		if err != nil {
			return api.TaskResult{}, err
		}
		if !again {
			break
		}
	}
	return t.finish()
}

// taskRun is a task's workflow.
type taskRun struct {
	ctx  workflow.Context // is never done
	in   api.TaskInput
	mail *taskMail

	state      agent.TaskState
	why        string
	seq        int64
	attempt    int
	assessment Assessment
	lease      Lease
	leases     int // asked for so far
	outcome    *agent.Outcome
	failure    *agent.Failure

	// What signals said last.
	admitted bool
	obeyed   int64 // the agent's last order
	holds    agent.Holds
	cancel   *cancellation
}

// cancellation is why a task is to end, and by whom.
type cancellation struct {
	reason    string
	principal agent.Principal
}

func newTaskRun(outer workflow.Context, in api.TaskInput) *taskRun {
	ctx, _ := workflow.NewDisconnectedContext(outer)
	t := &taskRun{ctx: ctx, in: in, state: agent.TaskWaiting, seq: 1}
	t.mail = newTaskMail(ctx, outer)
	return t
}

// awaitAdmission asks the agent and waits for its go. A hold before that is
// shown as such.
func (t *taskRun) awaitAdmission() error {
	t.why = "waits for its agent to admit it"
	var arrive ArriveResult
	err := workflow.ExecuteLocalActivity(short(t.ctx), StepArrive, ArriveInput{
		TaskRef: t.in.Spec.TaskRef, AgentGeneration: t.in.Spec.AgentGeneration, At: workflow.Now(t.ctx),
	}).Get(t.ctx, &arrive)
	if err != nil {
		return err
	}
	if arrive.AgentGone {
		t.cancel = &cancellation{reason: "its agent is gone", principal: agent.PrincipalRuntime}
		return nil
	}
	return t.awaitGo()
}

// awaitGo waits until the task is admitted and nothing holds it, or it is
// cancelled.
func (t *taskRun) awaitGo() error {
	for {
		if err := t.read(); err != nil {
			return err
		}
		if t.cancel != nil || t.mayRun() {
			return nil
		}
		if len(t.holds) > 0 && t.state != agent.TaskHeld {
			if err := t.note(agent.TaskHeld, "its agent is suspended"); err != nil {
				return err
			}
		}
		if err := workflow.Await(t.ctx, t.mail.pending); err != nil {
			return err
		}
	}
}

func (t *taskRun) mayRun() bool { return t.admitted && len(t.holds) == 0 }

// note writes where the task stands, for lists and for the status query.
func (t *taskRun) note(state agent.TaskState, why string) error {
	t.state, t.why = state, why
	t.seq++
	return workflow.ExecuteLocalActivity(short(t.ctx), StepNote, NoteInput{
		TaskRef: t.in.Spec.TaskRef, Seq: t.seq, State: state, Holds: t.holds, Why: why,
		Attempt: t.attempt, Outcome: t.outcome, At: workflow.Now(t.ctx),
	}).Get(t.ctx, nil)
}

// finish ends the task: the last projection, the lease given back, word to
// the agent. All of it is one step, repeated until it succeeds.
func (t *taskRun) finish() (api.TaskResult, error) {
	state, by := agent.TaskSucceeded, agent.PrincipalRuntime
	switch {
	case t.outcome != nil && t.outcome.Failure == nil && !t.outcome.Cancelled && t.failure == nil:
		t.why = "" // it was done before anybody's cancel reached it
	case t.cancel != nil:
		state, by, t.why = agent.TaskCancelled, t.cancel.principal, t.cancel.reason
	default:
		state = agent.TaskFailed
		t.why = t.failure.Cause
		t.keepFailure()
	}
	t.state = state
	if err := workflow.UpsertTypedSearchAttributes(t.ctx, keyState.ValueSet(string(state))); err != nil {
		return api.TaskResult{}, err
	}
	t.seq++
	err := workflow.ExecuteLocalActivity(short(t.ctx), StepFinish, FinishInput{
		TaskRef: t.in.Spec.TaskRef, AgentGeneration: t.in.Spec.AgentGeneration, Lease: t.lease.ID,
		Attempt: t.attempt, Seq: t.seq, State: state, Why: t.why, Outcome: t.outcome,
		Principal: by, At: workflow.Now(t.ctx),
	}).Get(t.ctx, nil)
	if err != nil {
		return api.TaskResult{}, err
	}
	if state == agent.TaskFailed {
		return api.TaskResult{}, temporal.NewNonRetryableApplicationError(t.failure.Error(), ErrTypeFailure, nil, t.failure)
	}
	return api.TaskResult{State: state, Outcome: t.outcome}, nil
}

// keepFailure puts the failure into the outcome, also where no attempt got as
// far as having one.
func (t *taskRun) keepFailure() {
	if t.outcome == nil {
		t.outcome = &agent.Outcome{EndedAt: workflow.Now(t.ctx), Tier: t.assessment.Tier}
	}
	t.outcome.Failure = t.failure
}

// status answers the status query.
func (t *taskRun) status() (api.TaskStatus, error) {
	s := api.TaskStatus{
		TaskRef: t.in.Spec.TaskRef, State: t.state, Holds: t.holds, Why: t.why,
		Attempt: t.attempt, Node: t.lease.Node, Tier: t.assessment.Tier, Outcome: t.outcome,
	}
	if t.attempt > 0 {
		s.Risk, s.Decision = &t.assessment.Risk, &t.assessment.Decision
	}
	return s, nil
}

// failureFrom makes a Failure of an activity's error: the one it carries, or
// one of class internal that names it.
func failureFrom(err error) *agent.Failure {
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.Type() == ErrTypeFailure && app.HasDetails() {
		f := new(agent.Failure)
		if app.Details(f) == nil {
			return f
		}
	}
	return &agent.Failure{
		Class: agent.FailInternal, Code: agent.CodeInternal,
		Cause:    fmt.Sprintf("the runtime could not go on: %v", err),
		NextStep: "look at the worker's log around this time; `symbi task retry` runs the task again with the same inputs",
	}
}
