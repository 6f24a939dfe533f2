package audit

import (
	"context"
	"time"

	"symbi.dev/symbi/internal/store"
)

// run writes what comes until it is told to stop, and then what is left.
func (l *Log) run() {
	gather := time.NewTicker(gatherEvery)
	defer gather.Stop()
	for {
		select {
		case first := <-l.queue:
			l.write(first, appendLimit)
		case <-gather.C:
			l.writeSeen()
		case <-l.stop:
			l.finish()
			return
		}
	}
}

// write appends one event and all that wait, in one group.
func (l *Log) write(first entry, limit time.Duration) {
	group := []entry{first}
	for len(group) < groupLength {
		select {
		case e := <-l.queue:
			group = append(group, e)
			continue
		default:
		}
		break
	}
	events := make([]store.Event, len(group))
	for i, e := range group {
		events[i] = e.event
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := l.to.AppendEvents(ctx, events)
	if err != nil {
		l.logger.Error("audit events were not written", "events", len(events), "error", err)
	}
	for _, e := range group {
		if e.written != nil {
			e.written <- err
		}
	}
}

// finish writes what waits and what was gathered.
func (l *Log) finish() {
	deadline := time.Now().Add(finalTimeout)
	for time.Now().Before(deadline) {
		select {
		case first := <-l.queue:
			l.write(first, time.Until(deadline))
			continue
		default:
		}
		break
	}
	l.writeSeen()
}

// writeSeen writes one event for each sort of read or failed login.
func (l *Log) writeSeen() {
	counts, dropped := l.seen.take()
	var events []store.Event
	for key, n := range counts {
		e := l.event("gathered", Event{
			Action: key.action, Principal: key.principal, Namespace: key.namespace, Agent: key.agent, Resource: key.resource,
			Details: Details{"count": n, "source": key.source},
		})
		e.Outcome = key.outcome
		events = append(events, e)
	}
	if dropped > 0 {
		events = append(events, l.event("gathered", Event{Action: "other", Details: Details{"count": dropped}}))
	}
	if len(events) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), appendLimit)
	defer cancel()
	if err := l.to.AppendEvents(ctx, events); err != nil {
		l.logger.Error("gathered audit events were not written", "events", len(events), "error", err)
	}
}
