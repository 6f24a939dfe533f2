package activities

import (
	"context"
	"errors"
	"fmt"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/policy"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/workflows"
	"symbi.dev/symbi/workflows/api"
)

// Assess asks policy whether a task may run, weighs its risk, and reads what
// the manifest it was submitted under says.
func (s *Steps) Assess(ctx context.Context, in workflows.AssessInput) (workflows.Assessment, error) {
	id := in.Spec.AgentID()
	m, err := s.manifest(ctx, id, in.Spec.ManifestVersion)
	if err != nil {
		return workflows.Assessment{}, err
	}
	risk := s.risk(m, in.Spec.Inputs)
	a := workflows.Assessment{
		Risk: risk, Tier: risk.Tier, Resources: m.Resources, ScratchMB: m.Filesystem.ScratchMB,
		Class: m.Scheduling.Class, Retry: m.Tasks.Retry, StopGrace: m.Program.StopGrace,
	}
	if a.Decision, err = s.askToRun(ctx, in, a, m.Sandbox.MinTier); err != nil {
		return a, err
	}
	if !a.Decision.Allowed() {
		a.Failure = deniedFailure(a.Decision)
	}
	return a, s.project(ctx, in.Spec.TaskRef, store.TaskProjection{
		Seq: in.Seq, State: agent.TaskQueued, Why: "is being placed", Attempt: in.Attempt, Tier: a.Tier,
		Risk: &a.Risk, Decision: &a.Decision, At: in.At,
	})
}

// askToRun asks policy for task.run, on record.
func (s *Steps) askToRun(ctx context.Context, in workflows.AssessInput, a workflows.Assessment, floor agent.Tier) (agent.Decision, error) {
	d := s.Policy.Decide(ctx, policy.Input{
		Principal: agent.PrincipalRuntime, Action: agent.ActTaskRun,
		Resource: map[string]any{
			"namespace": string(in.Spec.Namespace), "agent": string(in.Spec.Agent), "name": string(in.Spec.Task),
			"owner": string(in.Owner), "tier": string(a.Tier), "min_tier": string(floor), "risk": a.Risk.Score,
			"attempt": in.Attempt, "memory_mb": a.Resources.MemoryMB, "cpu_cores": a.Resources.CPUCores,
		},
	})
	e := audit.Event{
		Action: agent.ActTaskRun, Principal: agent.PrincipalRuntime, Namespace: in.Spec.Namespace, Agent: in.Spec.Agent,
		Resource: string(in.Spec.Task), Decision: &d, Details: audit.Details{"attempt": in.Attempt, "tier": a.Tier},
	}
	id, err := s.Audit.Attempt(ctx, e)
	if err != nil {
		return d, err
	}
	outcome := audit.OutcomeOf(nil)
	if !d.Allowed() {
		outcome = audit.Denied(d.Reason)
	}
	s.Audit.Outcome(ctx, id, e, outcome)
	return d, nil
}

func deniedFailure(d agent.Decision) *agent.Failure {
	f := &agent.Failure{
		Class: agent.FailPolicy, Code: agent.CodeDenied, Cause: "policy denies task.run: " + d.Reason,
		NextStep: "ask whoever keeps the policy, or change what the rule objects to; then `symbi task retry`",
	}
	if len(d.Rules) > 0 {
		f.Rule = d.Rules[0]
	}
	return f
}

// Note writes where a task stands.
func (s *Steps) Note(ctx context.Context, in workflows.NoteInput) error {
	return s.project(ctx, in.TaskRef, store.TaskProjection{
		Seq: in.Seq, State: in.State, Holds: in.Holds, Why: in.Why, Attempt: in.Attempt, Outcome: in.Outcome, At: in.At,
	})
}

// project writes a task's row and tells whoever follows it.
func (s *Steps) project(ctx context.Context, ref agent.TaskRef, p store.TaskProjection) error {
	return projectTask(ctx, s.Store, s.News, ref, p)
}

func projectTask(ctx context.Context, st Store, news News, ref agent.TaskRef, p store.TaskProjection) error {
	p.Namespace, p.Task = ref.Namespace, ref.Task
	if err := st.ProjectTask(ctx, p); err != nil {
		return err
	}
	news.AnnounceTask(cluster.TaskChanged{Task: ref})
	return nil
}

// Lease asks for a node's resources. Without a node in the answer the grant
// comes later, as a signal.
func (s *Steps) Lease(ctx context.Context, in workflows.LeaseInput) (workflows.Lease, error) {
	got, why, failure, err := s.Leases.Request(ctx, store.Lease{
		ID: in.ID, Task: in.Task, Attempt: in.Attempt, WorkflowID: in.Task.WorkflowID(),
		Resources: in.Resources, ScratchMB: in.ScratchMB, Priority: in.Priority, Class: in.Class, Tier: in.Tier,
		RequestedAt: in.At,
	})
	if err != nil {
		return workflows.Lease{}, err
	}
	if failure != nil {
		return workflows.Lease{ID: in.ID, Failure: failure}, nil
	}
	lease := workflows.Lease{ID: in.ID}
	if got.State == store.LeaseGranted {
		lease.Node, lease.Epoch, lease.TTL = got.Node, got.Epoch, agent.Duration(s.LeaseTTL)
		return lease, nil
	}
	return lease, s.project(ctx, in.Task, store.TaskProjection{
		Seq: in.Seq, State: agent.TaskQueued, Why: why, Attempt: in.Attempt, At: in.At,
	})
}

// Grant tells a task's workflow of its lease. The scheduler calls it.
func (s *Steps) Grant(ctx context.Context, l store.Lease) error {
	g := api.Grant{Lease: l.ID, Node: l.Node, Epoch: l.Epoch, TTL: agent.Duration(s.LeaseTTL)}
	c := api.Command{Principal: agent.PrincipalRuntime, Request: g.Tag(), At: s.Now().UTC()}
	g.By = s.Signer.Sign(l.WorkflowID, api.SignalGranted, c)
	return s.Signals.Signal(ctx, l.WorkflowID, api.SignalGranted, g)
}

// Unlease gives a lease, or the request for it, back.
func (s *Steps) Unlease(ctx context.Context, in workflows.UnleaseInput) error {
	return s.Leases.Release(ctx, in.ID)
}

// Finish ends a task: its last row, its lease, and word to its agent.
func (s *Steps) Finish(ctx context.Context, in workflows.FinishInput) error {
	if in.Lease != "" {
		if err := s.Leases.Release(ctx, in.Lease); err != nil {
			return err
		}
	}
	err := s.Audit.Record(ctx, "transition", audit.Event{
		Action: "task.end", Principal: in.Principal, Namespace: in.Namespace, Agent: in.Agent, Resource: string(in.Task),
		Details: endDetails(in),
	})
	if err != nil {
		return err
	}
	err = s.project(ctx, in.TaskRef, store.TaskProjection{
		Seq: in.Seq, State: in.State, Why: in.Why, Attempt: in.Attempt, Outcome: in.Outcome, At: in.At,
	})
	if err != nil {
		return err
	}
	id := agent.ID{Ref: agent.Ref{Namespace: in.Namespace, Name: in.Agent}, Generation: in.AgentGeneration}
	err = s.Signals.Signal(ctx, id.WorkflowID(), api.SignalTaskEnded, api.TaskEnded{Task: in.Task, State: in.State})
	if errors.Is(err, agent.ErrNotFound) {
		return nil // the agent has ended; nobody waits to hear
	}
	return err
}

func endDetails(in workflows.FinishInput) audit.Details {
	d := audit.Details{"state": in.State, "attempts": in.Attempt}
	if in.Outcome != nil && in.Outcome.Failure != nil {
		d["failure"] = fmt.Sprintf("%s/%s", in.Outcome.Failure.Class, in.Outcome.Failure.Code)
	}
	return d
}
