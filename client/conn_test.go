package client_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
)

const token = "symbi_a-token"

// serve gives a connection to a server that answers so.
func serve(t *testing.T, answer http.HandlerFunc) *client.Conn {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	c, err := client.New(client.Config{Server: s.URL, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func say(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the client has gone, if it fails
}

func TestABusyServerIsAskedAgainWhereThatIsSafe(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		}
		if asked.Add(1) < 3 {
			w.Header().Set("Retry-After", "0")
			say(w, http.StatusServiceUnavailable, `{"title":"busy","status":503}`)
			return
		}
		say(w, http.StatusOK, `{"namespace":"default","name":"a"}`)
	})
	ref := agent.Ref{Namespace: "default", Name: "a"}
	if a, err := c.Agent(t.Context(), ref); err != nil || a.Name != "a" || asked.Load() != 3 {
		t.Errorf("%+v, %v after %d requests", a, err, asked.Load())
	}
	asked.Store(0)
	if _, err := c.Suspend(t.Context(), ref, ""); !errors.Is(err, agent.ErrUnavailable) || asked.Load() != 1 {
		t.Errorf("a command: %v after %d requests, want one", err, asked.Load())
	}
	asked.Store(0)
	if _, err := c.Submit(t.Context(), ref, client.TaskRequest{}, false); err != nil || asked.Load() != 3 {
		t.Errorf("a submission under a key: %v after %d requests, want three", err, asked.Load())
	}
}

func TestOneKeyServesAllTriesOfASubmission(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	keys := map[string]int{}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		key := r.Header.Get("Idempotency-Key")
		if keys[key]++; keys[key] == 1 {
			w.Header().Set("Retry-After", "0")
			say(w, http.StatusTooManyRequests, `{}`)
			return
		}
		say(w, http.StatusCreated, `{"id":"x"}`)
	})
	for range 2 {
		if _, err := c.Submit(t.Context(), agent.Ref{Namespace: "default", Name: "a"}, client.TaskRequest{}, false); err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) != 2 || keys[""] != 0 {
		t.Errorf("keys %v, want one a submission", keys)
	}
}

func TestProblemsBecomeErrorsOfTheirKind(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]error{
		http.StatusBadRequest: agent.ErrInvalid, http.StatusNotFound: agent.ErrNotFound, http.StatusConflict: agent.ErrConflict,
		http.StatusUnauthorized: agent.ErrDenied, http.StatusForbidden: agent.ErrDenied,
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			say(w, status, `{"title":"No","detail":"what is the matter","errors":[{"path":"resources.memory_mb","line":7,"message":"is too much"}]}`)
		})
		_, err := c.Agent(t.Context(), agent.Ref{Namespace: "default", Name: "a"})
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), "what is the matter") && !strings.Contains(err.Error(), "resources.memory_mb") {
			t.Errorf("%d: %v, want %v", status, err, kind)
		}
	}
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "<html>a proxy</html>") })
	if _, err := c.Agent(t.Context(), agent.Ref{Namespace: "default", Name: "a"}); err == nil {
		t.Error("a page that is no answer is taken for one")
	}
}

func TestAServerThatIsNotThereIsSaidWithTheFix(t *testing.T) {
	t.Parallel()
	c, err := client.New(client.Config{Server: "http://127.0.0.1:1", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = c.Submit(ctx, agent.Ref{Namespace: "default", Name: "a"}, client.TaskRequest{}, false)
	if !errors.Is(err, agent.ErrUnavailable) || !strings.Contains(err.Error(), "symbi dev") || strings.Contains(err.Error(), token) {
		t.Errorf("%v", err)
	}
}

func TestAFollowerGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	var from []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.Header.Get("Last-Event-ID"))
		w.Header().Set("Content-Type", "text/event-stream")
		n := len(from)
		if n == 3 {
			fmt.Fprint(w, "event: end\ndata: {\"id\":\"x\",\"state\":\"Succeeded\"}\n\n")
			return
		}
		fmt.Fprintf(w, ": a comment\n\nevent: log\nid: %d\ndata: {\"text\":\"line %d\",\"offset\":%d}\n\nevent: log\nid: cut", n, n, n) // breaks off
	})
	var lines []string
	end, err := c.Follow(t.Context(), "default", "x", client.Follower{Line: func(l client.LogLine) error {
		lines = append(lines, l.Text)
		return nil
	}})
	if err != nil || end.State != agent.TaskSucceeded {
		t.Errorf("%+v, %v", end, err)
	}
	if got := strings.Join(lines, ","); got != "line 1,line 2" {
		t.Errorf("lines %s", got)
	}
	if got := strings.Join(from, ","); got != ",1,2" {
		t.Errorf("it went on from %q, want from the last event", got)
	}
}

func TestADownloadStaysInItsFolderAndIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "content") })
	whole := agent.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("content"))))
	dir := t.TempDir()
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, ok := range map[string]bool{
		"a/b.txt": true, "../x": false, "/etc/x": false, "a/../../x": false, "link/x": false,
	} {
		err := c.Download(t.Context(), "default", "x", agent.Artifact{Path: path, Digest: whole}, dir)
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside lies %v (%v)", left, err)
	}
	damaged := agent.Artifact{Path: "damaged", Digest: agent.Digest("sha256:" + strings.Repeat("0", 64))}
	if err := c.Download(t.Context(), "default", "x", damaged, dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "damaged")); err == nil {
		t.Error("what arrived damaged is kept")
	}
}
