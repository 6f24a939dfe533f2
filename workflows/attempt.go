package workflows

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/agent"
)

// attemptOnce makes one attempt: assessment, lease, run. It reports whether
// another is to follow.
func (t *taskRun) attemptOnce() (again bool, err error) {
	t.attempt++
	if err := t.assess(); err != nil || t.failure != nil {
		return false, err
	}
	if err := t.awaitLease(); err != nil || t.cancel != nil || t.failure != nil {
		return false, err
	}
	if err := t.run(); err != nil {
		return false, err
	}
	if t.failure == nil || t.cancel != nil || !t.mayRetry() {
		return false, nil
	}
	return true, t.backOff()
}

// assess asks policy, weighs the risk and reads what the manifest says.
func (t *taskRun) assess() error {
	t.seq++
	t.assessment = Assessment{}
	err := workflow.ExecuteLocalActivity(short(t.ctx), StepAssess, AssessInput{
		Spec: t.in.Spec, Owner: t.in.Owner, Attempt: t.attempt, Seq: t.seq, At: workflow.Now(t.ctx),
	}).Get(t.ctx, &t.assessment)
	t.failure = t.assessment.Failure
	return err
}

// awaitLease gets a node's resources. While the task is held or cancelled it
// wants none: the request is withdrawn, and made anew when it may go on.
func (t *taskRun) awaitLease() error {
	for {
		if err := t.awaitGo(); err != nil || t.cancel != nil {
			return err
		}
		if err := t.requestLease(); err != nil || t.failure != nil {
			return err
		}
		for t.lease.Node == "" && t.cancel == nil && t.mayRun() {
			if err := workflow.Await(t.ctx, t.mail.pending); err != nil {
				return err
			}
			if err := t.read(); err != nil {
				return err
			}
		}
		if t.cancel == nil && t.mayRun() {
			return nil
		}
		if err := t.giveBack(); err != nil {
			return err
		}
	}
}

// requestLease asks for a lease. Where a node is free the answer is the
// grant itself; otherwise the scheduler sends it as a signal.
func (t *taskRun) requestLease() error {
	t.leases++
	t.seq++
	id := t.leaseID()
	t.lease = Lease{ID: id}
	var granted Lease
	err := workflow.ExecuteLocalActivity(short(t.ctx), StepLease, LeaseInput{
		ID: id, Task: t.in.Spec.TaskRef, Attempt: t.attempt, Seq: t.seq,
		Resources: t.assessment.Resources, ScratchMB: t.assessment.ScratchMB,
		Priority: t.in.Priority, Class: t.assessment.Class, Tier: t.assessment.Tier,
		At: workflow.Now(t.ctx),
	}).Get(t.ctx, &granted)
	if err != nil {
		return err
	}
	t.failure = granted.Failure
	if granted.Node != "" {
		t.lease = granted
		return nil
	}
	t.state, t.why = agent.TaskQueued, "waits for a node's resources"
	return workflow.UpsertTypedSearchAttributes(t.ctx, keyState.ValueSet(string(t.state)))
}

// leaseID names a lease: short, because socket paths hold it, and the same
// when the workflow is replayed.
func (t *taskRun) leaseID() agent.LeaseID {
	info := workflow.GetInfo(t.ctx)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", info.WorkflowExecution.ID, info.OriginalRunID, t.leases))
	return agent.LeaseID(strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:10])))
}

// giveBack returns the lease, or the wish for one.
func (t *taskRun) giveBack() error {
	id := t.lease.ID
	t.lease = Lease{}
	if id == "" {
		return nil
	}
	return workflow.ExecuteLocalActivity(short(t.ctx), StepUnlease, UnleaseInput{ID: id}).Get(t.ctx, nil)
}

// mayRetry reports whether the manifest wants this failure tried again.
func (t *taskRun) mayRetry() bool {
	r := t.assessment.Retry
	return t.attempt < r.MaxAttempts && slices.Contains(r.On, t.failure.Class)
}

// longestRetryBackoff bounds the doubling of a manifest's backoff.
const longestRetryBackoff = time.Hour

// backOff gives the lease back and waits before the next attempt. A cancel
// ends the wait; a hold shows afterwards.
func (t *taskRun) backOff() error {
	if err := t.giveBack(); err != nil {
		return err
	}
	wait := t.assessment.Retry.Backoff.Std() << min(t.attempt-1, 20)
	if wait > longestRetryBackoff || wait < 0 {
		wait = longestRetryBackoff
	}
	why := fmt.Sprintf("attempt %d of %d ended (%s); the next begins in %s",
		t.attempt, t.assessment.Retry.MaxAttempts, t.failure.Cause, wait)
	if err := t.note(agent.TaskRetrying, why); err != nil {
		return err
	}
	t.failure = nil
	deadline := workflow.Now(t.ctx).Add(wait)
	for t.cancel == nil {
		left := deadline.Sub(workflow.Now(t.ctx))
		if left <= 0 {
			return nil
		}
		if _, err := workflow.AwaitWithTimeout(t.ctx, left, t.mail.pending); err != nil {
			return err
		}
		if err := t.read(); err != nil {
			return err
		}
	}
	return nil
}
