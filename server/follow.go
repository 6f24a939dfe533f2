package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/tasklog"
)

// follower streams one task to one client.
type follower struct {
	server *Server
	out    *eventWriter
	at     place
	shown  int64 // projection that the client was last told of
}

// run streams until the task has ended and its log was sent. It looks again
// whenever news comes, and now and then when none does.
func (f *follower) run(ctx context.Context, t store.Task, changed <-chan struct{}) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	keepAlive := time.NewTicker(keepAliveEvery)
	defer keepAlive.Stop()
	for {
		// Whether the task has ended is read before its log: what is in the
		// log then is all of it.
		var err error
		if t, err = f.server.cfg.Store.Task(ctx, t.Spec.Namespace, t.Spec.Task); err != nil {
			return err
		}
		if err := f.tell(t); err != nil {
			return err
		}
		if err := f.pour(ctx, t); err != nil {
			return err
		}
		if t.State.Final() {
			return f.out.event("end", f.at.String(), taskShown(t))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-keepAlive.C:
			err = f.out.comment("still here")
		case <-changed:
		case <-look.C:
		}
		if err != nil {
			return err
		}
	}
}

// tell sends the task when it changed since the client was last told.
func (f *follower) tell(t store.Task) error {
	if t.Attempt > f.at.attempt {
		f.at = place{attempt: t.Attempt, offset: f.startOffset(t.Attempt)}
	}
	if t.Seq == f.shown || t.State.Final() {
		return nil
	}
	f.shown = t.Seq
	return f.out.event("task", f.at.String(), taskShown(t))
}

// startOffset is where the log of an attempt is begun: where the client asked
// for when it named no attempt, else the beginning.
func (f *follower) startOffset(int) int64 {
	if f.at.attempt == 0 {
		return f.at.offset
	}
	return 0
}

// pour sends all of the log that there is now.
func (f *follower) pour(ctx context.Context, t store.Task) error {
	src := f.server.logSource(t)
	for {
		recs, next, err := src.read(ctx, f.at.offset)
		if err != nil {
			return err
		}
		for _, r := range recs {
			if err := f.line(r); err != nil {
				return err
			}
		}
		if next == f.at.offset {
			return nil
		}
		f.at.offset = next
	}
}

func (f *follower) line(r tasklog.Record) error {
	at := place{attempt: f.at.attempt, offset: r.Next}
	if r.Gap > 0 {
		return f.out.event("gap", at.String(), map[string]int64{"bytes": r.Gap})
	}
	return f.out.event("log", at.String(), lineShown(r))
}

// errClientGone ends a stream whose client does not take it any more.
var errClientGone = errors.New("the client is gone")

// eventWriter writes server-sent events, each at once.
type eventWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	return &eventWriter{w: w, rc: http.NewResponseController(w)}
}

func (e *eventWriter) event(name, id string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("write a %s event: %w", name, err)
	}
	return e.write("event: " + name + "\nid: " + id + "\ndata: " + string(body) + "\n\n")
}

func (e *eventWriter) comment(text string) error { return e.write(": " + text + "\n\n") }

func (e *eventWriter) write(s string) error {
	if err := e.rc.SetWriteDeadline(time.Now().Add(followWriteTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	if _, err := e.w.Write([]byte(s)); err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	if err := e.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}
