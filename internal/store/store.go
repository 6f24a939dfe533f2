// Package store keeps what Temporal does not: manifests, idempotency records,
// leases, the index of artifacts, the audit events of this first cut, and a
// projection of states for lists. Temporal is the authority on what happens;
// a projection is written as things change and guarded by a sequence number,
// so that a late write never overwrites a newer one.
//
// Two engines stand behind the one interface, PostgreSQL and SQLite, and one
// suite (storetest) holds both to the same conduct. Errors carry the kinds of
// package agent; nothing here retries.
package store

import (
	"context"
	"encoding/json"
	"time"

	"symbi.dev/symbi/agent"
)

// Store is everything an engine must do.
type Store interface {
	Agents
	Tasks
	Leases
	Nodes
	Events
	Installation

	// Ping reports whether the engine answers, for readiness.
	Ping(ctx context.Context) error
	// Close releases the engine. It waits for writes under way.
	Close() error
}

// Agents keeps agents, their manifests and their history.
type Agents interface {
	// CreateAgent writes a new generation of an agent, its first manifest and
	// its idempotency record in one transaction. ErrConflict when a living
	// generation has the name. A known idempotency key gives the stored
	// agent and replayed = true, or ErrConflict if the body differs.
	CreateAgent(ctx context.Context, a NewAgent, idem *Idempotency) (rec Agent, replayed bool, err error)
	// UpdateManifest writes the next version of a living agent's manifest.
	// ErrConflict unless the current version is ifVersion (0: whatever it is).
	UpdateManifest(ctx context.Context, id agent.ID, ifVersion int64, canonical []byte, spec AgentSpec) (Agent, error)
	// Agent gives the newest generation of an agent.
	Agent(ctx context.Context, ref agent.Ref) (Agent, error)
	// AgentGeneration gives one generation.
	AgentGeneration(ctx context.Context, id agent.ID) (Agent, error)
	// Manifest gives one version of a manifest, canonical JSON; version 0 is the current one.
	Manifest(ctx context.Context, id agent.ID, version int64) ([]byte, error)
	// ListAgents pages through agents by namespace and name, newest generation
	// each unless the filter says otherwise.
	ListAgents(ctx context.Context, f AgentFilter, page Page) ([]Agent, Cursor, error)
	// ProjectAgent records what an agent's workflow says of itself; older
	// sequence numbers than the stored one change nothing (but their
	// transitions, keyed by sequence number, are still recorded once).
	ProjectAgent(ctx context.Context, p AgentProjection) error
	// AgentHistory pages through an agent's transitions, oldest first.
	AgentHistory(ctx context.Context, id agent.ID, page Page) ([]Transition, Cursor, error)
	// MarkAgentStarted notes that the agent's workflow exists.
	MarkAgentStarted(ctx context.Context, id agent.ID) error
	// UnstartedAgents lists agents written before the given time whose workflow was never confirmed.
	UnstartedAgents(ctx context.Context, before time.Time, limit int) ([]Agent, error)
	// CountAgents counts the newest generations by state.
	CountAgents(ctx context.Context) (map[agent.State]int64, error)
}

// Tasks keeps tasks and what they left.
type Tasks interface {
	// CreateTask writes a task and its idempotency record in one transaction.
	// ErrNotFound without its agent's generation; ErrConflict when the task ID is taken by another spec
	// or the key was used with another body.
	CreateTask(ctx context.Context, t NewTask, idem *Idempotency) (rec Task, replayed bool, err error)
	// Task gives one task.
	Task(ctx context.Context, ns agent.Namespace, id agent.TaskID) (Task, error)
	// ListTasks pages through tasks, newest first.
	ListTasks(ctx context.Context, f TaskFilter, page Page) ([]Task, Cursor, error)
	// ProjectTask records what a task's workflow or its node says of it,
	// guarded by the sequence number. A final state writes its artifacts and,
	// with a failure, its place among the recent errors, in the same transaction.
	// Progress is guarded by its attempt and time instead, so that none is lost
	// to what a workflow says at the same moment.
	ProjectTask(ctx context.Context, p TaskProjection) error
	// Artifacts lists what a task left, by path.
	Artifacts(ctx context.Context, ns agent.Namespace, id agent.TaskID) ([]agent.Artifact, error)
	// SaveCheckpoint keeps what a program wants its next attempt to have, in the
	// place of what was kept before. An earlier attempt than the one that saved
	// last changes nothing. A final state of the task forgets it.
	SaveCheckpoint(ctx context.Context, ns agent.Namespace, id agent.TaskID, attempt int, data []byte) error
	// Checkpoint gives what was saved last; ErrNotFound where there is nothing.
	Checkpoint(ctx context.Context, ns agent.Namespace, id agent.TaskID) ([]byte, error)
	// MarkTaskStarted notes that the task's workflow exists.
	MarkTaskStarted(ctx context.Context, ns agent.Namespace, id agent.TaskID) error
	// UnstartedTasks lists tasks written before the given time whose workflow was never confirmed.
	UnstartedTasks(ctx context.Context, before time.Time, limit int) ([]Task, error)
	// CountTasks counts tasks by state.
	CountTasks(ctx context.Context) (map[agent.TaskState]int64, error)
	// RecentErrors lists the newest failures of agents and tasks; of every
	// namespace where ns is empty.
	RecentErrors(ctx context.Context, ns agent.Namespace, limit int) ([]RecordedFailure, error)
}

// Leases keeps requests for a node's resources and the grants that answer them.
type Leases interface {
	// RequestLease writes a request, or one that its leader granted at once if
	// the lease's state says so; the same ID again changes nothing and gives
	// what is stored.
	RequestLease(ctx context.Context, l Lease) (Lease, error)
	// GrantLease turns a request into a grant on a node under a leader's
	// epoch. ErrConflict when it is not (or no longer) requested.
	GrantLease(ctx context.Context, id agent.LeaseID, node agent.NodeID, epoch int64, at time.Time) error
	// ReleaseLease ends a request or a grant; releasing twice is no error.
	ReleaseLease(ctx context.Context, id agent.LeaseID) error
	// OpenLeases lists requests and grants that are not released, oldest first.
	OpenLeases(ctx context.Context) ([]Lease, error)
	// AcquireLeadership makes holder the leader of name for ttl if nobody else
	// is, counting the epoch up when the holder changes; it renews when holder already is.
	// ok is false while another holds it.
	AcquireLeadership(ctx context.Context, name, holder string, ttl time.Duration, now time.Time) (epoch int64, ok bool, err error)
	// ResignLeadership gives it up if holder has it.
	ResignLeadership(ctx context.Context, name, holder string) error
}

// Nodes keeps the nodes' latest reports.
type Nodes interface {
	// PutNode writes a node's report.
	PutNode(ctx context.Context, n Node) error
	// ListNodes lists every node ever seen and not forgotten, by ID.
	ListNodes(ctx context.Context) ([]Node, error)
}

// Events keeps audit events in the order in which they were committed.
type Events interface {
	// AppendEvents writes events durably, in order, in one transaction.
	AppendEvents(ctx context.Context, events []Event) error
	// ListEvents pages through events, newest first.
	ListEvents(ctx context.Context, f EventFilter, page Page) ([]Event, Cursor, error)
}

// Installation keeps what is true of the whole deployment.
type Installation interface {
	// InstallationID gives the ID, made by the first caller.
	InstallationID(ctx context.Context) (string, error)
}

// Page says which part of a list is wanted. The zero Cursor is the beginning;
// Limit 0 is DefaultLimit.
type Page struct {
	After Cursor
	Limit int
}

// Cursor is an opaque place in a list; empty at its beginning and past its end.
type Cursor string

// DefaultLimit and MaxLimit bound a page.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// Idempotency makes a creation safe to repeat. Records are kept for 24 hours.
type Idempotency struct {
	Principal agent.Principal
	Scope     string // the operation and what it is under, e.g. "agent.create default"
	Key       string // as the client sent it
	BodyHash  string // of the request, to tell a repeat from a clash
	Now       time.Time
}

// IdempotencyTTL is how long a key is remembered (INTERFACES.md).
const IdempotencyTTL = 24 * time.Hour

// AgentSpec is what lists need of a manifest, kept beside it.
type AgentSpec struct {
	Labels   map[string]string
	Priority agent.Priority
	MinTier  agent.Tier
}

// NewAgent is an agent to be.
type NewAgent struct {
	agent.Ref
	Owner    agent.Principal
	Manifest []byte // canonical JSON
	Spec     AgentSpec
	At       time.Time
}

// Agent is one generation of an agent as lists show it.
type Agent struct {
	agent.ID
	Owner           agent.Principal
	Spec            AgentSpec
	ManifestVersion int64
	State           agent.State
	Holds           agent.Holds
	Active          int
	Waiting         int
	Terminating     bool
	Tier            agent.Tier // assessed at initialisation
	Failure         *agent.Failure
	Seq             int64 // of the projection
	Started         bool  // its workflow is known to exist
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

// AgentProjection is what an agent's workflow says of itself.
type AgentProjection struct {
	agent.ID
	Seq         int64
	State       agent.State
	Holds       agent.Holds
	Active      int
	Waiting     int
	Terminating bool
	Tier        agent.Tier
	Failure     *agent.Failure
	Transitions []Transition // since the last projection; numbers ascend
	At          time.Time
}

// Transition is one step of an agent's life with its cause.
type Transition struct {
	Number    int64           `json:"number"` // 1-based within the agent's generation
	From      agent.State     `json:"from"`
	To        agent.State     `json:"to"`
	Cause     string          `json:"cause"`
	Principal agent.Principal `json:"principal"`
	At        time.Time       `json:"at"`
}

// AgentFilter selects agents; empty fields select all.
type AgentFilter struct {
	Namespace agent.Namespace
	States    []agent.State
	Owner     agent.Principal
	Priority  agent.Priority
	Tier      agent.Tier
	Hold      agent.Hold
	Labels    map[string]string
	// Dead includes terminated agents and older generations. Without it,
	// naming Terminated in States finds the newest generations in that state.
	Dead bool
}

// NewTask is a task to be.
type NewTask struct {
	Spec     agent.TaskSpec
	Priority agent.Priority
	At       time.Time
}

// Task is a task as lists show it.
type Task struct {
	Spec      agent.TaskSpec
	State     agent.TaskState
	Holds     agent.Holds
	Priority  agent.Priority
	Tier      agent.Tier
	Attempt   int
	Node      agent.NodeID
	Lease     agent.LeaseID
	Why       string                // what it waits for, in words
	Risk      *agent.RiskAssessment // once assessed
	Decision  *agent.Decision       // of task.run, once asked
	Progress  *Progress
	Outcome   *agent.Outcome // of the last attempt that ended
	Seq       int64
	Started   bool
	CreatedAt time.Time
	UpdatedAt time.Time
	EndedAt   time.Time // zero until final
}

// Progress is what a program last said of how far it is.
type Progress struct {
	Percent float64   `json:"percent"`
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
}

// TaskProjection changes a task's row. Nil and zero fields other than State,
// Holds, Why and Seq leave what is stored.
type TaskProjection struct {
	Namespace agent.Namespace
	Task      agent.TaskID
	Seq       int64
	State     agent.TaskState
	Holds     agent.Holds
	Why       string
	Attempt   int
	Tier      agent.Tier
	Node      agent.NodeID
	Lease     agent.LeaseID
	Risk      *agent.RiskAssessment
	Decision  *agent.Decision
	Progress  *Progress // alone (State empty) its Seq does not matter; Attempt says whose it is
	Outcome   *agent.Outcome
	At        time.Time
}

// TaskFilter selects tasks; empty fields select all.
type TaskFilter struct {
	Namespace  agent.Namespace
	Agent      agent.Name
	Generation int64
	States     []agent.TaskState
	Node       agent.NodeID
}

// RecordedFailure is a failure with its place and time.
type RecordedFailure struct {
	At        time.Time       `json:"at"`
	Namespace agent.Namespace `json:"namespace"`
	Agent     agent.Name      `json:"agent"`
	Task      agent.TaskID    `json:"task,omitempty"` // empty for an agent's own failure
	Attempt   int             `json:"attempt,omitempty"`
	Failure   agent.Failure   `json:"failure"`
}

// LeaseState is where a lease stands.
type LeaseState string

// The states of a lease.
const (
	LeaseRequested LeaseState = "requested"
	LeaseGranted   LeaseState = "granted"
	LeaseReleased  LeaseState = "released"
)

// Lease is a request for a node's resources, and its grant.
type Lease struct {
	ID          agent.LeaseID
	Task        agent.TaskRef
	Attempt     int
	WorkflowID  string // whose activity waits
	RunID       string
	ActivityID  string
	Resources   agent.Resources
	ScratchMB   int64
	Priority    agent.Priority
	Class       agent.Class
	Tier        agent.Tier
	State       LeaseState
	Node        agent.NodeID
	Epoch       int64
	RequestedAt time.Time
	GrantedAt   time.Time
}

// Node is a node's latest report.
type Node struct {
	ID         agent.NodeID
	Address    string
	Version    string
	MemoryMB   int64
	CPUCores   float64
	DiskMB     int64
	Tiers      []agent.Tier // that its engine can run
	Problems   []string     // why tasks cannot run here, with the fix
	Enforcers  json.RawMessage
	Cordoned   bool
	StartedAt  time.Time
	ReportedAt time.Time
}

// Event is one audit event as it is stored.
type Event struct {
	ID        string          `json:"id"` // UUIDv7
	At        time.Time       `json:"at"`
	Kind      string          `json:"kind"` // attempt, outcome, transition
	Action    agent.Action    `json:"action"`
	Principal agent.Principal `json:"principal"`
	Namespace agent.Namespace `json:"namespace,omitempty"`
	Agent     agent.Name      `json:"agent,omitempty"`
	Resource  string          `json:"resource,omitempty"`
	Outcome   string          `json:"outcome,omitempty"` // ok, denied, failed
	Attempt   string          `json:"attempt,omitempty"` // ID of the attempt that an outcome belongs to
	Request   string          `json:"request,omitempty"` // request ID
	Decision  *agent.Decision `json:"decision,omitempty"`
	Details   json.RawMessage `json:"details,omitempty"`
}

// EventFilter selects events; empty fields select all.
type EventFilter struct {
	Namespace agent.Namespace
	Agent     agent.Name
	Action    agent.Action
	Principal agent.Principal
	Since     time.Time // at or after
	Until     time.Time // before
}
