//go:build dev

package temporaldev_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/temporaldev"
)

func TestFolderThatCannotBeUsedIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		dir  func(t *testing.T) string
		kind error
		says string
	}{
		{"a file", func(t *testing.T) string {
			return write(t, filepath.Join(t.TempDir(), "file"), "")
		}, agent.ErrUnavailable, "not a directory"},
		{"not writable by anyone", func(*testing.T) string {
			return "/proc"
		}, agent.ErrUnavailable, "temporal.db"},
		{"with a folder for a database", func(t *testing.T) string {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "temporal.db"), 0o700); err != nil {
				t.Fatal(err)
			}
			return dir
		}, agent.ErrUnavailable, "is a directory"},
		{"with something else for a database", func(t *testing.T) string {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "temporal.db"), strings.Repeat("these are not the bytes of a database\n", 100))
			return dir
		}, agent.ErrConflict, "is no database"},
		{"of a later version", func(t *testing.T) string {
			dir := t.TempDir()
			change(t, dir, "PRAGMA user_version = 99")
			return dir
		}, agent.ErrConflict, "was written by a later version (format 99, this one knows 1); run that one, or choose another folder"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := test.dir(t)
			_, err := temporaldev.Start(t.Context(), configure(dir))
			if !errors.Is(err, test.kind) {
				t.Fatalf("Start: %v, want %v", err, test.kind)
			}
			for _, want := range []string{dir, test.says} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %q, want it to say %q", err, want)
				}
			}
		})
	}
}

func TestFolderNameMayHoldAnyCharacter(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "50% of ü? #1 & more")
	start(t, configure(dir))
	if _, err := os.Stat(filepath.Join(dir, "temporal.db")); err != nil {
		t.Error(err)
	}
}

func TestFileLeftEmptyByAStartThatWasCutOffIsFilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "temporal.db"), "")
	c := dial(t, start(t, configure(dir)).ClientOptions())
	work(t, c, "w")
	result[string](t, run(t, c, "greet", greet, "world"))
}

func TestPortThatIsTakenIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	config := configure(t.TempDir(), func(c *temporaldev.Config) { c.FrontendAddress = taken.Addr().String() })
	_, err = temporaldev.Start(t.Context(), config)
	if !errors.Is(err, agent.ErrUnavailable) {
		t.Fatalf("Start: %v, want unavailable", err)
	}
	for _, want := range []string{config.FrontendAddress, "in use"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %q, want it to say %q", err, want)
		}
	}
}

func TestEveryFieldThatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	config := temporaldev.Config{
		Token:           "short",
		FrontendAddress: "192.0.2.1:7233",
		Retention:       time.Minute,
		PublicPath:      "temporal/",
		SearchAttributes: map[string]enumspb.IndexedValueType{
			"NoType": enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED,
		},
	}
	_, err := temporaldev.Start(t.Context(), config)
	if !errors.Is(err, agent.ErrInvalid) {
		t.Fatalf("Start: %v, want invalid", err)
	}
	for _, want := range []string{
		"dir: name the folder",
		"token: must have at least 16 characters",
		`frontend_address: "192.0.2.1" is not a loopback address`,
		"retention: must be at least 1h0m0s",
		"public_path: must be a path",
		"search_attributes.NoType: has no type",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%s", want, err)
		}
	}
	if strings.Contains(err.Error(), config.Token) {
		t.Errorf("the error shows the token:\n%s", err)
	}
}

func TestStartAfterOneThatFailedFindsFolderAndPortFree(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ harm, mend string }{
		"before Temporal is composed": {"ALTER TABLE namespaces RENAME TO hidden", "ALTER TABLE hidden RENAME TO namespaces"},
		"while Temporal is composed":  {"ALTER TABLE queue_metadata RENAME TO hidden", "ALTER TABLE hidden RENAME TO queue_metadata"},
		"while Temporal starts":       {"ALTER TABLE namespace_metadata RENAME TO hidden", "ALTER TABLE hidden RENAME TO namespace_metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := start(t, configure(dir))
			config := configure(dir, func(c *temporaldev.Config) { c.FrontendAddress = s.FrontendAddress() })
			s.Stop()

			change(t, dir, fault.harm)
			_, err := temporaldev.Start(t.Context(), config)
			if !errors.Is(err, agent.ErrUnavailable) {
				t.Fatalf("Start: %v, want unavailable", err)
			}
			if !strings.Contains(err.Error(), "no such table") || strings.Contains(err.Error(), "build arguments") {
				t.Errorf("the error is %q, want the cause and not how Temporal is composed", err)
			}

			change(t, dir, fault.mend)
			c := dial(t, start(t, config).ClientOptions())
			work(t, c, "w")
			result[string](t, run(t, c, "greet", greet, "world"))
		})
	}
}

// write makes a file and gives its path.
func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// change runs a statement on the database of a folder.
func change(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "temporal.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", statement, err))
	}
}
