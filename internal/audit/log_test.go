package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
	"symbi.dev/symbi/internal/store"
)

// journal is a store of events that fails and stands still as it is told.
type journal struct {
	mu     sync.Mutex
	writes [][]store.Event
	fail   func([]store.Event) error // before anything is kept

	begun chan struct{} // one for each write, if not nil
	letGo chan struct{}
}

func (j *journal) AppendEvents(ctx context.Context, events []store.Event) error {
	if j.begun != nil {
		j.begun <- struct{}{}
		select {
		case <-j.letGo:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail != nil {
		if err := j.fail(events); err != nil {
			return err
		}
	}
	j.writes = append(j.writes, append([]store.Event(nil), events...))
	return nil
}

// failing makes every write fail, nil none.
func (j *journal) failing(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = func([]store.Event) error { return err }
}

func (j *journal) groups() [][]store.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([][]store.Event(nil), j.writes...)
}

func (j *journal) events() []store.Event {
	var out []store.Event
	for _, g := range j.groups() {
		out = append(out, g...)
	}
	return out
}

// standing holds every write until it is let go.
func standing() *journal {
	return &journal{begun: make(chan struct{}, 10_000), letGo: make(chan struct{})}
}

// started is a log that writes to j until the test ends, and what it says itself.
func started(t testing.TB, j audit.Appender) (*audit.Log, *syncBuffer) {
	t.Helper()
	said := new(syncBuffer)
	l := audit.New(j, time.Now, slog.New(slog.NewTextHandler(said, nil)))
	l.Start()
	t.Cleanup(l.Stop)
	return l, said
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var suspend = audit.Event{
	Action: agent.ActAgentSuspend, Principal: agent.PrincipalAdmin, Namespace: "default", Agent: "a", Resource: "a", Request: "r1",
	Decision: &agent.Decision{Verdict: agent.Allow, Revision: "x"}, Details: audit.Details{"attempt": 1},
}

func TestAnAttemptIsOnRecordBeforeItsActionAndTheOutcomeAfter(t *testing.T) {
	t.Parallel()
	j := new(journal)
	l, _ := started(t, j)
	id, err := l.Attempt(t.Context(), suspend)
	if err != nil {
		t.Fatal(err)
	}
	on := j.events()
	if len(on) != 1 {
		t.Fatalf("on record when Attempt returned: %v", on)
	}
	l.Outcome(t.Context(), id, suspend, audit.OutcomeOf(nil))
	l.Stop()
	on = j.events()
	if len(on) != 2 {
		t.Fatalf("on record: %v", on)
	}
	attempt, outcome := on[0], on[1]
	if attempt.Kind != "attempt" || attempt.ID != string(id) || attempt.Action != agent.ActAgentSuspend || attempt.Principal != agent.PrincipalAdmin ||
		attempt.Namespace != "default" || attempt.Agent != "a" || attempt.Resource != "a" || attempt.Request != "r1" ||
		attempt.Decision == nil || string(attempt.Details) != `{"attempt":1}` || attempt.At.IsZero() {
		t.Errorf("the attempt is %+v", attempt)
	}
	if outcome.Kind != "outcome" || outcome.Attempt != string(id) || outcome.Outcome != "ok" || outcome.Action != agent.ActAgentSuspend || outcome.ID == string(id) {
		t.Errorf("the outcome is %+v", outcome)
	}
	for _, e := range on {
		if u, err := uuid.Parse(e.ID); err != nil || u.Version() != 7 {
			t.Errorf("%s is no UUIDv7 (%v)", e.ID, err)
		}
	}
}

func TestOutcomesSayWhatCameOfIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		got, want audit.Outcome
	}{
		{audit.OutcomeOf(nil), audit.Outcome{Word: "ok"}},
		{audit.Denied("too large"), audit.Outcome{Word: "denied", Reason: "too large"}},
		{audit.OutcomeOf(agent.Errorf(agent.ErrDenied, "no")), audit.Outcome{Word: "denied", Reason: "denied"}},
		{audit.OutcomeOf(agent.Errorf(agent.ErrConflict, "it has password hunter2")), audit.Outcome{Word: "failed", Reason: "conflict"}},
		{audit.OutcomeOf(fmt.Errorf("wait: %w", context.Canceled)), audit.Outcome{Word: "failed", Reason: "given up"}},
		{audit.OutcomeOf(errors.New("a secret")), audit.Outcome{Word: "failed", Reason: "internal"}},
	} {
		if c.got != c.want {
			t.Errorf("got %+v, want %+v", c.got, c.want)
		}
	}
}

func TestAllThatWaitIsWrittenAtOnceAndInOrder(t *testing.T) {
	t.Parallel()
	j := standing()
	l, _ := started(t, j)
	const callers = 100
	var attempting sync.WaitGroup
	attempt := func() {
		if _, err := l.Attempt(context.Background(), suspend); err != nil {
			t.Error(err)
		}
	}
	attempting.Go(attempt)
	<-j.begun
	for range callers {
		id := audit.AttemptID("earlier")
		l.Outcome(t.Context(), id, suspend, audit.OutcomeOf(nil))
	}
	for range callers {
		attempting.Go(attempt)
	}
	close(j.letGo)
	attempting.Wait()
	l.Stop()
	groups := j.groups()
	if total := len(j.events()); total != 2*callers+1 {
		t.Errorf("%d events on record", total)
	}
	if len(groups[0]) != 1 || len(groups[1]) < callers {
		t.Errorf("the second write has %d events, want all that waited", len(groups[1]))
	}
	last := ""
	for _, e := range j.events()[:callers+1] {
		if e.ID < last {
			t.Fatal("events of one caller are not in their order")
		}
		last = e.ID
	}
}

func TestWithoutAnAnswerNothingMayBeDone(t *testing.T) {
	t.Parallel()
	t.Run("the store fails", func(t *testing.T) {
		t.Parallel()
		j := new(journal)
		j.failing(errors.New("disk on fire"))
		l, said := started(t, j)
		_, err := l.Attempt(t.Context(), suspend)
		if !errors.Is(err, agent.ErrUnavailable) || strings.Contains(err.Error(), "fire") {
			t.Errorf("got %v", err)
		}
		if !strings.Contains(said.String(), "disk on fire") {
			t.Errorf("the log says %s", said)
		}
		if err := l.Record(t.Context(), audit.KindTransition, suspend); !errors.Is(err, agent.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("it was never started", func(t *testing.T) {
		t.Parallel()
		l := audit.New(new(journal), time.Now, slog.New(slog.DiscardHandler))
		if _, err := l.Attempt(t.Context(), suspend); !errors.Is(err, agent.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		l.Stop()
		l.Stop()
		l.Start()
		if err := l.Record(t.Context(), audit.KindTransition, suspend); !errors.Is(err, agent.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("it was stopped", func(t *testing.T) {
		t.Parallel()
		l, said := started(t, new(journal))
		l.Stop()
		l.Stop()
		if _, err := l.Attempt(t.Context(), suspend); !errors.Is(err, agent.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		l.Outcome(t.Context(), "id", suspend, audit.OutcomeOf(nil))
		if !strings.Contains(said.String(), "lost") {
			t.Error("an outcome is lost in silence")
		}
	})
	t.Run("the caller leaves", func(t *testing.T) {
		t.Parallel()
		j := standing()
		l, _ := started(t, j)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 1)
		go func() {
			_, err := l.Attempt(ctx, suspend)
			got <- err
		}()
		<-j.begun
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(j.letGo)
	})
}

func TestAFullQueueRefusesAttemptsAtOnce(t *testing.T) {
	t.Parallel()
	j := standing()
	l, _ := started(t, j)
	const callers = 6000 // more than may wait
	results := make(chan error, callers)
	attempt := func() {
		_, err := l.Attempt(context.Background(), suspend)
		results <- err
	}
	go attempt()
	<-j.begun
	for range callers - 1 {
		go attempt()
	}
	refused := 0
	for range callers - 4096 - 1 {
		if err := <-results; !errors.Is(err, agent.ErrExhausted) {
			t.Fatalf("got %v", err)
		}
		refused++
	}
	close(j.letGo)
	for range callers - refused {
		if err := <-results; err != nil {
			t.Fatalf("one that waited got %v", err)
		}
	}
}

func TestAnOutcomeIsRecordedThoughTheCallerHasGone(t *testing.T) {
	t.Parallel()
	j := new(journal)
	l, _ := started(t, j)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 100 {
		l.Outcome(gone, "id", suspend, audit.OutcomeOf(nil))
	}
	l.Stop()
	if n := len(j.events()); n != 100 {
		t.Errorf("%d of 100 on record", n)
	}
}

func TestAnOutcomeWaitsForAStoreThatComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := new(journal)
		j.failing(errors.New("gone"))
		l, said := started(t, j)
		l.Outcome(t.Context(), "one", suspend, audit.OutcomeOf(nil))
		l.Outcome(t.Context(), "two", suspend, audit.OutcomeOf(nil))
		synctest.Wait()
		if n := len(j.events()); n != 0 {
			t.Fatalf("%d on record though the store fails", n)
		}
		j.failing(nil)
		<-time.After(2 * time.Second) // of the bubble's clock
		if on := j.events(); len(on) != 2 || on[0].Attempt != "one" {
			t.Errorf("on record: %v", on)
		}
		if strings.Contains(said.String(), "lost") {
			t.Errorf("the log says %s", said)
		}
		l.Stop()
	})
}

func TestAStoreThatStaysAwayLosesNoOutcomeInSilence(t *testing.T) {
	t.Parallel()
	j := new(journal)
	j.failing(errors.New("gone"))
	l, said := started(t, j)
	l.Outcome(t.Context(), "att-1", suspend, audit.OutcomeOf(nil))
	l.Stop()
	if text := said.String(); !strings.Contains(text, "lost") || !strings.Contains(text, "att-1") || !strings.Contains(text, "agent.suspend") {
		t.Errorf("the log says %s", text)
	}
}

func TestOneEventThatTheStoreRefusesTakesNoOtherWithIt(t *testing.T) {
	t.Parallel()
	j := standing()
	j.fail = func(events []store.Event) error {
		for _, e := range events {
			if e.Resource == "bad" {
				return agent.Errorf(agent.ErrInvalid, "bad")
			}
		}
		return nil
	}
	l, said := started(t, j)
	var attempting sync.WaitGroup
	attempt := func(resource string, want error) {
		attempting.Go(func() {
			e := suspend
			e.Resource = resource
			if _, err := l.Attempt(context.Background(), e); !errors.Is(err, want) {
				t.Errorf("%s: got %v", resource, err)
			}
		})
	}
	attempt("first", nil)
	<-j.begun
	bad := suspend
	bad.Resource = "bad"
	l.Outcome(t.Context(), "id", bad, audit.OutcomeOf(nil))
	for range 10 {
		attempt("good", nil)
	}
	attempt("bad", agent.ErrUnavailable)
	close(j.letGo)
	attempting.Wait()
	l.Stop()
	if n := len(j.events()); n != 11 {
		t.Errorf("%d on record", n)
	}
	if !strings.Contains(said.String(), "lost") {
		t.Error("the outcome that was refused is lost in silence")
	}
}

func TestTransitionsAreRecordedAllOrNone(t *testing.T) {
	t.Parallel()
	j := new(journal)
	l, _ := started(t, j)
	var steps []audit.Event
	for i := range 1000 { // more than a group
		steps = append(steps, audit.Event{Action: "agent.transition", Principal: agent.PrincipalRuntime, Details: audit.Details{
			"number": int64(i), "from": agent.Ready, "to": agent.Running,
		}})
	}
	if err := l.Record(t.Context(), audit.KindTransition, steps...); err != nil {
		t.Fatal(err)
	}
	if groups := j.groups(); len(groups) != 1 || len(groups[0]) != len(steps) {
		t.Errorf("%d writes", len(groups))
	}
	if e := j.events()[7]; e.Kind != "transition" || string(e.Details) != `{"from":"Ready","number":7,"to":"Running"}` {
		t.Errorf("got %+v", e)
	}
	if err := l.Record(t.Context(), audit.KindTransition); err != nil || len(j.groups()) != 1 {
		t.Errorf("nothing to record: %v", err)
	}
}

// BenchmarkAttempt reports the time of one attempt, by how many come at once,
// on a store whose every write takes as long as an append with fsync.
func BenchmarkAttempt(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			l, _ := started(b, slow{})
			b.SetParallelism(max(1, callers/2)) // a processor, and there are two
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := l.Attempt(context.Background(), suspend); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// slow takes 0.35 ms a write.
type slow struct{}

func (slow) AppendEvents(context.Context, []store.Event) error {
	<-time.After(350 * time.Microsecond)
	return nil
}
