package telemetry_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/telemetry"
)

type counts struct{ err error }

func (c counts) CountAgents(context.Context) (map[agent.State]int64, error) {
	return map[agent.State]int64{agent.Ready: 7}, c.err
}

func (c counts) CountTasks(context.Context) (map[agent.TaskState]int64, error) {
	return map[agent.TaskState]int64{agent.TaskFailed: 2, agent.TaskSucceeded: 5}, nil
}

// scrape gives the metrics as Prometheus reads them.
func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return w.Body.String()
}

func TestRequestsAgentsAndTasksAreCounted(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics(counts{})
	m.Request("/v1/agents", "GET", 200, 3*time.Millisecond, false)
	m.Request("/v1/agents", "GET", 200, 3*time.Millisecond, false)
	m.Request("/v1/logs", "GET", 200, time.Hour, true)
	m.Request("", "GET", 404, time.Millisecond, false)
	got := scrape(t, m)
	for _, want := range []string{
		`symbi_agents{state="Ready"} 7`, `symbi_tasks{state="Failed"} 2`, `symbi_tasks{state="Succeeded"} 5`,
		`symbi_requests_total{method="GET",route="/v1/agents",status="200"} 2`,
		`symbi_requests_total{method="GET",route="none",status="404"} 1`,
		`symbi_request_seconds_count{method="GET",route="/v1/agents"} 2`, "go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(got, `symbi_request_seconds_count{method="GET",route="/v1/logs"}`) {
		t.Error("the time of a stream is kept")
	}
}

func TestAStoreThatDoesNotAnswerLeavesTheOtherMetrics(t *testing.T) {
	t.Parallel()
	got := scrape(t, telemetry.NewMetrics(counts{errors.New("away")}))
	if strings.Contains(got, "symbi_agents") || !strings.Contains(got, "symbi_tasks") || !strings.Contains(got, "go_goroutines") {
		t.Errorf("%.600s", got)
	}
}
