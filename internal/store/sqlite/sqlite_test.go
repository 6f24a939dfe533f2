package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/store/sqlite"
	"symbi.dev/symbi/internal/store/storetest"
)

// childPath makes this binary a process that writes until it is killed; see
// TestAcknowledgedWritesSurviveAKill.
const childPath = "SYMBI_TEST_STORE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		if err := writeForever(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// openAt opens a store that the caller closes.
func openAt(t testing.TB, path string) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	require.NoError(t, err)
	return s
}

func openNew(t testing.TB) store.Store { return openAt(t, filepath.Join(t.TempDir(), "symbi.db")) }

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openNew)
}

func BenchmarkStore(b *testing.B) { storetest.Bench(b, openNew) }

func TestWhatWasWrittenIsThereWhenOpenedAgain(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"symbi.db", "with space", "a?b=c&d#e%41.db", "ümläut"} {
		path := filepath.Join(t.TempDir(), name)
		s := openAt(t, path)
		id, err := s.InstallationID(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.FileExists(t, path)
		s = openAt(t, path)
		again, err := s.InstallationID(t.Context())
		require.NoError(t, err)
		require.Equal(t, id, again)
		require.NoError(t, s.Close())
	}
}

func TestNobodyElseCanReadTheFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "symbi.db")
	s := openAt(t, path)
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.PutNode(t.Context(), store.Node{ID: "n"}))
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		info, err := os.Stat(f)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f)
	}
}

func TestAFileThatCannotBeHadIsUnavailable(t *testing.T) {
	t.Parallel()
	_, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "none", "symbi.db")})
	require.ErrorIs(t, err, agent.ErrUnavailable)
	garbage := filepath.Join(t.TempDir(), "garbage")
	require.NoError(t, os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600))
	_, err = sqlite.Open(t.Context(), sqlite.Config{Path: garbage})
	require.ErrorIs(t, err, agent.ErrUnavailable)
	require.ErrorContains(t, err, garbage)
}

func TestAFileInUseIsRefusedToASecondProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "symbi.db")
	s := openAt(t, path)
	defer func() { require.NoError(t, s.Close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	require.ErrorIs(t, err, agent.ErrUnavailable)
	require.NoError(t, s.PutNode(t.Context(), store.Node{ID: "n"}))
}

// TestAcknowledgedWritesSurviveAKill kills a process, without warning, that
// says of every write when it was acknowledged. All of those must be there.
func TestAcknowledgedWritesSurviveAKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "symbi.db")
	for range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childPath+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		const enough = 400
		acknowledged := map[string]bool{}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			acknowledged[lines.Text()] = true
			if len(acknowledged) == enough {
				require.NoError(t, child.Process.Kill())
			}
		}
		require.NoError(t, lines.Err())
		require.ErrorContains(t, child.Wait(), "killed")
		require.GreaterOrEqual(t, len(acknowledged), enough)

		s := openAt(t, path)
		page := store.Page{Limit: store.MaxLimit}
		for {
			events, next, err := s.ListEvents(t.Context(), store.EventFilter{}, page)
			require.NoError(t, err)
			for _, e := range events {
				delete(acknowledged, e.ID)
			}
			if page.After = next; next == "" {
				break
			}
		}
		require.NoError(t, s.Close())
		require.Empty(t, acknowledged)
	}
}

// writeForever writes from many callers at once, and prints the ID of each
// event once it was acknowledged.
func writeForever(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for w := range 16 {
		g.Go(func() error {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d.%d.%d", os.Getpid(), w, i)
				if err := s.AppendEvents(ctx, []store.Event{{ID: id, At: time.Now()}}); err != nil {
					return err
				}
				// One write call a line: lines of callers are not mixed.
				if _, err := os.Stdout.WriteString(id + "\n"); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}
