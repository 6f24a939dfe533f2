package scheduler

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/store/sqlite"
)

// told remembers the grants that were told, and waits for them.
type told struct {
	mu   sync.Mutex
	seen []store.Lease
	grew chan struct{}
	gone map[agent.LeaseID]bool
}

func newTold() *told {
	return &told{grew: make(chan struct{}, 100), gone: map[agent.LeaseID]bool{}}
}

func (w *told) tell(_ context.Context, l store.Lease) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone[l.ID] {
		return agent.Errorf(agent.ErrNotFound, "no workflow")
	}
	w.seen = append(w.seen, l)
	w.grew <- struct{}{}
	return nil
}

func (w *told) await(t *testing.T) store.Lease {
	t.Helper()
	select {
	case <-w.grew:
	case <-time.After(20 * time.Second):
		t.Fatal("no grant was told")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[len(w.seen)-1]
}

func openStore(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "test.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func started(t *testing.T, s store.Store, holder string, w *told) *Scheduler {
	t.Helper()
	sched := New(Config{
		Store: s, Holder: holder, Tell: w.tell, Wake: func() {}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err := sched.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sched.Stop)
	return sched
}

// report puts a node with so much memory into the store.
func report(t *testing.T, s store.Store, id agent.NodeID, memoryMB int64) {
	t.Helper()
	n := node(id, memoryMB, 8)
	n.ReportedAt, n.StartedAt = time.Now(), time.Now()
	if err := s.PutNode(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

func wish(id agent.LeaseID, memoryMB int64, p agent.Priority) store.Lease {
	l := lease(id, memoryMB, 1)
	l.Task = agent.TaskRef{Namespace: "default", Agent: "a", Task: agent.TaskID(id)}
	l.WorkflowID, l.Priority, l.Class, l.RequestedAt = l.Task.WorkflowID(), p, agent.Batch, time.Now()
	return l
}

func TestARequestThatFitsIsGrantedAtOnce(t *testing.T) {
	t.Parallel()
	s, w := openStore(t), newTold()
	report(t, s, "a", 1000)
	sched := started(t, s, "one", w)
	got, _, failure, err := sched.Request(t.Context(), wish("l1", 600, agent.Normal))
	if err != nil || failure != nil || got.Node != "a" || got.Epoch == 0 {
		t.Fatalf("got %+v, %v, %v", got, failure, err)
	}
	again, _, _, err := sched.Request(t.Context(), wish("l1", 600, agent.Normal))
	if err != nil || again.Node != "a" || again.Epoch != got.Epoch {
		t.Errorf("asked again: got %+v, %v", again, err)
	}
	if _, why, _, err := sched.Request(t.Context(), wish("l2", 600, agent.Normal)); err != nil || why == "" {
		t.Errorf("the second does not fit, and why is %q, %v", why, err)
	}
}

func TestWaitingRequestsAreGrantedByPriorityAsRoomIsFreed(t *testing.T) {
	t.Parallel()
	s, w := openStore(t), newTold()
	report(t, s, "a", 1000)
	sched := started(t, s, "one", w)
	request := func(l store.Lease) store.Lease {
		t.Helper()
		got, _, _, err := sched.Request(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	request(wish("first", 1000, agent.Normal))
	request(wish("low", 1000, agent.Low))
	request(wish("critical", 1000, agent.Critical))
	if err := sched.Release(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	if got := w.await(t); got.ID != "critical" || got.Node != "a" {
		t.Errorf("granted %+v, want the critical one", got)
	}
	if err := sched.Release(t.Context(), "critical"); err != nil {
		t.Fatal(err)
	}
	if got := w.await(t); got.ID != "low" {
		t.Errorf("granted %+v, want the low one", got)
	}
}

func TestANewLeaderKnowsWhatIsGrantedAndTellsItAgain(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	report(t, s, "a", 1000)
	first := started(t, s, "one", newTold())
	if got, _, _, err := first.Request(t.Context(), wish("held", 900, agent.Normal)); err != nil || got.Node != "a" {
		t.Fatal(got, err)
	}
	first.Stop()

	w := newTold()
	report(t, s, "a", 1000)
	second := started(t, s, "two", w)
	if got := w.await(t); got.ID != "held" {
		t.Errorf("told of %+v, want the grant that was there", got)
	}
	if !second.Leads() {
		t.Error("the second does not lead")
	}
	got, _, _, err := second.Request(t.Context(), wish("more", 900, agent.Normal))
	if err != nil || got.Node != "" {
		t.Errorf("granted beyond what the node has: %+v, %v", got, err)
	}
}

func TestAGrantWhoseWorkflowIsGoneIsGivenBack(t *testing.T) {
	t.Parallel()
	s, w := openStore(t), newTold()
	report(t, s, "a", 1000)
	sched := started(t, s, "one", w)
	for _, id := range []agent.LeaseID{"first", "orphan", "next"} {
		if _, _, _, err := sched.Request(t.Context(), wish(id, 1000, agent.Normal)); err != nil {
			t.Fatal(err)
		}
	}
	w.mu.Lock()
	w.gone["orphan"] = true
	w.mu.Unlock()
	if err := sched.Release(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	if got := w.await(t); got.ID != "next" {
		t.Errorf("granted %+v, want the one after the orphan", got)
	}
}

func TestOnlyOneOfTwoLeads(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	report(t, s, "a", 1000)
	w := newTold()
	leader := started(t, s, "one", w)
	other := started(t, s, "two", newTold())
	if !leader.Leads() || other.Leads() {
		t.Fatalf("leads: %v and %v", leader.Leads(), other.Leads())
	}
	got, _, _, err := other.Request(t.Context(), wish("l1", 100, agent.Normal))
	if err != nil || got.Node != "" {
		t.Fatalf("the follower granted %+v, %v", got, err)
	}
	leader.Nudge() // as the bus does
	if got := w.await(t); got.ID != "l1" || got.Node != "a" {
		t.Errorf("the leader granted %+v", got)
	}
}
