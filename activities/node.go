package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/temporal"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/policy"
	"symbi.dev/symbi/internal/sandbox"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/workflows"
)

// Sandboxes runs programs on this node.
type Sandboxes interface {
	Start(ctx context.Context, spec sandbox.Spec) (*sandbox.Sandbox, error)
	Sandbox(lease agent.LeaseID) (*sandbox.Sandbox, bool)
}

// Inputs puts blobs into a task's folder.
type Inputs interface {
	Materialize(ctx context.Context, d agent.Digest, path string) error
}

// NodeConfig is what a Node is made of.
type NodeConfig struct {
	Node      agent.NodeID
	Store     Store
	Policy    Policy
	Audit     Audit
	Sandboxes Sandboxes
	Inputs    Inputs
	Sink      sandbox.Sink
	News      News
	Logger    *slog.Logger
	Now       func() time.Time
}

// Node does the activities that only one node can do: it runs programs.
type Node struct {
	cfg     NodeConfig
	leaving chan struct{}
	once    sync.Once
}

// NewNode makes a node's activities.
func NewNode(cfg NodeConfig) *Node { return &Node{cfg: cfg, leaving: make(chan struct{})} }

// LetGo makes activities under way end, leaving their sandboxes running for
// the next worker of this node to adopt.
func (n *Node) LetGo() { n.once.Do(func() { close(n.leaving) }) }

// Run makes one attempt of a task, or goes on with one that an earlier worker
// began under the same lease.
func (n *Node) Run(ctx context.Context, in workflows.RunInput) (*agent.Outcome, error) {
	stop := beat(ctx)
	defer stop()
	r := &attempt{node: n, in: in, seq: in.Seq}
	box, err := r.start(ctx)
	var failure *agent.Failure
	if errors.As(err, &failure) {
		return &agent.Outcome{Failure: failure, Tier: in.Assessment.Tier, EndedAt: n.cfg.Now()}, nil
	}
	if err != nil {
		return nil, err
	}
	return r.see(ctx, box)
}

// attempt is one attempt of a task on this node.
type attempt struct {
	node *Node
	in   workflows.RunInput
	seq  int64
}

// start asks policy, on record, and has the sandbox started. One that runs
// already was asked about when it was started.
func (r *attempt) start(ctx context.Context) (*sandbox.Sandbox, error) {
	n, in := r.node, r.in
	if _, runs := n.cfg.Sandboxes.Sandbox(in.Lease.ID); runs {
		return n.cfg.Sandboxes.Start(ctx, r.spec(nil))
	}
	m, err := (&Steps{Store: n.cfg.Store}).manifest(ctx, in.Spec.AgentID(), in.Spec.ManifestVersion)
	if err != nil {
		return nil, err
	}
	event := r.event()
	decision := n.cfg.Policy.Decide(ctx, policy.Input{Principal: event.Principal, Action: agent.ActSandboxStart, Resource: r.facts()})
	event.Decision = &decision
	id, err := n.cfg.Audit.Attempt(ctx, event)
	if err != nil {
		return nil, err
	}
	if !decision.Allowed() {
		n.cfg.Audit.Outcome(ctx, id, event, audit.Denied(decision.Reason))
		failure := deniedFailure(decision)
		failure.Cause = "policy denies sandbox.start: " + decision.Reason
		return nil, failure
	}
	if err := r.note(ctx, agent.TaskStarting); err != nil {
		return nil, err
	}
	box, err := n.cfg.Sandboxes.Start(ctx, r.spec(m))
	n.cfg.Audit.Outcome(ctx, id, event, audit.OutcomeOf(err))
	return box, err
}

// spec is what the sandbox is for.
func (r *attempt) spec(m *agent.Manifest) sandbox.Spec {
	in := r.in
	s := sandbox.Spec{
		Lease: in.Lease.ID, Task: in.Spec.TaskRef, Attempt: in.Attempt, Tier: in.Assessment.Tier,
		Params: in.Spec.Params, Resources: in.Assessment.Resources, ScratchMB: in.Assessment.ScratchMB,
		Frozen: in.Frozen, Seq: in.Seq,
	}
	if m == nil {
		return s
	}
	s.Program = m.Program
	if script := m.Program.Script; script != nil && script.Code == "" {
		s.Script = r.put(script.Digest)
	}
	for _, input := range in.Spec.Inputs {
		s.Inputs = append(s.Inputs, sandbox.Input{Name: input.Name, Put: r.put(input.Digest)})
	}
	return s
}

// put puts a blob at a path.
func (r *attempt) put(d agent.Digest) sandbox.Put {
	return func(ctx context.Context, path string) error {
		err := r.node.cfg.Inputs.Materialize(ctx, d, path)
		if errors.Is(err, agent.ErrNotFound) {
			return &agent.Failure{
				Class: agent.FailDependency, Code: agent.CodeBlobMissing, Cause: fmt.Sprintf("blob %s is gone from the blob store", d),
				NextStep: "upload it again: PUT /v1/blobs/" + string(d) + "; then `symbi task retry`",
			}
		}
		return err
	}
}

func (r *attempt) facts() map[string]any {
	a := r.in.Assessment
	return map[string]any{
		"namespace": string(r.in.Spec.Namespace), "agent": string(r.in.Spec.Agent), "name": string(r.in.Spec.Task),
		"owner": string(r.in.Owner), "tier": string(a.Tier), "risk": a.Risk.Score,
		"memory_mb": a.Resources.MemoryMB, "cpu_cores": a.Resources.CPUCores,
		"attempt": r.in.Attempt, "node": string(r.node.cfg.Node),
	}
}

func (r *attempt) event() audit.Event {
	return audit.Event{
		Action: agent.ActSandboxStart, Principal: agent.Principal("node:" + string(r.node.cfg.Node)),
		Namespace: r.in.Spec.Namespace, Agent: r.in.Spec.Agent, Resource: string(r.in.Spec.Task),
		Details: audit.Details{"attempt": r.in.Attempt, "lease": r.in.Lease.ID, "tier": r.in.Assessment.Tier},
	}
}

// note writes where the attempt stands. Its numbers are those that the
// workflow set aside for the node.
func (r *attempt) note(ctx context.Context, state agent.TaskState) error {
	r.seq = min(r.seq+1, r.in.Seq+workflows.NodeSeqs-1)
	return projectTask(ctx, r.node.cfg.Store, r.node.cfg.News, r.in.Spec.TaskRef, store.TaskProjection{
		Seq: r.seq, State: state, Holds: r.in.Holds, Attempt: r.in.Attempt, Tier: r.in.Assessment.Tier,
		Node: r.node.cfg.Node, Lease: r.in.Lease.ID, At: r.node.cfg.Now(),
	})
}

// see stays with a sandbox until it is over, or this worker leaves.
func (r *attempt) see(ctx context.Context, box *sandbox.Sandbox) (*agent.Outcome, error) {
	if o, settled := box.Settled(); settled {
		return &o, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var news sync.WaitGroup
	news.Go(func() { r.announceLog(ctx, box) })
	defer news.Wait()
	defer cancel()
	select {
	case <-box.Started():
		if !r.in.Frozen {
			if err := r.note(ctx, agent.TaskRunning); err != nil {
				return nil, err
			}
		}
	case <-r.node.leaving:
		return nil, errLeaving()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-box.Done():
	case <-r.node.leaving:
		return nil, errLeaving()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return r.settle(ctx, box)
}

// errLeaving tells the workflow to ask this node again.
func errLeaving() error {
	return temporal.NewNonRetryableApplicationError("the worker is stopping", workflows.ErrTypeNodeStopping, nil)
}

// newsEvery bounds how often followers are told that a log has grown.
const newsEvery = 5 * time.Millisecond

// announceLog tells followers whenever the log has grown.
func (r *attempt) announceLog(ctx context.Context, box *sandbox.Sandbox) {
	var offset int64
	for {
		written, err := box.LogGrown(ctx, offset)
		if err != nil || written == offset {
			return
		}
		offset = written
		r.node.cfg.News.AnnounceTask(cluster.TaskChanged{Task: r.in.Spec.TaskRef, LogBytes: written})
		select {
		case <-box.Done():
			return
		case <-ctx.Done():
			return
		case <-time.After(newsEvery):
		}
	}
}

// Control freezes, thaws or stops a running sandbox. While there is none yet,
// and its attempt is not over either, it fails, to be tried again.
func (n *Node) Control(ctx context.Context, in workflows.ControlInput) error {
	box, ok := n.cfg.Sandboxes.Sandbox(in.Lease)
	if !ok {
		return fmt.Errorf("lease %s has no sandbox here yet", in.Lease)
	}
	if in.Op == workflows.Stop {
		// Written before it is done: the end's own row comes right after.
		if err := n.noteControl(ctx, in); err != nil {
			return err
		}
		return box.Stop(ctx, in.Reason)
	}
	steer := box.Freeze
	if in.Op == workflows.Thaw {
		steer = box.Thaw
	}
	if err := steer(ctx, in.Seq); err != nil {
		return err
	}
	return n.noteControl(ctx, in)
}

func (n *Node) noteControl(ctx context.Context, in workflows.ControlInput) error {
	state, why := stateOf(in.Op), in.Reason
	if state == agent.TaskSuspended {
		why = "its agent is suspended"
	}
	return projectTask(ctx, n.cfg.Store, n.cfg.News, in.TaskRef, store.TaskProjection{
		Seq: in.Seq, State: state, Holds: in.Holds, Why: why, At: n.cfg.Now(),
	})
}
