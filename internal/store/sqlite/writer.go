package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store/sqlstore"
)

// maxGroup is how many writes share a transaction at most; it bounds how long
// the first waits for the last (a small write takes about 0.1 ms).
const maxGroup = 256

// errClosed answers what comes after Close.
var errClosed = agent.Errorf(agent.ErrUnavailable, "the database is closed")

// writer owns the one connection that writes.
type writer struct {
	conn *sql.Conn
	on   *statements

	mu     sync.RWMutex // held for reading while sending to queue
	closed bool
	queue  chan *job
	done   chan struct{} // closed once nothing is written any more
	final  error         // of letting the connection go; set before done is closed
}

// job is one write that waits.
type job struct {
	ctx    context.Context
	fn     func(context.Context, sqlstore.Querier) error
	begun  atomic.Bool // by the writer, or withdrawn by the caller: whoever sets it first
	err    error       // of fn; the writer's until answered
	answer chan error
}

// begin takes the job for the one who calls; false if the other was first.
func (j *job) begin() bool { return j.begun.CompareAndSwap(false, true) }

// startWriter begins to write what comes; stop ends it.
func startWriter(conn *sql.Conn, queue int) *writer {
	w := &writer{conn: conn, on: newStatements(conn), queue: make(chan *job, queue), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.run()
	}()
	return w
}

// stop refuses what comes, writes what waits, and lets the connection go. It
// may be called twice.
func (w *writer) stop() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.done
	return w.final
}

// do has fn run within the next transaction, and returns once that is durable
// or undone.
func (w *writer) do(ctx context.Context, fn func(context.Context, sqlstore.Querier) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{ctx: ctx, fn: fn, answer: make(chan error, 1)}
	if err := w.enqueue(j); err != nil {
		return err
	}
	select {
	case err := <-j.answer:
		return err
	case <-ctx.Done():
		if j.begin() {
			return ctx.Err()
		}
		return <-j.answer
	}
}

func (w *writer) enqueue(j *job) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errClosed
	}
	select {
	case w.queue <- j:
		return nil
	default:
		return agent.Errorf(agent.ErrExhausted, "%d writes wait for the database already; try again soon", cap(w.queue))
	}
}

// run writes groups until the queue is closed and empty.
func (w *writer) run() {
	for first := range w.queue {
		group := w.gather(first)
		for len(group) > 0 {
			group = w.transaction(group)
		}
	}
	w.final = errors.Join(w.on.close(), w.conn.Close())
}

// gather takes all that waits.
func (w *writer) gather(first *job) []*job {
	group := []*job{first}
	for len(group) < maxGroup {
		select {
		case j, open := <-w.queue:
			if !open {
				return group
			}
			group = append(group, j)
		default:
			return group
		}
	}
	return group
}

// transaction runs a group in one SQL transaction and answers it. Should the
// transaction be lost half-way (the disk is full), those that were not begun
// are given back. Even the failures among the writes are answered only after
// the commit: they may be due to what others of the group wrote.
func (w *writer) transaction(group []*job) (rest []*job) {
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		answer(group, err)
		return nil
	}
	var ran []*job
	for i, j := range group {
		if !j.begin() {
			continue
		}
		ran = append(ran, j)
		if err := w.savepoint(j); err != nil {
			w.rollback()
			answer(ran, err)
			return group[i+1:]
		}
	}
	if err := w.exec("COMMIT"); err != nil {
		w.rollback()
		answer(ran, err)
		return nil
	}
	for _, j := range ran {
		j.answer <- j.err
	}
	return nil
}

// savepoint runs one write, or undoes it. An error says that the transaction is lost.
func (w *writer) savepoint(j *job) error {
	if err := w.exec("SAVEPOINT one"); err != nil {
		return err
	}
	// An interrupted statement would take the whole transaction with it.
	j.err = j.fn(context.WithoutCancel(j.ctx), w.on)
	if j.err != nil {
		// A transaction that SQLite rolled back by itself has no savepoint.
		if err := w.exec("ROLLBACK TO one"); err != nil {
			return errors.Join(j.err, err)
		}
	}
	return w.exec("RELEASE one")
}

// rollback ends a transaction that SQLite may have ended already, which is
// then its only error.
func (w *writer) rollback() { _ = w.exec("ROLLBACK") }

func (w *writer) exec(statement string) error {
	_, err := w.on.ExecContext(context.Background(), statement)
	return err
}

func answer(jobs []*job, err error) {
	for _, j := range jobs {
		j.answer <- err
	}
}
