// Package audit records what is attempted and what came of it, durably and in
// order. An attempt is on record before the action is done; its outcome
// follows. Reads and failed logins are gathered per source and minute in a
// lane of their own, so that no flood of them can stop anything.
//
// Events are appended in groups: one write carries all that waited. When the
// log cannot keep up or does not answer, Attempt fails, and what it was for
// must not be done.
package audit

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// Event is what happened, as the one who reports it knows it.
type Event struct {
	Action    agent.Action
	Principal agent.Principal
	Namespace agent.Namespace
	Agent     agent.Name
	Resource  string // what it was done to
	Request   string // the request's ID
	Source    string // the address of whoever asked; only for gathered events
	Decision  *agent.Decision
	Details   Details
}

// Details are facts of an event. Values must hold no secret: they are written
// as they are.
type Details map[string]any

// AttemptID names an attempt, for its outcome.
type AttemptID string

// Outcome is what came of an attempt.
type Outcome struct {
	Word   string // ok, denied or failed
	Reason string
}

// Denied is the outcome of what policy forbade.
func Denied(reason string) Outcome { return Outcome{Word: "denied", Reason: reason} }

// OutcomeOf is the outcome of what was done, or failed with err. The error's
// kind is recorded, not its cause.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Outcome{Word: "ok"}
	}
	if kind := agent.KindOf(err); kind != nil {
		return Outcome{Word: "failed", Reason: kind.Error()}
	}
	return Outcome{Word: "failed", Reason: "internal"}
}

// Appender writes events durably, in order.
type Appender interface {
	AppendEvents(ctx context.Context, events []store.Event) error
}

// Bounds of the log.
const (
	queueLength  = 4096             // events that may wait; more are refused
	groupLength  = 512              // events in one write
	appendLimit  = 5 * time.Second  // for one write
	gatherEvery  = time.Minute      // of reads and failed logins
	gatherSorts  = 10_000           // sources and actions counted apart in one gathering
	finalTimeout = 10 * time.Second // to write what waits at the end
)

// Log is one process's end of the audit log.
type Log struct {
	to     Appender
	now    func() time.Time
	logger *slog.Logger

	queue chan entry
	seen  gathering
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
}

// entry is an event that waits, and where the answer goes; nil when nobody waits for one.
type entry struct {
	event   store.Event
	written chan<- error
}

// New makes a log that writes to an appender.
func New(to Appender, now func() time.Time, logger *slog.Logger) *Log {
	return &Log{
		to: to, now: now, logger: logger,
		queue: make(chan entry, queueLength), stop: make(chan struct{}), done: make(chan struct{}),
		seen: gathering{counts: map[seenKey]int{}},
	}
}

// Start begins to write in the background.
func (l *Log) Start() {
	go func() {
		defer close(l.done)
		l.run()
	}()
}

// Stop writes what waits and ends. It may be called twice.
func (l *Log) Stop() {
	l.once.Do(func() { close(l.stop) })
	<-l.done
}

// Attempt records that an action is about to be done, and returns once that
// is durable. On an error the action must not be done.
func (l *Log) Attempt(ctx context.Context, e Event) (AttemptID, error) {
	event := l.event("attempt", e)
	written := make(chan error, 1)
	select {
	case l.queue <- entry{event, written}:
	default:
		return "", agent.Errorf(agent.ErrUnavailable, "the audit log cannot keep up; nothing was done, try again soon")
	}
	select {
	case err := <-written:
		if err != nil {
			return "", agent.Errorf(agent.ErrUnavailable, "the audit log does not answer; nothing was done: %w", err)
		}
		return AttemptID(event.ID), nil
	case <-l.done:
		return "", agent.Errorf(agent.ErrUnavailable, "the audit log has stopped; nothing was done")
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Outcome records what came of an attempt. It waits for room, not for the
// write: an attempt without an outcome is visible as such.
func (l *Log) Outcome(ctx context.Context, id AttemptID, e Event, o Outcome) {
	event := l.event("outcome", e)
	event.Attempt, event.Outcome = string(id), o.Word
	event.Decision = nil // the attempt has it
	if o.Reason != "" {
		event.Details = detailsWith(e.Details, "reason", o.Reason)
	}
	select {
	case l.queue <- entry{event: event}:
	case <-l.done:
	case <-ctx.Done():
		l.logger.Warn("an outcome was not recorded", "attempt", id, "outcome", o.Word)
	}
}

// Record writes an event that is no attempt, such as a transition, and returns
// once it is durable.
func (l *Log) Record(ctx context.Context, kind string, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	written := make(chan error, len(events))
	for _, e := range events {
		select {
		case l.queue <- entry{l.event(kind, e), written}:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.done:
			return agent.Errorf(agent.ErrUnavailable, "the audit log has stopped")
		}
	}
	for range events {
		select {
		case err := <-written:
			if err != nil {
				return agent.Errorf(agent.ErrUnavailable, "the audit log does not answer: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-l.done:
			return agent.Errorf(agent.ErrUnavailable, "the audit log has stopped")
		}
	}
	return nil
}

// Seen counts a read or a failed login. It never blocks and never fails.
func (l *Log) Seen(e Event) { l.seen.count(e) }

func (l *Log) event(kind string, e Event) store.Event {
	return store.Event{
		ID: uuid.Must(uuid.NewV7()).String(), At: l.now().UTC(), Kind: kind,
		Action: e.Action, Principal: e.Principal, Namespace: e.Namespace, Agent: e.Agent,
		Resource: e.Resource, Request: e.Request, Decision: e.Decision, Details: detailsWith(e.Details, "", nil),
	}
}

// detailsWith writes details, with one more fact where name is not empty.
func detailsWith(d Details, name string, value any) json.RawMessage {
	if name != "" {
		more := Details{name: value}
		for k, v := range d {
			more[k] = v
		}
		d = more
	}
	if len(d) == 0 {
		return nil
	}
	b, err := json.Marshal(d)
	if err != nil {
		return json.RawMessage(`{"details":"could not be written"}`)
	}
	return b
}
