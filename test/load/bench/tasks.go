package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	sdkclient "go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
	"symbi.dev/symbi/workflows"
)

const (
	taskWidth  = 16
	taskCount  = 200  // with sandboxes
	bareCount  = 1000 // without, a round
	bareRounds = 3
)

// trivial is a manifest whose program does nothing, in the Docker tier.
func trivial(name string) []byte {
	const code = "true\n"
	return fmt.Appendf(nil, "apiVersion: symbi/v1\nkind: Agent\nname: %s\nprogram:\n  script:\n    language: shell\n    code: |\n%s"+
		"source: {trust: verified, digest: \"sha256:%x\"}\nsandbox: {min_tier: docker}\n"+
		"network: {connections: 0}\nexternal_apis: []\nfilesystem: {scratch_mb: 16}\n"+
		"resources: {memory_mb: 64, cpu_cores: 0.1}\ntasks: {max_concurrent: 64}\n",
		name, indent(code), sha256.Sum256([]byte(code)))
}

// tasksPerSecond measures whole tasks with real containers.
func tasksPerSecond(ctx context.Context, b *bench) error {
	dir, done, err := tempDir()
	if err != nil {
		return err
	}
	defer done()
	c, err := b.startChild(ctx, dir+"/data")
	if err != nil {
		return err
	}
	defer func() { _ = c.stop() }()
	if err := runTasks(ctx, c.conn, "warm", taskWidth); err != nil {
		return err
	}
	began := time.Now()
	if err := runTasks(ctx, c.conn, "trivial", taskCount); err != nil {
		return err
	}
	rate := taskCount / time.Since(began).Seconds()
	raw, err := dockerPerSecond(ctx)
	if err != nil {
		return err
	}
	return b.report(figure{Name: "tasks.per_s", Value: rate, Unit: "tasks/s", Baseline: raw,
		Note: fmt.Sprintf("Docker tier, %d in flight, end to end; the baseline is docker run, as many in flight", taskWidth)})
}

// dockerPerSecond is how many `docker run` of the same image end in a second.
func dockerPerSecond(ctx context.Context) (float64, error) {
	const n = taskCount / 2
	began := time.Now()
	err := inFlight(ctx, n, taskWidth, func(ctx context.Context, _ int) error {
		_, err := dockerFirstLine(ctx, "symbi/base:1", "/bin/sh", "-c", "echo done")
		return err
	})
	return n / time.Since(began).Seconds(), err
}

// runTasks creates an agent and has it do n tasks, which must all succeed.
func runTasks(ctx context.Context, conn *client.Conn, name string, n int) error {
	if _, err := conn.CreateAgent(ctx, agent.DefaultNamespace, trivial(name), false); err != nil {
		return err
	}
	ref := agent.Ref{Namespace: agent.DefaultNamespace, Name: agent.Name(name)}
	return inFlight(ctx, n, taskWidth, func(ctx context.Context, _ int) error {
		task, err := conn.Submit(ctx, ref, client.TaskRequest{}, false)
		if err != nil {
			return err
		}
		end, err := conn.Wait(ctx, ref.Namespace, agent.TaskID(task.Id), nil)
		if err == nil && end.State != agent.TaskSucceeded {
			err = fmt.Errorf("task %s is %s: %s", task.Id, end.State, end.Why)
		}
		return err
	})
}

// nothing takes the place of sandboxes: every program succeeds at once.
type nothing struct{}

// Run implements worker.NodeWork.
func (nothing) Run(_ context.Context, in workflows.RunInput) (*agent.Outcome, error) {
	return &agent.Outcome{Tier: in.Assessment.Tier, EndedAt: time.Now()}, nil
}

// Control implements worker.NodeWork.
func (nothing) Control(context.Context, workflows.ControlInput) error { return nil }

// LetGo implements worker.NodeWork.
func (nothing) LetGo() {}

// bareTasks measures whole tasks without sandboxes, in turns with a workflow
// that has as many activities, local and other, as a task has, and does nothing.
func bareTasks(ctx context.Context, b *bench) error {
	dir, done, err := tempDir()
	if err != nil {
		return err
	}
	defer done()
	w, err := b.startWithin(ctx, dir+"/data", nothing{})
	if err != nil {
		return err
	}
	defer w.Stop()
	stop, err := ceilingWorker(w.Temporal())
	if err != nil {
		return err
	}
	defer stop()
	var ours, raw time.Duration
	for round := -1; round < bareRounds; round++ { // the first does not count
		began := time.Now()
		if err := runTasks(ctx, w.conn, fmt.Sprintf("bare-%d", round+1), bareCount); err != nil {
			return err
		}
		middle := time.Now()
		if err := runCeiling(ctx, w.Temporal(), round); err != nil {
			return err
		}
		if round >= 0 {
			ours, raw = ours+middle.Sub(began), raw+time.Since(middle)
		}
	}
	n := float64(bareCount * bareRounds)
	if err := b.report(figure{Name: "tasks.bare_per_s", Value: n / ours.Seconds(), Unit: "tasks/s", Baseline: n / raw.Seconds(),
		Note: fmt.Sprintf("%d in flight; the baseline is a workflow of %d local activities and one other", taskWidth, localSteps)}); err != nil {
		return err
	}
	return b.report(figure{Name: "tasks.bare_ratio", Value: raw.Seconds() / ours.Seconds(), Unit: "ratio", Goal: ">=0.8", Baseline: 1})
}

const (
	ceilingQueue    = "bench-ceiling"
	ceilingWorkflow = "ceiling"
	// localSteps are a task's own: arrive, assess, lease, finish.
	localSteps = 4
)

// ceilingWorker polls for the empty workflow.
func ceilingWorker(c sdkclient.Client) (stop func(), err error) {
	w := sdkworker.New(c, ceilingQueue, sdkworker.Options{})
	w.RegisterWorkflowWithOptions(ceiling, workflow.RegisterOptions{Name: ceilingWorkflow})
	w.RegisterActivity(nop)
	if err := w.Start(); err != nil {
		return nil, err
	}
	return w.Stop, nil
}

func nop(context.Context) error { return nil }

// ceiling is a workflow with the activities of a task, all of which do nothing.
func ceiling(ctx workflow.Context) error {
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
	for range localSteps - 1 {
		if err := workflow.ExecuteLocalActivity(local, nop).Get(ctx, nil); err != nil {
			return err
		}
	}
	on := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	if err := workflow.ExecuteActivity(on, nop).Get(ctx, nil); err != nil {
		return err
	}
	return workflow.ExecuteLocalActivity(local, nop).Get(ctx, nil)
}

// runCeiling runs as many of them as there are tasks in a round.
func runCeiling(ctx context.Context, c sdkclient.Client, round int) error {
	return inFlight(ctx, bareCount, taskWidth, func(ctx context.Context, i int) error {
		run, err := c.ExecuteWorkflow(ctx, sdkclient.StartWorkflowOptions{
			ID: fmt.Sprintf("ceiling/%d/%d", round, i), TaskQueue: ceilingQueue,
		}, ceilingWorkflow)
		if err != nil {
			return err
		}
		return run.Get(ctx, nil)
	})
}
