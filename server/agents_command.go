package server

import (
	"context"
	"errors"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/workflows/api"
)

// commandWait is how long an answer to suspend, resume or terminate waits for
// the agent's workflow to have taken it. Past it the answer shows what is.
const commandWait = 5 * time.Second

// SuspendAgent makes an agent stand still.
func (s *Server) SuspendAgent(ctx context.Context, r SuspendAgentRequestObject) (SuspendAgentResponseObject, error) {
	rec, err := s.obey(ctx, refOf(r.Namespace, r.Agent), order{
		action: agent.ActAgentSuspend, signal: api.SignalSuspend, reason: reasonOf(r.Body),
		done: func(a store.Agent) bool { return a.Holds.Has(agent.HoldUser) },
	})
	return SuspendAgent200JSONResponse{AgentAnswerJSONResponse(agentShown(rec))}, err
}

// ResumeAgent lifts the user's hold.
func (s *Server) ResumeAgent(ctx context.Context, r ResumeAgentRequestObject) (ResumeAgentResponseObject, error) {
	rec, err := s.obey(ctx, refOf(r.Namespace, r.Agent), order{
		action: agent.ActAgentResume, signal: api.SignalResume, reason: reasonOf(r.Body),
		done: func(a store.Agent) bool { return !a.Holds.Has(agent.HoldUser) },
	})
	return ResumeAgent200JSONResponse{AgentAnswerJSONResponse(agentShown(rec))}, err
}

// TerminateAgent ends an agent for good.
func (s *Server) TerminateAgent(ctx context.Context, r TerminateAgentRequestObject) (TerminateAgentResponseObject, error) {
	rec, err := s.obey(ctx, refOf(r.Namespace, r.Agent), order{
		action: agent.ActAgentTerminate, signal: api.SignalTerminate, reason: reasonOf(r.Body),
		done:     func(a store.Agent) bool { return a.Terminating || a.State == agent.Terminated },
		failedOK: true,
	})
	return TerminateAgent200JSONResponse{AgentAnswerJSONResponse(agentShown(rec))}, err
}

// order is a command to an agent's workflow.
type order struct {
	action   agent.Action
	signal   string
	reason   string
	done     func(store.Agent) bool // it is as the command wants it
	failedOK bool                   // a failed agent takes it too
}

func reasonOf[B interface {
	~struct {
		Reason string `json:"reason,omitempty,omitzero"`
	}
}](body *B) string {
	if body == nil {
		return ""
	}
	return struct {
		Reason string `json:"reason,omitempty,omitzero"`
	}(*body).Reason
}

// obey sends one command. What is so already is answered as it is.
func (s *Server) obey(ctx context.Context, ref agent.Ref, o order) (store.Agent, error) {
	rec, err := s.cfg.Store.Agent(ctx, ref)
	if err != nil {
		return rec, err
	}
	if rec.State == agent.Terminated || !o.failedOK && (rec.State == agent.Failed || rec.Terminating) {
		return rec, agent.Errorf(agent.ErrConflict, "agent %s is %s and takes no %s", ref, stateWords(rec), o.signal)
	}
	d := deed{action: o.action, namespace: ref.Namespace, agent: ref.Name, resource: string(ref.Name),
		facts: map[string]any{"owner": string(rec.Owner), "state": string(rec.State)}}
	err = s.change(ctx, d, func(ctx context.Context) error {
		if o.done(rec) {
			return nil
		}
		changed, stop := s.watchAgent(ref)
		defer stop()
		id := rec.WorkflowID()
		err := s.cfg.Workflows.Signal(ctx, id, o.signal, s.command(ctx, id, o.signal, o.reason))
		if errors.Is(err, agent.ErrNotFound) {
			return agent.Errorf(agent.ErrConflict, "agent %s has just ended", ref)
		}
		if err != nil {
			return err
		}
		rec, err = s.awaitAgent(ctx, rec.ID, changed, o.done)
		return err
	})
	return rec, err
}

// stateWords is an agent's state as messages say it.
func stateWords(a store.Agent) string {
	if a.Terminating && a.State != agent.Terminated {
		return "terminating"
	}
	return string(a.State)
}

// command signs a command in the name of the caller.
func (s *Server) command(ctx context.Context, workflowID, signal, reason string) api.Command {
	who := callerFrom(ctx)
	return s.cfg.Signer.Sign(workflowID, signal, api.Command{
		Reason: reason, Principal: who.principal, Request: who.request, At: s.cfg.Now().UTC(),
	})
}

// watchAgent gives a channel that fills when an agent may have changed.
func (s *Server) watchAgent(ref agent.Ref) (<-chan struct{}, func()) {
	changed := make(chan struct{}, 1)
	sub, err := s.cfg.News.WatchAgent(ref, func(cluster.AgentChanged) { poke(changed) })
	if err != nil {
		return changed, func() {} // looking now and then remains
	}
	return changed, func() {
		if err := sub.Unsubscribe(); err != nil {
			s.cfg.Logger.Debug("a watch ended badly", "error", err)
		}
	}
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lookEvery is how often a waiting request looks by itself, should no news come.
const lookEvery = 500 * time.Millisecond

// awaitAgent waits until an agent is as wanted, and gives it as it is then.
func (s *Server) awaitAgent(ctx context.Context, id agent.ID, changed <-chan struct{}, done func(store.Agent) bool) (store.Agent, error) {
	ctx, cancel := context.WithTimeout(ctx, commandWait)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		rec, err := s.cfg.Store.AgentGeneration(ctx, id)
		if err != nil || done(rec) {
			return rec, err
		}
		select {
		case <-ctx.Done():
			return s.cfg.Store.AgentGeneration(context.WithoutCancel(ctx), id)
		case <-changed:
		case <-look.C:
		}
	}
}
