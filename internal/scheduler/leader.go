package scheduler

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// run stands for leadership and, while leading, grants what waits.
func (s *Scheduler) run(ctx context.Context) {
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			s.resign()
			return
		case <-renew.C:
			s.campaign(ctx)
		case <-sweep.C:
			s.sweep(ctx)
		case <-s.wake:
			s.grantWaiting(ctx)
			pause(ctx, reloadAtMostPer)
		}
	}
}

// pause bounds how often a busy installation makes the leader read the rows.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// campaign takes or renews leadership, and reads the nodes' reports. A new
// leader reads everything and tells of every grant again.
func (s *Scheduler) campaign(ctx context.Context) {
	nodes, err := s.cfg.Store.ListNodes(ctx)
	if err != nil {
		s.lost(ctx, err)
		return
	}
	epoch, leads, err := s.cfg.Store.AcquireLeadership(ctx, leadershipName, s.cfg.Holder, leadershipTTL, s.cfg.Now())
	if err != nil {
		s.lost(ctx, err)
		return
	}
	s.mu.Lock()
	s.book.SetNodes(nodes)
	was := s.epoch
	if !leads {
		s.epoch = 0
	}
	s.mu.Unlock()
	if !leads {
		return
	}
	if was != epoch {
		s.takeOver(ctx, epoch, nodes)
	}
	s.grantWaiting(ctx)
}

// takeOver begins to lead under an epoch.
func (s *Scheduler) takeOver(ctx context.Context, epoch int64, nodes []store.Node) {
	open, err := s.cfg.Store.OpenLeases(ctx)
	if err != nil {
		s.lost(ctx, err)
		return
	}
	book := NewBook()
	book.SetNodes(nodes)
	var granted []store.Lease
	for _, l := range open {
		if l.State == store.LeaseGranted {
			book.Take(l)
			granted = append(granted, l)
		}
	}
	s.mu.Lock()
	s.book, s.epoch = book, epoch
	s.mu.Unlock()
	s.cfg.Logger.Info("leading the scheduler", "epoch", epoch, "grants", len(granted))
	for _, l := range granted {
		s.tell(ctx, l)
	}
}

// grantWaiting reads the rows and grants what fits, most urgent first.
func (s *Scheduler) grantWaiting(ctx context.Context) {
	if !s.Leads() {
		return
	}
	open, err := s.cfg.Store.OpenLeases(ctx)
	if err != nil {
		s.cfg.Logger.Warn("cannot read the leases", "error", err)
		return
	}
	now := s.cfg.Now()
	for _, l := range s.decide(open, now) {
		if err := s.cfg.Store.GrantLease(ctx, l.ID, l.Node, l.Epoch, now); err != nil {
			s.free(l.ID)
			if !errors.Is(err, agent.ErrConflict) {
				s.cfg.Logger.Warn("cannot write a grant", "lease", l.ID, "error", err)
			}
			continue
		}
		s.tell(ctx, l)
	}
}

// decide brings the book in line with the rows, and enters into it every
// request that fits.
func (s *Scheduler) decide(open []store.Lease, now time.Time) []store.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == 0 {
		return nil
	}
	s.reconcile(open)
	var waiting, grants []store.Lease
	for _, l := range open {
		if l.State == store.LeaseRequested {
			waiting = append(waiting, l)
		}
	}
	slices.SortStableFunc(waiting, moreUrgent)
	s.queue = s.queue[:0]
	for _, l := range waiting {
		node, ok := s.book.Place(l, now)
		if !ok {
			s.queue = append(s.queue, l)
			continue
		}
		l.State, l.Node, l.Epoch, l.GrantedAt = store.LeaseGranted, node, s.epoch, now
		s.book.Take(l)
		grants = append(grants, l)
	}
	return grants
}

// reconcile strikes out grants whose rows were released elsewhere, and enters
// those that the rows have. A grant entered a moment ago, whose row was not
// there when the rows were read, is kept for a while.
func (s *Scheduler) reconcile(open []store.Lease) {
	rows := make(map[agent.LeaseID]bool, len(open))
	for _, l := range open {
		rows[l.ID] = true
		if l.State == store.LeaseGranted {
			s.book.Take(l)
		}
	}
	for id, l := range s.book.grants {
		if !rows[id] && s.cfg.Now().Sub(l.GrantedAt) > renewEvery {
			s.book.Free(id)
		}
	}
}

// moreUrgent orders requests: priority, then class, then age.
func moreUrgent(a, b store.Lease) int {
	return cmp.Or(
		cmp.Compare(a.Priority.Rank(), b.Priority.Rank()),
		cmp.Compare(a.Class.Rank(), b.Class.Rank()),
		a.RequestedAt.Compare(b.RequestedAt),
	)
}

// tell sends a grant to its workflow. A grant whose workflow is gone is given back.
func (s *Scheduler) tell(ctx context.Context, l store.Lease) {
	err := s.cfg.Tell(ctx, l)
	if errors.Is(err, agent.ErrNotFound) {
		err = s.Release(ctx, l.ID)
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Logger.Warn("cannot tell of a grant; it is told again later", "lease", l.ID, "error", err)
	}
}

// sweep gives back leases whose task is over, which only a workflow that was
// ended from outside leaves, and tells again of grants that were not heard.
func (s *Scheduler) sweep(ctx context.Context) {
	if !s.Leads() {
		return
	}
	open, err := s.cfg.Store.OpenLeases(ctx)
	if err != nil {
		return
	}
	for _, l := range open {
		t, err := s.cfg.Store.Task(ctx, l.Task.Namespace, l.Task.Task)
		switch {
		case errors.Is(err, agent.ErrNotFound) || err == nil && t.State.Final():
			if err := s.Release(ctx, l.ID); err != nil {
				s.cfg.Logger.Warn("cannot give back a lease", "lease", l.ID, "error", err)
			}
		case err == nil && l.State == store.LeaseGranted && t.State == agent.TaskQueued:
			s.tell(ctx, l)
		}
	}
}

// lost stops leading when the store does not answer: another may lead by now.
func (s *Scheduler) lost(ctx context.Context, err error) {
	s.mu.Lock()
	was := s.epoch
	s.epoch = 0
	s.mu.Unlock()
	if was > 0 && ctx.Err() == nil {
		s.cfg.Logger.Warn("no longer leading the scheduler: the store does not answer", "error", err)
	}
}

// resignTimeout bounds the last write of a leader that stops.
const resignTimeout = time.Second

// resign lets another lead at once.
func (s *Scheduler) resign() {
	if !s.Leads() {
		return
	}
	s.mu.Lock()
	s.epoch = 0
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), resignTimeout)
	defer cancel()
	if err := s.cfg.Store.ResignLeadership(ctx, leadershipName, s.cfg.Holder); err != nil {
		s.cfg.Logger.Warn("cannot resign; another leads once the term is over", "error", err)
	}
}
