// Package pgtest gives tests a PostgreSQL of their own: the binaries that the
// machine has, a data folder that is thrown away, a Unix socket and no port.
//
// One server runs for a test binary, from the first Database on; Main ends it.
// Every test has a database to itself. Where PostgreSQL is not installed the
// test fails and says how to install it.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// shared is the server of this test binary.
var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Main runs the tests of a binary and then ends its server. Call it from
// TestMain; the tests' own exit code is the process's.
func Main(m *testing.M) {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// Database makes an empty database and gives its URL. Its collation is that
// of American English, which compares text unlike bytes: what relies on the
// order of bytes must say so.
func Database(t testing.TB) string {
	t.Helper()
	server, err := sharedServer()
	if err != nil {
		t.Fatal(err)
	}
	url, err := server.CreateDatabase()
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// sharedServer starts the server when it is first asked for.
func sharedServer() (*Server, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start(Options{})
	}
	return shared.server, shared.err
}

// CreateDatabase makes an empty database and gives its URL.
func (s *Server) CreateDatabase() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name+
		" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	return s.url(name), nil
}

// url is how a database of the server is reached.
func (s *Server) url(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: url.Values{"host": {s.dir.path}}.Encode()}
	return u.String()
}

// superuser owns everything; the socket's folder keeps others out.
const superuser = "symbi"

// answerWithin bounds how long the server may take for anything.
const answerWithin = 30 * time.Second
