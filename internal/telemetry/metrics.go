// Package telemetry is what the process tells of itself to those who operate
// it. So far: metrics in Prometheus's format.
//
// Numbers of agents, tasks and nodes are read from the store when they are
// asked for, so that every front end shows the same. Labels are states, routes
// and statuses, never names that users choose: those would grow without bound.
package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"symbi.dev/symbi/agent"
)

// Counts is where the numbers of things are read.
type Counts interface {
	CountAgents(ctx context.Context) (map[agent.State]int64, error)
	CountTasks(ctx context.Context) (map[agent.TaskState]int64, error)
}

// Metrics is all that one process measures.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

// readTimeout bounds reading the store for one scrape.
const readTimeout = 2 * time.Second

// NewMetrics makes metrics that count what is in the store.
func NewMetrics(counts Counts) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "symbi_requests_total", Help: "Requests to the API, by route, method and status.",
		}, []string{"route", "method", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "symbi_request_seconds", Help: "How long the API took to answer, logs that are followed left out.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 10),
		}, []string{"route", "method"}),
	}
	m.registry.MustRegister(m.requests, m.took, &census{counts},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Request notes an answered request. route is a pattern, not a path; empty for
// a request that no route took. A stream's time says nothing and is not kept.
func (m *Metrics) Request(route, method string, status int, took time.Duration, stream bool) {
	if route == "" {
		route = "none"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	if !stream {
		m.took.WithLabelValues(route, method).Observe(took.Seconds())
	}
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

var (
	agentsDesc = prometheus.NewDesc("symbi_agents", "Agents by state.", []string{"state"}, nil)
	tasksDesc  = prometheus.NewDesc("symbi_tasks", "Tasks by state.", []string{"state"}, nil)
)

// census counts what is in the store.
type census struct{ counts Counts }

// Describe implements prometheus.Collector.
func (c *census) Describe(d chan<- *prometheus.Desc) { d <- agentsDesc; d <- tasksDesc }

// Collect implements prometheus.Collector.
func (c *census) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	agents, err := c.counts.CountAgents(ctx)
	gauges(out, agentsDesc, agents, err)
	tasks, err := c.counts.CountTasks(ctx)
	gauges(out, tasksDesc, tasks, err)
}

func gauges[S ~string](out chan<- prometheus.Metric, desc *prometheus.Desc, counts map[S]int64, err error) {
	if err != nil {
		out <- prometheus.NewInvalidMetric(desc, err)
		return
	}
	for state, n := range counts {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), string(state))
	}
}
