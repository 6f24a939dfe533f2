package server

import (
	"context"
	"encoding/json"
	"strconv"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// ListAllAgents lists agents across namespaces.
func (s *Server) ListAllAgents(ctx context.Context, r ListAllAgentsRequestObject) (ListAllAgentsResponseObject, error) {
	list, err := s.agentPage(ctx, "", ListAgentsParams(r.Params))
	return ListAllAgents200JSONResponse{list}, err
}

// ListAgents lists a namespace's agents.
func (s *Server) ListAgents(ctx context.Context, r ListAgentsRequestObject) (ListAgentsResponseObject, error) {
	list, err := s.agentPage(ctx, agent.Namespace(r.Namespace), r.Params)
	return ListAgents200JSONResponse{list}, err
}

func (s *Server) agentPage(ctx context.Context, ns agent.Namespace, p ListAgentsParams) (AgentListJSONResponse, error) {
	filter := store.AgentFilter{
		Namespace: ns, States: p.State, Owner: agent.Principal(p.Owner), Priority: p.Priority,
		Tier: p.Tier, Hold: p.Hold, Dead: p.Dead,
	}
	recs, next, err := s.cfg.Store.ListAgents(ctx, filter, store.Page{After: store.Cursor(p.Cursor), Limit: p.Limit})
	if err != nil {
		return AgentListJSONResponse{}, err
	}
	list := AgentListJSONResponse{Items: make([]Agent, len(recs)), NextCursor: string(next)}
	for i, rec := range recs {
		list.Items[i] = agentShown(rec)
	}
	return list, nil
}

// GetAgent shows an agent with its manifest.
func (s *Server) GetAgent(ctx context.Context, r GetAgentRequestObject) (GetAgentResponseObject, error) {
	rec, err := s.cfg.Store.Agent(ctx, refOf(r.Namespace, r.Agent))
	if err != nil {
		return nil, err
	}
	shown, err := s.withManifest(ctx, rec, r.Params.ManifestVersion)
	return GetAgent200JSONResponse{Body: shown, Headers: GetAgent200ResponseHeaders{ETag: etag(rec.ManifestVersion)}}, err
}

// withManifest shows an agent with a version of its manifest; 0 is the current one.
func (s *Server) withManifest(ctx context.Context, rec store.Agent, version int64) (Agent, error) {
	canonical, err := s.cfg.Store.Manifest(ctx, rec.ID, version)
	if err != nil {
		return Agent{}, err
	}
	shown := agentShown(rec)
	shown.Manifest = json.RawMessage(canonical)
	return shown, nil
}

// AgentHistory pages through an agent's transitions.
func (s *Server) AgentHistory(ctx context.Context, r AgentHistoryRequestObject) (AgentHistoryResponseObject, error) {
	rec, err := s.cfg.Store.Agent(ctx, refOf(r.Namespace, r.Agent))
	if err != nil {
		return nil, err
	}
	page := store.Page{After: store.Cursor(r.Params.Cursor), Limit: r.Params.Limit}
	steps, next, err := s.cfg.Store.AgentHistory(ctx, rec.ID, page)
	if err != nil {
		return nil, err
	}
	out := AgentHistory200JSONResponse{Items: make([]Transition, len(steps)), NextCursor: string(next)}
	for i, t := range steps {
		out.Items[i] = Transition{Number: t.Number, From: t.From, To: t.To, Cause: t.Cause, Principal: string(t.Principal), At: t.At}
	}
	return out, nil
}

// agentShown is an agent as the API shows it.
func agentShown(rec store.Agent) Agent {
	a := Agent{
		Namespace: string(rec.Namespace), Name: string(rec.Name), Generation: rec.Generation,
		Owner: string(rec.Owner), State: rec.State, Holds: nonNil(rec.Holds), Terminating: rec.Terminating,
		ActiveTasks: rec.Active, WaitingTasks: rec.Waiting, Labels: rec.Spec.Labels, Priority: rec.Spec.Priority,
		Tier: rec.Tier, ManifestVersion: rec.ManifestVersion, CreatedAt: rec.CreatedAt, UpdatedAt: rec.UpdatedAt,
	}
	if rec.Failure != nil {
		a.Failure = *rec.Failure
	}
	return a
}

// nonNil makes an empty list be written as [] rather than null.
func nonNil[S ~[]E, E any](s S) S {
	if s == nil {
		return S{}
	}
	return s
}

func refOf(ns NamespaceParam, name AgentParam) agent.Ref {
	return agent.Ref{Namespace: agent.Namespace(ns), Name: agent.Name(name)}
}

// etag is a manifest's version as HTTP writes it.
func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }
