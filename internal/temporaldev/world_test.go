//go:build dev

package temporaldev_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/internal/temporaldev"
)

const (
	// token is what the servers of these tests ask for.
	token = "a token of these tests only"
	// queue is the task queue of the test's workflows.
	queue = "tests"
	// patience bounds everything that is waited for, on however slow a machine.
	patience = 45 * time.Second
)

// configure makes a Config for a folder, changed by edits.
func configure(dir string, edits ...func(*temporaldev.Config)) temporaldev.Config {
	c := temporaldev.Config{Dir: dir, Token: token}
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

// start starts a server that is stopped at the end of the test.
func start(t *testing.T, c temporaldev.Config) *temporaldev.Server {
	t.Helper()
	s, err := temporaldev.Start(t.Context(), c)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(s.Stop)
	return s
}

// dial connects a client that is closed at the end of the test, before the
// server stops.
func dial(t *testing.T, options client.Options) client.Client {
	t.Helper()
	c, err := client.Dial(quiet(options))
	if err != nil {
		t.Fatalf("dial Temporal: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// quiet makes a client that logs nothing.
func quiet(options client.Options) client.Options {
	options.Logger = log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	return options
}

// work runs the test's workflows until the function it gives is called, or the
// test ends. Its answers carry the name.
func work(t *testing.T, c client.Client, name string) (stop func()) {
	t.Helper()
	stop, err := startWorker(c, name)
	if err != nil {
		t.Fatalf("start a worker: %v", err)
	}
	t.Cleanup(stop)
	return stop
}

func startWorker(c client.Client, name string) (stop func(), err error) {
	w := worker.New(c, queue, worker.Options{StickyScheduleToStartTimeout: time.Second})
	w.RegisterWorkflow(greet)
	w.RegisterWorkflow(await)
	w.RegisterWorkflow(walk)
	w.RegisterActivityWithOptions(func(context.Context) (string, error) { return name, nil },
		activity.RegisterOptions{Name: workerName})
	if err := w.Start(); err != nil {
		return nil, err
	}
	return w.Stop, nil
}

// workerName is an activity: the name of the worker that runs it.
const workerName = "worker name"

// askWorker runs it.
func askWorker(ctx workflow.Context) (name string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 2 * time.Second})
	err = workflow.ExecuteActivity(ctx, workerName).Get(ctx, &name)
	return name, err
}

// greet is a workflow with one activity.
func greet(ctx workflow.Context, who string) (string, error) {
	name, err := askWorker(ctx)
	return "hello " + who + " from " + name, err
}

// await is a workflow that gives back what the signal "go" brings.
func await(ctx workflow.Context) (word string, err error) {
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, &word)
	return word, nil
}

// lastWorker is the name of the worker that lets walk end.
const lastWorker = "the last"

// walk is a workflow that runs activities until one is run by lastWorker. It
// tells how many others there were.
func walk(ctx workflow.Context) (steps int, err error) {
	if err := workflow.SetQueryHandler(ctx, "steps", func() (int, error) { return steps, nil }); err != nil {
		return 0, err
	}
	for {
		name, err := askWorker(ctx)
		if err != nil || name == lastWorker {
			return steps, err
		}
		steps++
	}
}

// order names a workflow. A task that its worker took to the grave is given to
// another after 2 s, rather than Temporal's 10.
func order(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: id, TaskQueue: queue, WorkflowTaskTimeout: 2 * time.Second}
}

// run starts a workflow under an ID.
func run(t *testing.T, c client.Client, id string, wf any, args ...any) client.WorkflowRun {
	t.Helper()
	r, err := c.ExecuteWorkflow(t.Context(), order(id), wf, args...)
	if err != nil {
		t.Fatalf("start workflow %s: %v", id, err)
	}
	return r
}

// result waits for what a workflow gives.
func result[T any](t *testing.T, r client.WorkflowRun) (value T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Get(ctx, &value); err != nil {
		t.Fatalf("result of workflow %s: %v", r.GetID(), err)
	}
	return value
}

// eventually asks until the answer is nil.
func eventually(t *testing.T, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, ask); err != nil {
		t.Fatal(err)
	}
}

func poll(ctx context.Context, ask func(context.Context) error) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-again.C:
		}
	}
}
