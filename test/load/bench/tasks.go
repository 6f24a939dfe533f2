package main

import (
	"context"
	"crypto/sha256"
	"errors"
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
	taskCount  = 200 // with sandboxes
	bareCount  = 400 // without, a round
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

// bareTasks measures whole tasks without sandboxes, in turns with two workflows
// that do nothing and have as many activities as a task's has: one by ordinary
// activities, one with the same of them local that are local in a task's.
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
	var ours, ordinary, local time.Duration
	for round := range bareRounds + 1 { // the first does not count
		began := time.Now()
		if err := runTasks(ctx, w.conn, fmt.Sprintf("bare-%d", round), bareCount); err != nil {
			return err
		}
		second := time.Now()
		if err := runCeiling(ctx, w.Temporal(), ordinaryCeiling, round); err != nil {
			return err
		}
		third := time.Now()
		if err := runCeiling(ctx, w.Temporal(), localCeiling, round); err != nil {
			return err
		}
		if round > 0 {
			ours, ordinary, local = ours+second.Sub(began), ordinary+third.Sub(second), local+time.Since(third)
		}
	}
	n := float64(bareCount * bareRounds)
	return errors.Join(
		b.report(figure{Name: "tasks.bare_per_s", Value: n / ours.Seconds(), Unit: "tasks/s", Baseline: n / ordinary.Seconds(),
			Note: fmt.Sprintf("%d in flight; the baseline is a workflow of %d activities", taskWidth, taskLocals+1)}),
		b.report(figure{Name: "tasks.bare_ratio", Value: ordinary.Seconds() / ours.Seconds(), Unit: "ratio", Goal: ">=0.8", Baseline: 1,
			Note: fmt.Sprintf("against a workflow of %d activities", taskLocals+1)}),
		b.report(figure{Name: "tasks.bare_local_ratio", Value: local.Seconds() / ours.Seconds(), Unit: "ratio", Baseline: 1,
			Note: fmt.Sprintf("against a workflow of %d local activities and one other, as a task has them", taskLocals)}),
	)
}

const (
	ceilingQueue    = "bench-ceiling"
	ordinaryCeiling = "ceiling-ordinary"
	localCeiling    = "ceiling-local"
	// taskLocals are a task's local activities: arrive, judge (the agent's go),
	// assess, lease and finish. Its one other runs the program.
	taskLocals = 5
)

// ceilingWorker polls for the empty workflows.
func ceilingWorker(c sdkclient.Client) (stop func(), err error) {
	w := sdkworker.New(c, ceilingQueue, sdkworker.Options{})
	w.RegisterWorkflowWithOptions(ordinary, workflow.RegisterOptions{Name: ordinaryCeiling})
	w.RegisterWorkflowWithOptions(local, workflow.RegisterOptions{Name: localCeiling})
	w.RegisterActivity(nop)
	if err := w.Start(); err != nil {
		return nil, err
	}
	return w.Stop, nil
}

func nop(context.Context) error { return nil }

// ordinary does nothing in as many activities as a task has.
func ordinary(ctx workflow.Context) error {
	for range taskLocals + 1 {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// local does the same with the activities of a task local but for one.
func local(ctx workflow.Context) error {
	on := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
	for i := range taskLocals {
		if i == taskLocals-1 { // before the last, the program runs
			if err := step(ctx); err != nil {
				return err
			}
		}
		if err := workflow.ExecuteLocalActivity(on, nop).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func step(ctx workflow.Context) error {
	on := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(on, nop).Get(ctx, nil)
}

// runCeiling runs as many of them as there are tasks in a round.
func runCeiling(ctx context.Context, c sdkclient.Client, name string, round int) error {
	return inFlight(ctx, bareCount, taskWidth, func(ctx context.Context, i int) error {
		run, err := c.ExecuteWorkflow(ctx, sdkclient.StartWorkflowOptions{
			ID: fmt.Sprintf("%s/%d/%d", name, round, i), TaskQueue: ceilingQueue,
		}, name)
		if err != nil {
			return err
		}
		return run.Get(ctx, nil)
	})
}
