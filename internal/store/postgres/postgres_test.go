package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/store/postgres"
	"symbi.dev/symbi/internal/store/storetest"
	"symbi.dev/symbi/internal/store/storetest/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// openAt opens a store that the caller closes.
func openAt(t testing.TB, url string) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	require.NoError(t, err)
	return s
}

// ask runs a statement beside the store.
func ask(t testing.TB, url, statement string) {
	t.Helper()
	conn := connect(t, url)
	_, err := conn.Exec(t.Context(), statement)
	require.NoError(t, err)
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	return conn
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) store.Store { return openAt(t, pgtest.Database(t)) })
}

func BenchmarkStore(b *testing.B) {
	server, err := pgtest.Start(pgtest.Options{Durable: true})
	require.NoError(b, err)
	defer func() { require.NoError(b, server.Stop()) }()
	storetest.Bench(b, func(t testing.TB) store.Store {
		url, err := server.CreateDatabase()
		require.NoError(t, err)
		return openAt(t, url)
	})
}

func TestProcessesThatStartAtOnceMigrateOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var g errgroup.Group
	for range 6 {
		g.Go(func() error {
			s, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 1})
			if err != nil {
				return err
			}
			if _, err := s.InstallationID(t.Context()); err != nil {
				return err
			}
			return s.Close()
		})
	}
	require.NoError(t, g.Wait())
}

func TestAStoreWaitsForAnotherProcessToMigrate(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	migrating := connect(t, url)
	_, err := migrating.Exec(t.Context(), "SELECT pg_advisory_lock(x'73796d6269'::bigint)")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = postgres.Open(ctx, postgres.Config{URL: url})
	require.ErrorIs(t, err, agent.ErrUnavailable)
	_, err = migrating.Exec(t.Context(), "SELECT pg_advisory_unlock_all()")
	require.NoError(t, err)
	require.NoError(t, openAt(t, url).Close())
}

func TestTablesOfANewerBinaryAreRefused(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	require.NoError(t, openAt(t, url).Close())
	ask(t, url, "INSERT INTO schema_version (version_id, is_applied) VALUES (9999, true)")
	_, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	require.ErrorIs(t, err, agent.ErrConflict)
	require.ErrorContains(t, err, "newer symbi")
	require.ErrorContains(t, err, "9999")
}

func TestAWrongURLIsInvalidAndKeepsItsPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://me:geheim@host:notaport/db", "postgres://me:geheim@host/db?sslmode=perhaps", "me:geheim"} {
		_, err := postgres.Open(t.Context(), postgres.Config{URL: url})
		require.ErrorIs(t, err, agent.ErrInvalid, url)
		require.NotContains(t, err.Error(), "geheim")
		require.ErrorContains(t, err, "SYMBI_DATABASE_URL")
	}
}

func TestAServerThatDoesNotAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://me:geheim@127.0.0.1:1/db", // nobody listens
		"postgres:///db?host=" + t.TempDir(),
	} {
		_, err := postgres.Open(t.Context(), postgres.Config{URL: url})
		require.ErrorIs(t, err, agent.ErrUnavailable, url)
		require.NotContains(t, err.Error(), "geheim")
	}
	_, err := postgres.Open(t.Context(), postgres.Config{URL: pgtest.Database(t) + "&dbname=none"})
	require.ErrorIs(t, err, agent.ErrUnavailable)
}

func TestConnectionsThatTheServerEndedAreReplaced(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := openAt(t, url)
	defer func() { require.NoError(t, s.Close()) }()
	const rounds = 5
	for range rounds {
		var g errgroup.Group // opens several connections
		for range 8 {
			g.Go(func() error { return s.PutNode(t.Context(), store.Node{ID: "n"}) })
		}
		require.NoError(t, g.Wait())
		ask(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		for range 2 * postgres.DefaultMaxConns {
			err := s.PutNode(t.Context(), store.Node{ID: "n"})
			if err == nil {
				break
			}
			require.ErrorIs(t, err, agent.ErrUnavailable)
		}
		require.NoError(t, s.PutNode(t.Context(), store.Node{ID: "n"}))
	}
}

func TestADatabaseThatTakesNoWritesIsUnavailable(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	require.NoError(t, openAt(t, url).Close())
	s := openAt(t, url+"&default_transaction_read_only=on")
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Ping(t.Context()))
	require.ErrorIs(t, s.PutNode(t.Context(), store.Node{ID: "n"}), agent.ErrUnavailable)
}
