package audit

import (
	"context"
	"errors"
	"slices"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// run writes what comes until it is told to stop, and then what is left.
func (l *Log) run() {
	gather := time.NewTicker(gatherEvery)
	defer gather.Stop()
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		select {
		case first := <-l.queue:
			l.write(l.group(first))
		case <-gather.C:
			l.writeSeen()
		case <-retry.C:
			if len(l.late) > 0 {
				l.write(l.group())
			}
		case <-l.stop:
			l.finish()
			return
		}
	}
}

// finish writes what waits, what is late, and what was gathered. It gives up
// when the log does not answer any more.
func (l *Log) finish() {
	for len(l.queue) > 0 {
		if l.write(l.group()) != nil {
			break
		}
	}
	for len(l.queue) > 0 { // who waits must hear that it was not written
		e := <-l.queue
		l.answer([]entry{e}, errors.New("the log was stopped while it did not answer"))
	}
	l.writeSeen()
	if len(l.late) > 0 && l.write(nil) != nil {
		l.lost("the log was stopped while it did not answer", l.late...)
	}
}

// group takes what waits, up to a group's length.
func (l *Log) group(first ...entry) []entry {
	group, length := first, 0
	for _, e := range first {
		length += len(e.events)
	}
	for length < groupLength {
		select {
		case e := <-l.queue:
			group = append(group, e)
			length += len(e.events)
			continue
		default:
		}
		break
	}
	return group
}

// write appends what is late and a group, in one write, and answers those who wait.
func (l *Log) write(group []entry) error {
	events := l.late
	for _, e := range group {
		events = append(events, e.events...)
	}
	l.late = nil
	err := l.append(events)
	if err == nil {
		l.answer(group, nil)
		return nil
	}
	if refused(err) && len(events) > 1 {
		// One of them cannot be written, whoever it is; it must not take the
		// others with it.
		late := events[:len(events)-lengthOf(group)]
		for _, e := range late {
			l.writeAlone(entry{events: []store.Event{e}})
		}
		for _, e := range group {
			l.writeAlone(e)
		}
		return nil
	}
	l.logger.Error("audit events were not written", "events", len(events), "error", err)
	l.late = slices.Clip(events[:len(events)-lengthOf(group)])
	l.answer(group, err)
	return err
}

// writeAlone appends one entry after its group was refused.
func (l *Log) writeAlone(e entry) {
	err := l.append(e.events)
	if refused(err) && e.written == nil {
		l.lost("the store refuses it: "+err.Error(), e.events...)
		return
	}
	l.answer([]entry{e}, err)
}

// answer tells those who wait what became of their entries. What was not
// written though nobody waits for it is late.
func (l *Log) answer(group []entry, err error) {
	for _, e := range group {
		switch {
		case e.written != nil:
			e.written <- err
		case err != nil && len(l.late) < lateLength:
			l.late = append(l.late, e.events...)
		case err != nil:
			l.lost("too much waits to be written again", e.events...)
		}
	}
}

func (l *Log) append(events []store.Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), appendLimit)
	defer cancel()
	return l.to.AppendEvents(ctx, events)
}

// refused reports whether a write failed for what was written, so that writing
// it again would fail again.
func refused(err error) bool {
	return errors.Is(err, agent.ErrInvalid) || errors.Is(err, agent.ErrConflict)
}

func lengthOf(group []entry) int {
	n := 0
	for _, e := range group {
		n += len(e.events)
	}
	return n
}

// writeSeen writes one event for each sort of read or failed login, and
// between two groups of them whatever else waits.
func (l *Log) writeSeen() {
	sorts := l.seen.take()
	for len(sorts) > 0 {
		n := min(len(sorts), groupLength)
		events := make([]store.Event, n)
		for i, s := range sorts[:n] {
			events[i] = l.stored(KindGathered, s.event())
			events[i].Outcome = s.outcome
		}
		if err := l.append(events); err != nil {
			l.logger.Error("gathered audit events were not written", "events", len(sorts), "error", err)
			l.seen.putBack(sorts)
			return
		}
		sorts = sorts[n:]
		if len(l.queue) > 0 {
			_ = l.write(l.group()) // who waits has heard
		}
	}
}
