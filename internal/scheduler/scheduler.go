package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// Store is what the scheduler keeps.
type Store interface {
	store.Leases
	ListNodes(ctx context.Context) ([]store.Node, error)
	Task(ctx context.Context, ns agent.Namespace, id agent.TaskID) (store.Task, error)
}

// Config is what a Scheduler is made of.
type Config struct {
	Store  Store
	Holder string // this process, among those that may lead
	// Tell sends a grant to the workflow that waits for it; ErrNotFound when
	// there is none any more.
	Tell func(ctx context.Context, l store.Lease) error
	// Wake tells a leader elsewhere that there is a request or free room.
	Wake   func()
	Now    func() time.Time
	Logger *slog.Logger
}

// Bounds of leadership. A leader renews three times before it would lose it.
const (
	leadershipName  = "scheduler"
	leadershipTTL   = 6 * time.Second
	renewEvery      = 2 * time.Second
	sweepEvery      = time.Minute
	reloadAtMostPer = 20 * time.Millisecond
)

// Scheduler asks for leases, and grants them while it leads.
type Scheduler struct {
	cfg  Config
	wake chan struct{}

	mu    sync.Mutex
	epoch int64 // 0 while not leading
	book  *Book
	queue []store.Lease // requests not granted, in no order

	stop func()
	done chan struct{}
}

// New makes a scheduler that does not lead yet.
func New(cfg Config) *Scheduler {
	return &Scheduler{cfg: cfg, wake: make(chan struct{}, 1), book: NewBook()}
}

// Start begins to stand for leadership and returns once that was tried once.
// Stop ends it.
func (s *Scheduler) Start(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan struct{})
	s.campaign(ctx)
	go func() {
		defer close(s.done)
		s.run(ctx)
	}()
	return nil
}

// Stop gives leadership up and waits. It may be called twice, or without Start.
func (s *Scheduler) Stop() {
	if s.stop == nil {
		return
	}
	s.stop()
	<-s.done
}

// Request asks for a lease. The answer has a node when the request was granted
// at once; otherwise the grant is told later, and why says what it waits for. A
// failure says that it could never be granted.
func (s *Scheduler) Request(ctx context.Context, l store.Lease) (got store.Lease, why string, failure *agent.Failure, err error) {
	now := s.cfg.Now()
	s.mu.Lock()
	if failure := s.book.Never(l); failure != nil {
		s.mu.Unlock()
		return l, "", failure, nil
	}
	l.State = store.LeaseRequested
	took := false
	if s.epoch > 0 && !s.book.Has(l.ID) {
		if node, ok := s.book.Place(l, now); ok {
			l.State, l.Node, l.Epoch, l.GrantedAt = store.LeaseGranted, node, s.epoch, now
			s.book.Take(l)
			took = true
		}
	}
	why = s.book.Why(l, now)
	s.mu.Unlock()

	got, err = s.cfg.Store.RequestLease(ctx, l)
	if took && (err != nil || got.Node != l.Node) {
		s.free(l.ID)
	}
	if err != nil {
		return l, "", nil, err
	}
	if got.State == store.LeaseRequested {
		s.Nudge()
		s.cfg.Wake()
		return got, why, nil, nil
	}
	return got, "", nil, nil
}

// Release gives a lease back, or withdraws the request for it.
func (s *Scheduler) Release(ctx context.Context, id agent.LeaseID) error {
	if err := s.cfg.Store.ReleaseLease(ctx, id); err != nil {
		return err
	}
	s.free(id)
	if s.waiting() {
		s.Nudge()
	}
	s.cfg.Wake()
	return nil
}

// Nudge makes a leading scheduler look at the rows again soon.
func (s *Scheduler) Nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Leads reports whether this process leads now.
func (s *Scheduler) Leads() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch > 0
}

func (s *Scheduler) free(id agent.LeaseID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.Free(id)
}

func (s *Scheduler) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) > 0
}
