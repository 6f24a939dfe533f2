//go:build dev

package temporaldev_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"symbi.dev/symbi/internal/temporaldev"
)

func TestFailedTellsThatTheListenerDied(t *testing.T) {
	t.Parallel()
	s := start(t, configure(t.TempDir()))
	for _, socket := range sockets(t) {
		if socket.address == s.FrontendAddress() {
			if err := syscall.Shutdown(socket.fd, syscall.SHUT_RDWR); err != nil {
				t.Fatal(err)
			}
		}
	}
	select {
	case err := <-s.Failed():
		if !strings.Contains(err.Error(), "the embedded Temporal server failed: accept tcp "+s.FrontendAddress()) {
			t.Errorf("Failed delivered %q", err)
		}
	case <-time.After(patience):
		t.Fatal("Failed delivered nothing")
	}
}

func TestStopIsNoFailure(t *testing.T) {
	t.Parallel()
	s := start(t, configure(t.TempDir()))
	s.Stop()
	select {
	case err := <-s.Failed():
		t.Errorf("Failed delivered %q", err)
	default:
	}
}

func TestNothingPollsOnAfterStop(t *testing.T) {
	s := start(t, configure(t.TempDir()))
	c := dial(t, s.ClientOptions())
	stop := work(t, c, "w")
	result[string](t, run(t, c, "greet", greet, "world"))
	stop()
	c.Close()
	s.Stop()
	eventually(t, func(context.Context) error {
		var running bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&running, 1); err != nil {
			return err
		}
		for stack := range strings.SplitSeq(running.String(), "\n\n") {
			for _, code := range []string{"go.temporal.io/sdk/internal.", "go.temporal.io/server/", "symbi.dev/symbi/internal/temporaldev."} {
				if strings.Contains(stack, code) && !strings.Contains(stack, "testing.tRunner") {
					return fmt.Errorf("after Stop this runs on: %s", stack)
				}
			}
		}
		return nil
	})
}

func TestTokenIsInNoLogLineOfAnyLevel(t *testing.T) {
	t.Parallel()
	var out buffer
	logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
	s, err := temporaldev.Start(t.Context(), configure(t.TempDir(), func(c *temporaldev.Config) {
		c.Logger, c.LogLevel = logger, slog.LevelDebug
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	options := s.ClientOptions()
	logger.Info("options", "options", options, "headers", options.HeadersProvider, "bearer", temporaldev.Bearer(token))
	c := dial(t, options)
	stop := work(t, c, "w")
	result[string](t, run(t, c, "greet", greet, "world"))
	conn := connect(t, s)
	for _, m := range []string{"StartWorkflowExecution", "RespondWorkflowTaskCompleted", "NoSuchMethod"} {
		name := "/" + workflowservice.WorkflowService_ServiceDesc.ServiceName + "/" + m
		_ = call(t.Context(), conn, method{name: name}) // refused
	}
	with := connect(t, s, withBearer(token+"x"))
	_ = call(t.Context(), with, method{name: "/" + workflowservice.WorkflowService_ServiceDesc.ServiceName + "/ListNamespaces"})
	ask := httptest.NewRequest(http.MethodGet, "/temporal/api/v1/namespaces/none/workflows", nil)
	ask.Header.Set("Authorization", "Bearer "+token)
	s.UIHandler().ServeHTTP(httptest.NewRecorder(), ask)
	stop()
	c.Close()
	s.Stop()

	text := out.String()
	if strings.Count(text, "\n") < 100 {
		t.Errorf("only %d lines were logged; this test looks at the wrong place", strings.Count(text, "\n"))
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, token) {
			t.Errorf("the token is in a log line: %s", line)
		}
	}
}

// buffer takes what several goroutines write.
type buffer struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.String()
}
