package server

import (
	"context"
	"io"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/policy"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/workflows/api"
)

// Store is what the front end reads and writes.
type Store interface {
	store.Agents
	store.Tasks
	OpenLeases(ctx context.Context) ([]store.Lease, error)
	ListNodes(ctx context.Context) ([]store.Node, error)
}

// Blobs keeps content by digest.
type Blobs interface {
	Put(ctx context.Context, want agent.Digest, r io.Reader, limit int64) (agent.Digest, int64, error)
	Get(ctx context.Context, d agent.Digest) (io.ReadCloser, int64, error)
	Stat(ctx context.Context, d agent.Digest) (int64, error)
}

// Policy is asked before every action.
type Policy interface {
	Decide(ctx context.Context, in policy.Input) agent.Decision
}

// Audit records what is attempted and what came of it.
type Audit interface {
	Attempt(ctx context.Context, e audit.Event) (audit.AttemptID, error)
	Outcome(ctx context.Context, id audit.AttemptID, e audit.Event, outcome audit.Outcome)
	Seen(e audit.Event) // reads and failed logins, gathered
}

// Workflows starts and signals the workflows.
type Workflows interface {
	// StartAgent starts an agent's workflow; one that runs already is no error.
	StartAgent(ctx context.Context, in api.AgentInput) error
	// StartTask starts a task's workflow; one that was started already is no error.
	StartTask(ctx context.Context, in api.TaskInput) error
	// Signal sends a signal; ErrNotFound when the workflow is over.
	Signal(ctx context.Context, workflowID, signal string, payload any) error
	// Check reports whether Temporal answers.
	Check(ctx context.Context) error
}

// Signer signs commands, so that workflows know who sent them.
type Signer interface {
	Sign(workflowID, signal string, c api.Command) api.Command
}

// News says when rows may have changed.
type News interface {
	WatchTask(ns agent.Namespace, id agent.TaskID, fn func(cluster.TaskChanged)) (cluster.Subscription, error)
	WatchAgent(ref agent.Ref, fn func(cluster.AgentChanged)) (cluster.Subscription, error)
}

// NodeLogs reads logs of attempts that a node still has.
type NodeLogs interface {
	ReadLog(ctx context.Context, node agent.NodeID, q cluster.LogQuestion) (cluster.LogAnswer, error)
}

// Tokens tells who holds a bearer token.
type Tokens interface {
	Principal(token string) (agent.Principal, bool)
}

// Sessions makes and reads the cookies of people who logged in with a one-time token.
type Sessions interface {
	NewLogin(p agent.Principal, now time.Time) (oneTime string, err error)
	Redeem(oneTime string, now time.Time) (agent.Principal, bool)
	Issue(p agent.Principal, now time.Time) (cookie string, expires time.Time)
	Verify(cookie string, now time.Time) (agent.Principal, bool)
}
