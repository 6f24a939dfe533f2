package activities

import (
	"context"
	"log/slog"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/policy"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/workflows/api"
)

// Store is what activities read and write.
type Store interface {
	store.Agents
	store.Tasks
}

// Policy is asked before every action.
type Policy interface {
	Decide(ctx context.Context, in policy.Input) agent.Decision
}

// Audit records what is attempted, what came of it, and transitions.
type Audit interface {
	Attempt(ctx context.Context, e audit.Event) (audit.AttemptID, error)
	Outcome(ctx context.Context, id audit.AttemptID, e audit.Event, outcome audit.Outcome)
	Record(ctx context.Context, kind string, events ...audit.Event) error
}

// Signals sends signals to workflows; ErrNotFound when a workflow is over.
type Signals interface {
	Signal(ctx context.Context, workflowID, signal string, payload any) error
}

// Signer signs commands and knows its own signatures.
type Signer interface {
	Sign(workflowID, signal string, c api.Command) api.Command
	Verify(workflowID, signal string, c api.Command) bool
}

// Images finds out whether a program's image can be had.
type Images interface {
	// Present reports whether the image is on this node already.
	Present(ctx context.Context, c agent.Container) (bool, error)
	// Fetch gets it as the manifest says; the error tells what to do.
	Fetch(ctx context.Context, c agent.Container) error
}

// Blobs looks content up.
type Blobs interface {
	Stat(ctx context.Context, d agent.Digest) (int64, error)
}

// News tells whoever follows an agent or a task to look.
type News interface {
	AnnounceTask(c cluster.TaskChanged)
	AnnounceAgent(id agent.ID)
}

// Leases asks for nodes' resources.
type Leases interface {
	Request(ctx context.Context, l store.Lease) (got store.Lease, why string, failure *agent.Failure, err error)
	Release(ctx context.Context, id agent.LeaseID) error
}

// Steps does the activities that any worker can do. Register it whole.
type Steps struct {
	Store   Store
	Policy  Policy
	Audit   Audit
	Signals Signals
	Signer  Signer
	Images  Images
	Blobs   Blobs
	News    News
	Leases  Leases

	TrustedDigests []agent.Digest
	DefaultTier    agent.Tier
	LeaseTTL       time.Duration
	Logger         *slog.Logger
	Now            func() time.Time
}
