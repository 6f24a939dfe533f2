package audit

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// Appender writes events durably, in order, all or none.
type Appender interface {
	AppendEvents(ctx context.Context, events []store.Event) error
}

// Bounds of the log.
const (
	queueLength = 4096            // entries that may wait; more attempts are refused
	groupLength = 512             // events in one write
	appendLimit = 5 * time.Second // for one write
	outcomeWait = 5 * time.Second // for room in the queue, when somebody reports an outcome
	retryEvery  = time.Second     // of outcomes that could not be written
	lateLength  = 4096            // outcomes that wait to be written again; more are given up
	gatherEvery = time.Minute     // of reads and failed logins
	gatherSorts = 2000            // sorts counted apart in one gathering
)

// Log is one process's end of the audit log. It works between Start and Stop.
type Log struct {
	to     Appender
	now    func() time.Time
	logger *slog.Logger

	queue chan entry
	seen  gathering
	late  []store.Event // not written yet though tried; only run touches it

	stop chan struct{} // closed by Stop
	done chan struct{} // closed when nothing is written any more

	mu      sync.Mutex
	started bool
	stopped bool
}

// entry is events that wait, and where the answer goes; nil when nobody waits
// for one.
type entry struct {
	events  []store.Event
	written chan<- error
}

// New makes a log that writes to an appender.
func New(to Appender, now func() time.Time, logger *slog.Logger) *Log {
	return &Log{
		to: to, now: now, logger: logger,
		queue: make(chan entry, queueLength), stop: make(chan struct{}), done: make(chan struct{}),
	}
}

// Start begins to write in the background.
func (l *Log) Start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started || l.stopped {
		return
	}
	l.started = true
	go func() {
		defer close(l.done)
		l.run()
	}()
}

// Stop writes what waits and what was gathered, and ends. It may be called
// twice, or without Start.
func (l *Log) Stop() {
	l.mu.Lock()
	if !l.stopped {
		l.stopped = true
		close(l.stop)
		if !l.started {
			close(l.done)
		}
	}
	l.mu.Unlock()
	<-l.done
	for len(l.queue) > 0 { // what came while it stopped
		select {
		case e := <-l.queue:
			l.lost("the audit log has stopped", e.events...)
		default:
		}
	}
}

func (l *Log) running() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.started && !l.stopped
}

// Attempt records that an action is about to be done, and returns once that is
// durable. On an error the action must not be done: ErrExhausted when too much
// waits already, ErrUnavailable when the log does not answer.
func (l *Log) Attempt(ctx context.Context, e Event) (AttemptID, error) {
	if !l.running() {
		return "", stopped()
	}
	event := l.stored(KindAttempt, e)
	written := make(chan error, 1)
	select {
	case l.queue <- entry{[]store.Event{event}, written}:
	default:
		return "", agent.Errorf(agent.ErrExhausted, "the audit log cannot keep up, so nothing was done; try again soon")
	}
	if err := l.await(ctx, written); err != nil {
		return "", err
	}
	return AttemptID(event.ID), nil
}

// Outcome records what came of an attempt, which e is again. It waits for room,
// not for the write, and outlives the context: whoever asked may have gone, but
// what was done was done. What cannot be recorded is logged.
func (l *Log) Outcome(ctx context.Context, id AttemptID, e Event, o Outcome) {
	e.Decision = nil // the attempt has it
	if o.Reason != "" {
		e.Details = e.Details.with("reason", o.Reason)
	}
	event := l.stored(KindOutcome, e)
	event.Attempt, event.Outcome = string(id), o.Word
	enough := time.NewTimer(outcomeWait)
	defer enough.Stop()
	why := "the audit log is not running"
	if l.running() {
		select {
		case l.queue <- entry{events: []store.Event{event}}:
			return
		case <-l.done:
		case <-enough.C:
			why = "the audit log cannot keep up"
		}
	}
	l.lost(why, event)
}

// Record writes events that are no attempts, such as transitions, all or none,
// and returns once they are durable. Whoever repeats it after an error may
// record them twice.
func (l *Log) Record(ctx context.Context, kind string, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	if !l.running() {
		return stopped()
	}
	waiting, written := entry{events: make([]store.Event, len(events))}, make(chan error, 1)
	for i, e := range events {
		waiting.events[i] = l.stored(kind, e)
	}
	waiting.written = written
	select {
	case l.queue <- waiting:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return stopped()
	}
	return l.await(ctx, written)
}

// Seen counts a read or a failed login. It never waits and never fails.
func (l *Log) Seen(e Event) { l.seen.count(e, l.now()) }

// await waits for the answer to an entry.
func (l *Log) await(ctx context.Context, written <-chan error) error {
	var err error
	select {
	case err = <-written:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		select {
		case err = <-written: // it was among the last
		default:
			return stopped()
		}
	}
	if err != nil {
		return &agent.Error{Kind: agent.ErrUnavailable, Err: err, Message: "the audit log does not answer, so nothing was done; try again soon"}
	}
	return nil
}

func stopped() error {
	return agent.Errorf(agent.ErrUnavailable, "the audit log is not running, so nothing was done")
}

// lost puts events in the process's own log, where they are better than nowhere.
func (l *Log) lost(why string, events ...store.Event) {
	for _, e := range events {
		l.logger.Error("an audit event is lost: "+why, "id", e.ID, "kind", e.Kind, "action", e.Action, "principal", e.Principal,
			"namespace", e.Namespace, "resource", e.Resource, "outcome", e.Outcome, "attempt", e.Attempt, "request", e.Request)
	}
}
