package server

import (
	"context"
	"time"
)

// Bounds of the reconciler.
const (
	reconcileEvery = 5 * time.Second
	// unstartedFor is how old a row must be before its workflow is taken for
	// forgotten rather than about to be started.
	unstartedFor   = 5 * time.Second
	reconcileBatch = 100
)

// reconciler starts the workflows of rows whose server died, or could not
// reach Temporal, between writing the row and starting the workflow.
type reconciler struct {
	server *Server
	stopIt context.CancelFunc
	done   chan struct{}
}

func newReconciler(s *Server) *reconciler { return &reconciler{server: s} }

func (r *reconciler) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.stopIt, r.done = cancel, make(chan struct{})
	go func() {
		defer close(r.done)
		tick := time.NewTicker(reconcileEvery)
		defer tick.Stop()
		for {
			if err := r.once(ctx); err != nil && ctx.Err() == nil {
				r.server.cfg.Logger.Warn("rows without a workflow wait for the next look", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
}

func (r *reconciler) stop() {
	if r.stopIt != nil {
		r.stopIt()
		<-r.done
	}
}

// once starts what was forgotten. Starting is idempotent, so that several
// servers may do it at once.
func (r *reconciler) once(ctx context.Context) error {
	s := r.server
	before := s.cfg.Now().Add(-unstartedFor)
	agents, err := s.cfg.Store.UnstartedAgents(ctx, before, reconcileBatch)
	if err != nil {
		return err
	}
	for _, rec := range agents {
		if err := s.startAgent(ctx, rec); err != nil {
			return err
		}
	}
	tasks, err := s.cfg.Store.UnstartedTasks(ctx, before, reconcileBatch)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		owner := t.Spec.SubmittedBy
		if rec, err := s.cfg.Store.Agent(ctx, refOf(NamespaceParam(t.Spec.Namespace), AgentParam(t.Spec.Agent))); err == nil {
			owner = rec.Owner
		}
		if err := s.startTask(ctx, t, owner); err != nil {
			return err
		}
	}
	return nil
}
