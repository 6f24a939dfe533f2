package activities

import (
	"context"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox"
	"symbi.dev/symbi/workflows"
)

// Bounds of collecting.
const (
	collectFirstPause = 200 * time.Millisecond
	collectMaxPause   = 10 * time.Second
	// maxLogBytes is beyond what a sandbox keeps of a log.
	maxLogBytes = 64 << 20
)

// settle collects what a sandbox left, keeps its outcome, and removes it. A
// blob store that does not answer is tried until it does: what the program
// did is done, and only its traces are missing.
func (r *attempt) settle(ctx context.Context, box *sandbox.Sandbox) (*agent.Outcome, error) {
	outcome, err := box.Wait(ctx)
	if err != nil {
		return nil, err
	}
	for pause := collectFirstPause; ; pause = min(2*pause, collectMaxPause) {
		err := r.collect(ctx, box, &outcome)
		if err == nil {
			break
		}
		r.node.cfg.Logger.Warn("what a task left is not collected yet", "task", r.in.Spec.TaskRef.String(), "error", err)
		select {
		case <-time.After(pause):
		case <-r.node.leaving:
			return nil, errLeaving()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := box.Settle(ctx, outcome); err != nil {
		return nil, err
	}
	return &outcome, nil
}

// collect gives artifacts and log to the blob store.
func (r *attempt) collect(ctx context.Context, box *sandbox.Sandbox, outcome *agent.Outcome) error {
	left, err := box.Collect(ctx, r.node.cfg.Sink)
	if err != nil {
		return err
	}
	outcome.Artifacts, outcome.Warnings = left.Artifacts, left.Warnings
	if left.Failure != nil && outcome.Failure == nil {
		outcome.Failure = left.Failure
	}
	digest, _, err := r.node.cfg.Sink.Put(ctx, "", box.LogReader(ctx, 0), maxLogBytes)
	if err != nil {
		return err
	}
	outcome.LogDigest = digest
	return nil
}

// stateOf is what a control makes of a task.
func stateOf(op workflows.ControlOp) agent.TaskState {
	switch op {
	case workflows.Freeze:
		return agent.TaskSuspended
	case workflows.Stop:
		return agent.TaskStopping
	}
	return agent.TaskRunning
}
