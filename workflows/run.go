package workflows

import (
	"errors"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/workflows/api"
)

// Bounds of the activities on a node.
const (
	// runTimeout is beyond any execution timeout and any suspension: the node
	// counts the execution timeout itself, because frozen time is no part of it.
	runTimeout = 10 * 365 * 24 * time.Hour
	// runHeartbeat is how long a node may be silent before its worker is
	// taken for dead and the sandbox offered for adoption.
	runHeartbeat = 10 * time.Second
	// controlTimeout bounds one freeze, thaw or stop beyond the grace of a stop.
	controlTimeout = 30 * time.Second
	// leaseMargin is added to a lease's time to live before a silent node's
	// task may start elsewhere: clocks drift, and ending a program takes time.
	leaseMargin = 5 * time.Second
)

// run has the node run the program, and attends to it until it is over. A
// worker that stops or dies leaves the sandbox running; the same activity,
// given to its successor with the same lease, adopts it.
func (t *taskRun) run() error {
	t.state, t.why = agent.TaskRunning, ""
	err := workflow.UpsertTypedSearchAttributes(t.ctx,
		keyState.ValueSet(string(t.state)), keyTier.ValueSet(string(t.assessment.Tier)))
	if err != nil {
		return err
	}
	for {
		outcome, err := t.attend()
		switch {
		case err == nil:
			t.outcome, t.failure = outcome, outcome.Failure
			return nil
		case isAdoptable(err):
			continue
		case isNodeLost(err):
			t.failure = t.nodeLost()
			return nil
		default:
			t.failure = failureFrom(err)
			return nil
		}
	}
}

// attend gives the attempt to the node once, and meanwhile does what signals
// ask: freezing, thawing, stopping.
func (t *taskRun) attend() (*agent.Outcome, error) {
	ctx, release := workflow.WithCancel(t.ctx)
	defer release()
	frozen, stopped := len(t.holds) > 0, false
	t.seq++
	run := workflow.ExecuteActivity(t.onNode(ctx, runTimeout, runHeartbeat, "run the program"), StepRun, RunInput{
		Spec: t.in.Spec, Owner: t.in.Owner, Attempt: t.attempt, Lease: t.lease, Assessment: t.assessment,
		Frozen: frozen, Holds: t.holds, Seq: t.seq,
	})
	t.seq += NodeSeqs
	for {
		if err := workflow.Await(t.ctx, func() bool { return run.IsReady() || t.mail.pending() }); err != nil {
			return nil, err
		}
		if run.IsReady() {
			break
		}
		if err := t.read(); err != nil {
			return nil, err
		}
		op := t.wanted(frozen, stopped)
		if op == "" {
			continue
		}
		if err := t.control(ctx, run, op); err != nil {
			return nil, err
		}
		frozen, stopped = op == Freeze, stopped || op == Stop
	}
	outcome := new(agent.Outcome)
	if err := run.Get(ctx, outcome); err != nil {
		return nil, err
	}
	return outcome, nil
}

// wanted says what the node must be told, given what it was told.
func (t *taskRun) wanted(frozen, stopped bool) ControlOp {
	held := len(t.holds) > 0
	switch {
	case stopped:
		return ""
	case t.cancel != nil:
		return Stop
	case held && !frozen:
		return Freeze
	case !held && frozen:
		return Thaw
	}
	return ""
}

// control tells the node to do one thing and waits until it is done, or until
// the attempt is over, whichever is first.
func (t *taskRun) control(ctx workflow.Context, run workflow.Future, op ControlOp) error {
	t.seq++
	in := ControlInput{TaskRef: t.in.Spec.TaskRef, Lease: t.lease.ID, Op: op, Holds: t.holds, Seq: t.seq, At: workflow.Now(t.ctx)}
	switch op {
	case Stop:
		in.Reason = t.cancel.reason
		t.state, t.why = agent.TaskStopping, t.cancel.reason
	case Freeze:
		t.state, t.why = agent.TaskSuspended, "its agent is suspended"
	case Thaw:
		t.state, t.why = agent.TaskRunning, ""
	}
	grace := t.assessment.StopGrace.Std()
	ctx, release := workflow.WithCancel(ctx)
	defer release()
	done := workflow.ExecuteActivity(t.onNode(ctx, controlTimeout+grace, 0, string(op)), StepControl, in)
	return workflow.Await(t.ctx, func() bool { return done.IsReady() || run.IsReady() })
}

// onNode gives the context of an activity on the lease's node. A run has one
// attempt, because the workflow decides what follows; a control is repeated.
func (t *taskRun) onNode(ctx workflow.Context, timeout, heartbeat time.Duration, summary string) workflow.Context {
	o := workflow.ActivityOptions{
		TaskQueue:           api.NodeQueue(t.lease.Node),
		StartToCloseTimeout: timeout,
		Summary:             summary,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: firstBackoff, MaximumInterval: longestBackoff},
	}
	if heartbeat > 0 {
		o.HeartbeatTimeout = heartbeat
		o.ScheduleToStartTimeout = t.lease.TTL.Std() + leaseMargin
		o.RetryPolicy = &temporal.RetryPolicy{MaximumAttempts: 1}
	}
	return workflow.WithActivityOptions(ctx, o)
}

// isAdoptable reports whether the sandbox may still run though its worker does not.
func isAdoptable(err error) bool {
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.Type() == ErrTypeNodeStopping {
		return true
	}
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == enums.TIMEOUT_TYPE_HEARTBEAT
}

// isNodeLost reports whether nobody on the node took the activity for longer
// than the lease lives: its init has ended the program by then.
func isNodeLost(err error) bool {
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == enums.TIMEOUT_TYPE_SCHEDULE_TO_START
}

func (t *taskRun) nodeLost() *agent.Failure {
	return &agent.Failure{
		Class: agent.FailDependency, Code: agent.CodeNodeLost,
		Cause:    fmt.Sprintf("node %s did not answer for %s", t.lease.Node, t.lease.TTL),
		NextStep: "look at that node's worker; with class dependency in tasks.retry.on the task moves to another node by itself",
	}
}
