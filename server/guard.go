package server

import (
	"context"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
	"symbi.dev/symbi/internal/policy"
)

// deed is one action on one thing, as policy is asked and the audit log told.
type deed struct {
	action    agent.Action
	namespace agent.Namespace
	agent     agent.Name
	resource  string         // what it is done to: an agent's, task's or blob's name
	facts     map[string]any // of the resource, for policy
}

// change does what changes something: policy is asked, the attempt recorded
// before, the outcome after. Nothing is done that is not on record.
func (s *Server) change(ctx context.Context, d deed, do func(context.Context) error) error {
	decision := s.ask(ctx, d)
	event := s.event(ctx, d)
	event.Decision = &decision
	id, err := s.cfg.Audit.Attempt(ctx, event)
	if err != nil {
		return err
	}
	if !decision.Allowed() {
		s.cfg.Audit.Outcome(ctx, id, event, audit.Denied(decision.Reason))
		return denied(decision)
	}
	err = do(ctx)
	s.cfg.Audit.Outcome(ctx, id, event, audit.OutcomeOf(err))
	return err
}

// read asks policy whether something may be seen, and has it counted.
func (s *Server) read(ctx context.Context, d deed) error {
	decision := s.ask(ctx, d)
	event := s.event(ctx, d)
	event.Decision = &decision
	s.cfg.Audit.Seen(event)
	if !decision.Allowed() {
		return denied(decision)
	}
	return nil
}

func (s *Server) ask(ctx context.Context, d deed) agent.Decision {
	who := callerFrom(ctx)
	resource := map[string]any{"namespace": string(d.namespace), "name": d.resource}
	if d.agent != "" {
		resource["agent"] = string(d.agent)
	}
	for k, v := range d.facts {
		resource[k] = v
	}
	return s.cfg.Policy.Decide(ctx, policy.Input{Principal: who.principal, Action: d.action, Resource: resource})
}

func (s *Server) event(ctx context.Context, d deed) audit.Event {
	who := callerFrom(ctx)
	return audit.Event{
		Action: d.action, Principal: who.principal, Request: who.request,
		Namespace: d.namespace, Agent: d.agent, Resource: d.resource,
	}
}

func denied(d agent.Decision) error {
	reason := d.Reason
	if reason == "" {
		reason = "no rule allows it"
	}
	return agent.Errorf(agent.ErrDenied, "policy denies this: %s", reason)
}
