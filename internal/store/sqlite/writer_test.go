package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/store/sqlstore"
)

// openEngine opens an empty engine that the test closes.
func openEngine(t testing.TB, queue int) *engine {
	t.Helper()
	e, err := open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "symbi.db"), Queue: queue}.withDefaults())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// insert is a write of one row.
func insert(id string) func(context.Context, sqlstore.Querier) error {
	return func(ctx context.Context, q sqlstore.Querier) error {
		_, err := q.ExecContext(ctx, `INSERT INTO leaderships (name, holder, epoch, expires_at) VALUES ($1, '', 0, 0)`, id)
		return err
	}
}

// rows gives what insert wrote.
func rows(t testing.TB, e *engine) string {
	t.Helper()
	found, err := e.QueryContext(t.Context(), `SELECT name FROM leaderships ORDER BY name`)
	require.NoError(t, err)
	defer found.Close()
	var names []string
	for found.Next() {
		var name string
		require.NoError(t, found.Scan(&name))
		names = append(names, name)
	}
	require.NoError(t, found.Err())
	return strings.Join(names, " ")
}

// group has the writer run some writes in one transaction, and gives their answers.
func group(t testing.TB, e *engine, writes ...func(context.Context, sqlstore.Querier) error) []error {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	blocker := make(chan error, 1)
	go func() {
		blocker <- e.writer.do(context.Background(), func(context.Context, sqlstore.Querier) error {
			close(entered)
			<-leave
			return nil
		})
	}()
	<-entered
	answers := make([]chan error, len(writes))
	for i, fn := range writes {
		j := &job{ctx: t.Context(), fn: fn, answer: make(chan error, 1)}
		answers[i] = j.answer
		require.NoError(t, e.writer.enqueue(j))
	}
	close(leave)
	require.NoError(t, <-blocker)
	errs := make([]error, len(writes))
	for i := range answers {
		errs[i] = <-answers[i]
	}
	return errs
}

func TestAWriteIsOnTheDiskBeforeItIsAcknowledged(t *testing.T) {
	t.Parallel()
	e := openEngine(t, 0)
	pragmas := map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} // 2 is FULL
	for name, want := range pragmas {
		require.NoError(t, e.writer.do(t.Context(), func(ctx context.Context, q sqlstore.Querier) error {
			found, err := q.QueryContext(ctx, "PRAGMA "+name)
			if err != nil {
				return err
			}
			defer found.Close()
			var got string
			if !found.Next() {
				return errors.New("no answer")
			}
			if err := found.Scan(&got); err != nil {
				return err
			}
			require.Equal(t, want, got, name)
			return found.Err()
		}))
	}
}

func TestAFailingWriteOfAGroupIsUndoneAlone(t *testing.T) {
	t.Parallel()
	e := openEngine(t, 0)
	refused := errors.New("refused")
	errs := group(t, e,
		insert("a"),
		func(ctx context.Context, q sqlstore.Querier) error {
			return errors.Join(insert("undone")(ctx, q), refused)
		},
		insert("a"),
		insert("b"),
	)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], refused)
	require.Equal(t, sqlstore.FaultUnique, e.Fault(errs[2]))
	require.NoError(t, errs[3])
	require.Equal(t, "a b", rows(t, e))
}

func TestAGroupWhoseCommitFailsFailsWhole(t *testing.T) {
	t.Parallel()
	e := openEngine(t, 0)
	errs := group(t, e,
		insert("a"),
		func(ctx context.Context, q sqlstore.Querier) error {
			// What the commit finds wrong is wrong no earlier.
			if _, err := q.ExecContext(ctx, `PRAGMA defer_foreign_keys = ON`); err != nil {
				return err
			}
			_, err := q.ExecContext(ctx, `INSERT INTO artifacts (namespace, task, path, bytes, digest, media_type) VALUES ('n', 't', 'p', 0, '', '')`)
			return err
		},
		insert("a"), // fails only because of the first, which is not to be
		insert("b"),
	)
	for _, err := range errs {
		require.Equal(t, sqlstore.FaultForeignKey, e.Fault(err))
	}
	require.Empty(t, rows(t, e))
	require.NoError(t, e.writer.do(t.Context(), insert("c")))
	require.Equal(t, "c", rows(t, e))
}

func TestWritesBeyondTheQueueAreRefused(t *testing.T) {
	t.Parallel()
	e := openEngine(t, 2)
	entered, leave := make(chan struct{}), make(chan struct{})
	answers := make(chan error, 3)
	write := func(fn func(context.Context, sqlstore.Querier) error) {
		j := &job{ctx: t.Context(), fn: fn, answer: make(chan error, 1)}
		require.NoError(t, e.writer.enqueue(j))
		go func() { answers <- <-j.answer }()
	}
	write(func(context.Context, sqlstore.Querier) error {
		close(entered)
		<-leave
		return nil
	})
	<-entered
	write(insert("a"))
	write(insert("b"))
	require.ErrorIs(t, e.writer.do(t.Context(), insert("refused")), agent.ErrExhausted)
	close(leave)
	for range 3 {
		require.NoError(t, <-answers)
	}
	require.Equal(t, "a b", rows(t, e))
}

func TestAWriteWhoseCallerLeftBeforeItBeganIsNeverDone(t *testing.T) {
	t.Parallel()
	e := openEngine(t, 0)
	entered, leave := make(chan struct{}), make(chan struct{})
	blocker := make(chan error, 1)
	go func() {
		blocker <- e.writer.do(context.Background(), func(context.Context, sqlstore.Querier) error {
			close(entered)
			<-leave
			return nil
		})
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- e.writer.do(ctx, insert("never")) }()
	for len(e.writer.queue) == 0 { // until it waits
		runtime.Gosched()
	}
	cancel()
	require.ErrorIs(t, <-left, context.Canceled, "it need not wait for the writer")
	close(leave)
	require.NoError(t, <-blocker)
	require.NoError(t, e.writer.do(t.Context(), insert("a")))
	require.Equal(t, "a", rows(t, e))
}

func TestAWriteThatBeganIsWaitedFor(t *testing.T) {
	t.Parallel()
	e := openEngine(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	err := e.writer.do(ctx, func(ctx context.Context, q sqlstore.Querier) error {
		cancel()
		return insert("a")(ctx, q)
	})
	require.NoError(t, err)
	require.Equal(t, "a", rows(t, e))
}

func TestClosingWritesWhatWaits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "symbi.db")
	e, err := open(t.Context(), Config{Path: path}.withDefaults())
	require.NoError(t, err)
	answers := make([]chan error, 700)
	for i := range answers {
		j := &job{ctx: t.Context(), fn: insert(fmt.Sprint(i)), answer: make(chan error, 1)}
		answers[i] = j.answer
		require.NoError(t, e.writer.enqueue(j))
	}
	require.NoError(t, e.Close())
	for _, a := range answers {
		require.NoError(t, <-a)
	}
	require.ErrorIs(t, e.writer.do(t.Context(), insert("late")), agent.ErrUnavailable)
	e, err = open(t.Context(), Config{Path: path}.withDefaults())
	require.NoError(t, err)
	require.Len(t, strings.Fields(rows(t, e)), len(answers))
	require.NoError(t, e.Close())
}

func TestAFullDiskRefusesWritesAndHarmsNothing(t *testing.T) {
	t.Parallel()
	e := openEngine(t, 0)
	s := sqlstore.New(e)
	limit := func(pages int) {
		require.NoError(t, e.writer.do(t.Context(), func(ctx context.Context, q sqlstore.Querier) error {
			_, err := q.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			return err
		}))
	}
	limit(1) // SQLite makes it the present size
	var kept int
	var err error
	for err == nil {
		if err = s.PutNode(t.Context(), store.Node{ID: agent.NodeID(fmt.Sprint(kept)), Address: strings.Repeat("x", 10_000)}); err == nil {
			kept++
		}
	}
	require.ErrorIs(t, err, agent.ErrExhausted)
	var told *agent.Error
	require.ErrorAs(t, err, &told)
	require.Contains(t, told.Message, "disk")
	nodes, err := s.ListNodes(t.Context())
	require.NoError(t, err)
	require.Len(t, nodes, kept)

	errs := group(t, e, func(ctx context.Context, q sqlstore.Querier) error {
		_, err := q.ExecContext(ctx, `INSERT INTO nodes (id, address, version, memory_mb, cpu_cores, disk_mb, tiers, problems, cordoned, started_at, reported_at)
			VALUES ('large', $1, '', 0, 0, 0, '', '', 0, 0, 0)`, strings.Repeat("x", 100_000))
		return err
	}, insert("small"))
	require.Equal(t, sqlstore.FaultExhausted, e.Fault(errs[0]))
	if errs[1] != nil { // whether SQLite gives the whole transaction up is its own choice
		require.Equal(t, sqlstore.FaultExhausted, e.Fault(errs[1]))
	}

	limit(1 << 30)
	require.NoError(t, s.PutNode(t.Context(), store.Node{ID: "after", Address: strings.Repeat("x", 100_000)}))
	nodes, err = s.ListNodes(t.Context())
	require.NoError(t, err)
	require.Len(t, nodes, kept+1)
}

func TestTablesOfANewerBinaryAreRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "symbi.db")
	e, err := open(t.Context(), Config{Path: path}.withDefaults())
	require.NoError(t, err)
	require.NoError(t, e.writer.do(t.Context(), func(ctx context.Context, q sqlstore.Querier) error {
		_, err := q.ExecContext(ctx, `INSERT INTO schema_version (version_id, is_applied) VALUES (9999, 1)`)
		return err
	}))
	require.NoError(t, e.Close())
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = Open(t.Context(), Config{Path: path})
	require.ErrorIs(t, err, agent.ErrConflict)
	require.ErrorContains(t, err, "newer symbi")
	require.ErrorContains(t, err, "9999")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after, "nothing was changed")
}

func TestReadersCannotWrite(t *testing.T) {
	t.Parallel()
	e := openEngine(t, 0)
	_, err := e.ExecContext(t.Context(), `DELETE FROM agents`)
	require.Error(t, err)
}
