package activities

import (
	"context"
	"errors"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
	"symbi.dev/symbi/internal/policy"
	"symbi.dev/symbi/workflows"
	"symbi.dev/symbi/workflows/api"
)

// signalActions are the actions that signals ask for.
var signalActions = map[string]agent.Action{
	api.SignalSuspend:   agent.ActAgentSuspend,
	api.SignalResume:    agent.ActAgentResume,
	api.SignalTerminate: agent.ActAgentTerminate,
	api.SignalCancel:    agent.ActTaskCancel,
}

// Judge finds out who sent a signal and whether it may. One that our server or
// the runtime signed was asked of policy where it was signed. A bare one was
// sent by hand, by principal temporal-ui: policy is asked here. Orders and
// grants are the runtime's alone.
func (s *Steps) Judge(ctx context.Context, in workflows.JudgeInput) (workflows.JudgeResult, error) {
	c := in.Command
	if len(c.Signature) > 0 {
		if !s.Signer.Verify(in.WorkflowID, in.Signal, c) {
			return s.refuseSignal(ctx, in, c.Principal, "its signature is not ours")
		}
		return workflows.JudgeResult{Allowed: true, Principal: c.Principal, Reason: c.Reason}, nil
	}
	action, byHand := signalActions[in.Signal]
	if !byHand {
		return s.refuseSignal(ctx, in, agent.PrincipalTemporalUI, "only the runtime sends it")
	}
	d := s.Policy.Decide(ctx, policy.Input{
		Principal: agent.PrincipalTemporalUI, Action: action,
		Resource: map[string]any{
			"namespace": string(in.Namespace), "agent": string(in.Agent), "name": resourceName(in), "owner": string(in.Owner),
		},
	})
	e := signalEvent(in, action, agent.PrincipalTemporalUI)
	e.Decision = &d
	id, err := s.Audit.Attempt(ctx, e)
	if err != nil {
		return workflows.JudgeResult{}, err
	}
	outcome := audit.OutcomeOf(nil)
	if !d.Allowed() {
		outcome = audit.Denied(d.Reason)
	}
	s.Audit.Outcome(ctx, id, e, outcome)
	return workflows.JudgeResult{Allowed: d.Allowed(), Principal: agent.PrincipalTemporalUI, Reason: d.Reason}, nil
}

// refuseSignal puts a signal that nobody may send on record.
func (s *Steps) refuseSignal(ctx context.Context, in workflows.JudgeInput, who agent.Principal, why string) (workflows.JudgeResult, error) {
	e := signalEvent(in, signalActions[in.Signal], who)
	id, err := s.Audit.Attempt(ctx, e)
	if err != nil {
		return workflows.JudgeResult{}, err
	}
	s.Audit.Outcome(ctx, id, e, audit.Denied(why))
	return workflows.JudgeResult{Principal: who, Reason: why}, nil
}

func resourceName(in workflows.JudgeInput) string {
	if in.Task != "" {
		return string(in.Task)
	}
	return string(in.Agent)
}

func signalEvent(in workflows.JudgeInput, action agent.Action, who agent.Principal) audit.Event {
	if action == "" {
		action = agent.Action("signal." + in.Signal)
	}
	return audit.Event{
		Action: action, Principal: who, Namespace: in.Namespace, Agent: in.Agent, Resource: resourceName(in),
		Request: in.Command.Request, Details: audit.Details{"signal": in.Signal},
	}
}

// Tell sends an agent's messages to its tasks. Tasks whose workflow is over, or
// never was, are named in the result.
func (s *Steps) Tell(ctx context.Context, in workflows.TellInput) (workflows.TellResult, error) {
	var result workflows.TellResult
	for _, m := range in.Messages {
		err := s.Signals.Signal(ctx, m.Task.WorkflowID(), m.Signal, s.payload(m))
		switch {
		case errors.Is(err, agent.ErrNotFound):
			result.Gone = append(result.Gone, m.Task.Task)
		case err != nil:
			return result, err
		}
	}
	return result, nil
}

// payload is what a message's signal carries.
func (s *Steps) payload(m workflows.Message) any {
	id := m.Task.WorkflowID()
	c := api.Command{Reason: m.Reason, Principal: agent.PrincipalRuntime, At: s.Now().UTC()}
	if m.Signal == api.SignalCancel {
		return s.Signer.Sign(id, m.Signal, c)
	}
	o := api.Order{Seq: m.Seq, Holds: m.Holds}
	c.Request = o.Tag()
	o.By = s.Signer.Sign(id, m.Signal, c)
	return o
}

// Arrive asks an agent to admit a task.
func (s *Steps) Arrive(ctx context.Context, in workflows.ArriveInput) (workflows.ArriveResult, error) {
	id := agent.ID{Ref: agent.Ref{Namespace: in.Namespace, Name: in.Agent}, Generation: in.AgentGeneration}
	err := s.Signals.Signal(ctx, id.WorkflowID(), api.SignalTaskArrived, api.TaskArrived{Task: in.Task})
	if errors.Is(err, agent.ErrNotFound) {
		return workflows.ArriveResult{AgentGone: true}, nil
	}
	return workflows.ArriveResult{}, err
}
