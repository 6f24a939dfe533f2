// Package worker is one node: it polls the task queue that all share and the
// one that is its own, reports what it can hold, adopts the sandboxes that an
// earlier process of the same node left running, and answers those who follow
// their logs.
//
// Start returns once the node takes work; Stop lets go of everything in an
// orderly way and leaves sandboxes running for the next process to adopt.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/activities"
	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/workflows"
	"symbi.dev/symbi/workflows/api"
)

// Config is what a Worker is made of.
type Config struct {
	Node     agent.NodeID
	Capacity Capacity
	Version  string
	Temporal client.Client
	Steps    *activities.Steps
	NodeWork NodeWork
	Nodes    Nodes
	Logs     Logs
	News     News
	Problems func(ctx context.Context) ([]agent.Tier, []string) // what the engine can run, and what is wrong
	Logger   *slog.Logger
	Now      func() time.Time
}

// NodeWork is what only this node can do: run programs, and control them.
// activities.Node does it with sandboxes.
type NodeWork interface {
	Run(ctx context.Context, in workflows.RunInput) (*agent.Outcome, error)
	Control(ctx context.Context, in workflows.ControlInput) error
	// LetGo makes what is under way end, leaving programs running.
	LetGo()
}

// Capacity is what a node offers to tasks.
type Capacity struct {
	MemoryMB int64
	CPUCores float64
	DiskMB   int64
}

// Nodes keeps reports.
type Nodes interface {
	PutNode(ctx context.Context, n store.Node) error
}

// Logs reads the logs of the attempts that a node has.
type Logs interface {
	ReadLog(ctx context.Context, q cluster.LogQuestion) (cluster.LogAnswer, error)
}

// News is how followers reach the node.
type News interface {
	ServeLogs(ctx context.Context, node agent.NodeID, fn func(context.Context, cluster.LogQuestion) (cluster.LogAnswer, error)) (cluster.Subscription, error)
}

// Bounds of a worker.
const (
	reportEvery = 2 * time.Second
	stopWait    = 5 * time.Second // for activities to hand over
	// maxSandboxes bounds the attempts that one node attends to at once;
	// leases bound them before that.
	maxSandboxes = 1000
	// maxLocalSteps bounds the short steps under way at once.
	maxLocalSteps = 1000
)

// Worker is one node at work.
type Worker struct {
	cfg     Config
	shared  worker.Worker
	own     worker.Worker
	logs    cluster.Subscription
	cancel  context.CancelFunc
	done    chan struct{}
	started time.Time
}

// New makes a worker that does nothing yet.
func New(cfg Config) *Worker { return &Worker{cfg: cfg} }

// Start begins to take work.
func (w *Worker) Start(ctx context.Context) error {
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.started = w.cfg.Now()
	if err := w.report(ctx); err != nil {
		return fmt.Errorf("report the node: %w", err)
	}
	var err error
	if w.logs, err = w.cfg.News.ServeLogs(ctx, w.cfg.Node, w.cfg.Logs.ReadLog); err != nil {
		return err
	}
	w.shared = worker.New(w.cfg.Temporal, api.Queue, worker.Options{
		Identity:                                "symbi-worker@" + string(w.cfg.Node),
		MaxConcurrentLocalActivityExecutionSize: maxLocalSteps,
		WorkerStopTimeout:                       stopWait,
		DisableRegistrationAliasing:             true,
	})
	RegisterWorkflows(w.shared)
	registerSteps(w.shared, w.cfg.Steps)
	w.own = worker.New(w.cfg.Temporal, api.NodeQueue(w.cfg.Node), worker.Options{
		Identity:                           "symbi-node@" + string(w.cfg.Node),
		MaxConcurrentActivityExecutionSize: maxSandboxes,
		DisableWorkflowWorker:              true,
		WorkerStopTimeout:                  stopWait,
		DisableRegistrationAliasing:        true,
	})
	registerNode(w.own, w.cfg.NodeWork)
	if err := w.shared.Start(); err != nil {
		return agent.Errorf(agent.ErrUnavailable, "start the worker: %w", err)
	}
	if err := w.own.Start(); err != nil {
		w.shared.Stop()
		return agent.Errorf(agent.ErrUnavailable, "start the node's worker: %w", err)
	}
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		w.reportNowAndThen(ctx)
	}()
	return nil
}

// Stop ends the worker; sandboxes run on.
func (w *Worker) Stop() {
	if w.cancel == nil {
		return
	}
	w.cfg.NodeWork.LetGo()
	if w.own != nil {
		w.own.Stop()
	}
	if w.shared != nil {
		w.shared.Stop()
	}
	w.cancel()
	if w.done != nil {
		<-w.done
	}
	if w.logs != nil {
		if err := w.logs.Unsubscribe(); err != nil {
			w.cfg.Logger.Debug("the log service ended badly", "error", err)
		}
	}
}

// RegisterWorkflows registers the workflows under their stored names.
func RegisterWorkflows(r worker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(workflows.Agent, workflow.RegisterOptions{Name: api.AgentWorkflow})
	r.RegisterWorkflowWithOptions(workflows.Task, workflow.RegisterOptions{Name: api.TaskWorkflow})
}

// registerSteps registers what any worker can do.
func registerSteps(r worker.ActivityRegistry, s *activities.Steps) {
	for name, fn := range map[string]any{
		workflows.StepInitialise:   s.Initialise,
		workflows.StepPrepareImage: s.PrepareImage,
		workflows.StepJudge:        s.Judge,
		workflows.StepPublish:      s.Publish,
		workflows.StepTell:         s.Tell,
		workflows.StepArrive:       s.Arrive,
		workflows.StepAssess:       s.Assess,
		workflows.StepNote:         s.Note,
		workflows.StepLease:        s.Lease,
		workflows.StepUnlease:      s.Unlease,
		workflows.StepFinish:       s.Finish,
	} {
		r.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
}

// registerNode registers what only this node can do.
func registerNode(r worker.ActivityRegistry, n NodeWork) {
	r.RegisterActivityWithOptions(n.Run, activity.RegisterOptions{Name: workflows.StepRun})
	r.RegisterActivityWithOptions(n.Control, activity.RegisterOptions{Name: workflows.StepControl})
}

// reportNowAndThen writes the node's report until ctx is done.
func (w *Worker) reportNowAndThen(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.report(ctx); err != nil && ctx.Err() == nil {
			w.cfg.Logger.Warn("the node's report was not written", "error", err)
		}
	}
}

func (w *Worker) report(ctx context.Context) error {
	tiers, problems := w.cfg.Problems(ctx)
	c := w.cfg.Capacity
	return w.cfg.Nodes.PutNode(ctx, store.Node{
		ID: w.cfg.Node, Version: w.cfg.Version, MemoryMB: c.MemoryMB, CPUCores: c.CPUCores, DiskMB: c.DiskMB,
		Tiers: tiers, Problems: problems, StartedAt: w.started, ReportedAt: w.cfg.Now(),
	})
}
