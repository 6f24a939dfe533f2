package server

import (
	"context"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// nodeSilence is how old a node's report may be before it is shown as not alive.
const nodeSilence = 10 * time.Second

// errorsShown is how many recent errors the status lists.
const errorsShown = 20

// ListNodes lists the nodes with their room.
func (s *Server) ListNodes(ctx context.Context, _ ListNodesRequestObject) (ListNodesResponseObject, error) {
	nodes, _, err := s.nodes(ctx)
	return ListNodes200JSONResponse{Items: nodes}, err
}

// SystemStatus is the overview of R1.9.
func (s *Server) SystemStatus(ctx context.Context, _ SystemStatusRequestObject) (SystemStatusResponseObject, error) {
	agents, err := s.cfg.Store.CountAgents(ctx)
	if err != nil {
		return nil, err
	}
	tasks, err := s.cfg.Store.CountTasks(ctx)
	if err != nil {
		return nil, err
	}
	nodes, queue, err := s.nodes(ctx)
	if err != nil {
		return nil, err
	}
	failures, err := s.cfg.Store.RecentErrors(ctx, "", errorsShown)
	if err != nil {
		return nil, err
	}
	status := Status{
		Version: s.cfg.Version, Installation: s.cfg.Installation, At: s.cfg.Now().UTC(),
		Agents: map[string]int64{}, Tasks: map[string]int64{}, Nodes: nodes, Queue: queue,
		RecentErrors: make([]RecentError, len(failures)),
	}
	for state, n := range agents {
		status.Agents[string(state)] = n
	}
	for state, n := range tasks {
		status.Tasks[string(state)] = n
	}
	for i, f := range failures {
		status.RecentErrors[i] = RecentError{
			At: f.At, Namespace: string(f.Namespace), Agent: string(f.Agent), Task: string(f.Task),
			Attempt: f.Attempt, Failure: f.Failure,
		}
	}
	return SystemStatus200JSONResponse(status), nil
}

// nodes shows the nodes with what is granted on them, and what waits.
func (s *Server) nodes(ctx context.Context) ([]Node, []QueuedTask, error) {
	recs, err := s.cfg.Store.ListNodes(ctx)
	if err != nil {
		return nil, nil, err
	}
	book, open, err := s.book(ctx)
	if err != nil {
		return nil, nil, err
	}
	now := s.cfg.Now()
	shown, byID := make([]Node, len(recs)), map[agent.NodeID]*Node{}
	for i, n := range recs {
		shown[i] = Node{
			Id: string(n.ID), Version: n.Version, MemoryMb: n.MemoryMB, CpuCores: n.CPUCores, DiskMb: n.DiskMB,
			Tiers: nonNil(n.Tiers), Problems: nonNil(n.Problems), Alive: now.Sub(n.ReportedAt) < nodeSilence,
			Cordoned: n.Cordoned, StartedAt: n.StartedAt, ReportedAt: n.ReportedAt,
		}
		byID[n.ID] = &shown[i]
	}
	queue := []QueuedTask{}
	for _, l := range open {
		if n := byID[l.Node]; n != nil && l.State == store.LeaseGranted {
			n.Tasks++
			n.MemoryUsedMb += l.Resources.MemoryMB
			n.CpuUsedCores += l.Resources.CPUCores
		}
		if l.State == store.LeaseRequested {
			queue = append(queue, QueuedTask{
				Namespace: string(l.Task.Namespace), Agent: string(l.Task.Agent), Task: string(l.Task.Task),
				Priority: l.Priority, Since: l.RequestedAt, Why: book.Why(l, now),
			})
		}
	}
	return shown, queue, nil
}
