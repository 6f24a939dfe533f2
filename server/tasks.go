package server

import (
	"context"
	"fmt"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/scheduler"
	"symbi.dev/symbi/internal/store"
)

// ListAllTasks lists tasks across namespaces.
func (s *Server) ListAllTasks(ctx context.Context, r ListAllTasksRequestObject) (ListAllTasksResponseObject, error) {
	f := store.TaskFilter{States: r.Params.State, Node: agent.NodeID(r.Params.Node)}
	list, err := s.taskPage(ctx, f, r.Params.Cursor, r.Params.Limit)
	return ListAllTasks200JSONResponse{list}, err
}

// ListTasks lists a namespace's tasks.
func (s *Server) ListTasks(ctx context.Context, r ListTasksRequestObject) (ListTasksResponseObject, error) {
	f := store.TaskFilter{Namespace: agent.Namespace(r.Namespace), States: r.Params.State, Node: agent.NodeID(r.Params.Node)}
	list, err := s.taskPage(ctx, f, r.Params.Cursor, r.Params.Limit)
	return ListTasks200JSONResponse{list}, err
}

// ListAgentTasks lists the tasks of an agent's newest generation.
func (s *Server) ListAgentTasks(ctx context.Context, r ListAgentTasksRequestObject) (ListAgentTasksResponseObject, error) {
	rec, err := s.cfg.Store.Agent(ctx, refOf(r.Namespace, r.Agent))
	if err != nil {
		return nil, err
	}
	f := store.TaskFilter{Namespace: rec.Namespace, Agent: rec.Name, Generation: rec.Generation, States: r.Params.State}
	list, err := s.taskPage(ctx, f, r.Params.Cursor, r.Params.Limit)
	return ListAgentTasks200JSONResponse{list}, err
}

func (s *Server) taskPage(ctx context.Context, f store.TaskFilter, cursor string, limit int) (TaskListJSONResponse, error) {
	recs, next, err := s.cfg.Store.ListTasks(ctx, f, store.Page{After: store.Cursor(cursor), Limit: limit})
	if err != nil {
		return TaskListJSONResponse{}, err
	}
	list := TaskListJSONResponse{Items: make([]Task, len(recs)), NextCursor: string(next)}
	for i, rec := range recs {
		list.Items[i] = taskShown(rec)
	}
	return list, nil
}

// longestWait bounds GET …/tasks/{task}?wait=….
const longestWait = 60 * time.Second

// GetTask shows a task, at once or when it has ended.
func (s *Server) GetTask(ctx context.Context, r GetTaskRequestObject) (GetTaskResponseObject, error) {
	rec, err := s.taskAfter(ctx, agent.Namespace(r.Namespace), agent.TaskID(r.Task), r.Params.Wait)
	if err != nil {
		return nil, err
	}
	shown := taskShown(rec)
	if rec.State == agent.TaskQueued {
		shown.Why = s.whyQueued(ctx, rec)
	}
	return GetTask200JSONResponse(shown), nil
}

// taskAfter gives a task once it has ended or the wait is over.
func (s *Server) taskAfter(ctx context.Context, ns agent.Namespace, id agent.TaskID, wait string) (store.Task, error) {
	if wait == "" {
		return s.cfg.Store.Task(ctx, ns, id)
	}
	d, err := time.ParseDuration(wait)
	if err != nil || d > longestWait {
		return store.Task{}, agent.InvalidFields("request", []agent.FieldError{{
			Path: "query.wait", Message: fmt.Sprintf("write a duration of at most %s, like 30s", longestWait),
		}})
	}
	changed, stop := s.watchTask(ns, id)
	defer stop()
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		rec, err := s.cfg.Store.Task(ctx, ns, id)
		if err != nil || rec.State.Final() {
			return rec, err
		}
		select {
		case <-ctx.Done():
			return rec, ctx.Err()
		case <-s.followCtx.Done():
			return rec, nil
		case <-deadline.C:
			return rec, nil
		case <-changed:
		case <-look.C:
		}
	}
}

// watchTask gives a channel that fills when a task may have changed or its log grown.
func (s *Server) watchTask(ns agent.Namespace, id agent.TaskID) (<-chan struct{}, func()) {
	changed := make(chan struct{}, 1)
	sub, err := s.cfg.News.WatchTask(ns, id, func(cluster.TaskChanged) { poke(changed) })
	if err != nil {
		return changed, func() {}
	}
	return changed, func() {
		if err := sub.Unsubscribe(); err != nil {
			s.cfg.Logger.Debug("a watch ended badly", "error", err)
		}
	}
}

// whyQueued says what a task waits for, as the nodes stand now.
func (s *Server) whyQueued(ctx context.Context, t store.Task) string {
	book, open, err := s.book(ctx)
	if err != nil {
		return t.Why
	}
	for _, l := range open {
		if l.Task.Namespace == t.Spec.Namespace && l.Task.Task == t.Spec.Task && l.State == store.LeaseRequested {
			return book.Why(l, s.cfg.Now())
		}
	}
	return t.Why
}

// book reads the nodes and the leases as the scheduler sees them.
func (s *Server) book(ctx context.Context) (*scheduler.Book, []store.Lease, error) {
	nodes, err := s.cfg.Store.ListNodes(ctx)
	if err != nil {
		return nil, nil, err
	}
	open, err := s.cfg.Store.OpenLeases(ctx)
	if err != nil {
		return nil, nil, err
	}
	book := scheduler.NewBook()
	book.SetNodes(nodes)
	for _, l := range open {
		if l.State == store.LeaseGranted {
			book.Take(l)
		}
	}
	return book, open, nil
}

// taskShown is a task as the API shows it.
func taskShown(rec store.Task) Task {
	t := Task{
		Id: string(rec.Spec.Task), Namespace: string(rec.Spec.Namespace), Agent: string(rec.Spec.Agent),
		AgentGeneration: rec.Spec.AgentGeneration, ManifestVersion: rec.Spec.ManifestVersion,
		State: rec.State, Holds: nonNil(rec.Holds), Why: rec.Why, Next: nextCommand(rec),
		Priority: rec.Priority, Tier: rec.Tier, Attempt: rec.Attempt, Node: string(rec.Node),
		Params: rec.Spec.Params, Inputs: rec.Spec.Inputs, SubmittedBy: string(rec.Spec.SubmittedBy),
		RetryOf: string(rec.Spec.RetryOf), CreatedAt: rec.CreatedAt, UpdatedAt: rec.UpdatedAt, EndedAt: rec.EndedAt,
	}
	if rec.Risk != nil {
		t.Risk = *rec.Risk
	}
	if rec.Decision != nil {
		t.Decision = *rec.Decision
	}
	if p := rec.Progress; p != nil {
		t.Progress = Progress{Percent: p.Percent, Message: p.Message, At: p.At}
	}
	if o := rec.Outcome; o != nil {
		t.Result, t.Artifacts, t.Usage, t.Limits = o.Result, o.Artifacts, o.Usage, o.Limits
		t.LogBytes, t.LogDropped, t.StartedAt, t.Warnings = o.LogBytes, o.LogDropped, o.StartedAt, o.Warnings
		if o.Failure != nil {
			t.Failure = *o.Failure
		}
	}
	return t
}

// nextCommand is what a person would type next.
func nextCommand(t store.Task) string {
	name := string(t.Spec.Task)
	if t.Spec.Namespace != agent.DefaultNamespace {
		name += " -n " + string(t.Spec.Namespace)
	}
	switch {
	case t.State == agent.TaskSucceeded:
		return "symbi task artifacts " + name
	case t.State == agent.TaskFailed, t.State == agent.TaskCancelled:
		return "symbi task retry " + name
	case len(t.Holds) > 0:
		return "symbi agent resume " + string(t.Spec.Agent)
	case t.State == agent.TaskQueued:
		return "symbi status"
	default:
		return "symbi task logs -f " + name
	}
}
