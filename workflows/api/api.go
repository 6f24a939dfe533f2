// Package api is all that clients of the workflows import: the names of
// workflows, activities, signals, queries and task queues, and the types that
// travel in them. Names and JSON fields stand in stored histories, so they
// are added to and never changed.
package api

import (
	"encoding/json"
	"fmt"
	"time"

	"symbi.dev/symbi/agent"
)

// Names of workflows.
const (
	AgentWorkflow = "symbi.agent"
	TaskWorkflow  = "symbi.task"
)

// Queue is the task queue of workflows and of activities that any node can do.
const Queue = "symbi"

// NodeQueue is the task queue of the activities that only one node can do.
func NodeQueue(node agent.NodeID) string { return "symbi-node-" + string(node) }

// Signals to an agent. The first three may be sent by hand in the Temporal
// Web UI, with an empty payload or {"reason": "…"}.
const (
	SignalSuspend         = "suspend"
	SignalResume          = "resume"
	SignalTerminate       = "terminate"
	SignalTaskArrived     = "task-arrived"
	SignalTaskEnded       = "task-ended"
	SignalManifestUpdated = "manifest-updated"
)

// Signals to a task. Its agent sends go and hold, the scheduler sends granted;
// cancel may come from anyone whom policy lets.
const (
	SignalGo      = "go"
	SignalHold    = "hold"
	SignalGranted = "granted"
	SignalCancel  = "cancel"
)

// QueryStatus asks an agent for AgentStatus, a task for TaskStatus.
const QueryStatus = "status"

// Search attributes.
const (
	AttrState     = "SymbiState"
	AttrNamespace = "SymbiNamespace"
	AttrAgent     = "SymbiAgent"
	AttrOwner     = "SymbiOwner"
	AttrPriority  = "SymbiPriority"
	AttrTier      = "SymbiTier"
	AttrHolds     = "SymbiHolds"
)

// KeywordAttrs and KeywordListAttrs are the search attributes by type, for
// registration.
var (
	KeywordAttrs     = []string{AttrState, AttrNamespace, AttrAgent, AttrOwner, AttrPriority, AttrTier}
	KeywordListAttrs = []string{AttrHolds}
)

// Command is the payload of a signal that a person or the runtime sends. All
// fields may be empty: then it was sent by hand, and policy judges it as
// principal temporal-ui. Signature is the server's, over the signal's name,
// the workflow's ID and the other fields.
type Command struct {
	Reason    string          `json:"reason,omitempty"`
	Principal agent.Principal `json:"principal,omitempty"`
	Request   string          `json:"request,omitempty"` // request ID, for the audit log
	At        time.Time       `json:"at,omitzero"`       // when the server accepted it; orders commands
	Signature []byte          `json:"signature,omitempty"`
}

// UnmarshalJSON also takes a bare string, which is what people type into the
// Temporal Web UI: it is the reason.
func (c *Command) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &c.Reason)
	}
	type plain Command
	return json.Unmarshal(b, (*plain)(c))
}

// Order is the payload of go and hold: what an agent wants of a task now. Of
// two orders the one with the higher Seq holds. By's Request is Tag, so
// that the signature covers the order too.
type Order struct {
	Seq   int64       `json:"seq"`
	Holds agent.Holds `json:"holds,omitempty"`
	By    Command     `json:"by"`
}

// Tag is what an order's Request must be.
func (o Order) Tag() string { return fmt.Sprintf("order %d %v", o.Seq, o.Holds) }

// Grant is the payload of granted: the scheduler's answer to a request for a
// lease. By's Request is Tag.
type Grant struct {
	Lease agent.LeaseID  `json:"lease"`
	Node  agent.NodeID   `json:"node"`
	Epoch int64          `json:"epoch"`
	TTL   agent.Duration `json:"ttl"`
	By    Command        `json:"by"`
}

// Tag is what a grant's Request must be.
func (g Grant) Tag() string {
	return fmt.Sprintf("grant %s %s %d %s", g.Lease, g.Node, g.Epoch, g.TTL)
}

// AgentInput starts an agent's workflow, and continues it.
type AgentInput struct {
	agent.ID
	Owner           agent.Principal `json:"owner"`
	Priority        agent.Priority  `json:"priority"`
	ManifestVersion int64           `json:"manifest_version"`
	// ContinueAfter bounds the signals that one run handles before it
	// continues as new; 0 leaves it to Temporal's own suggestion.
	ContinueAfter int         `json:"continue_after,omitempty"`
	Carried       *AgentState `json:"carried,omitempty"` // from the run before
}

// AgentState is what an agent's workflow remembers and carries over.
type AgentState struct {
	Lifecycle       agent.Lifecycle    `json:"lifecycle"`
	Seq             int64              `json:"seq"`         // of projections
	Orders          int64              `json:"orders"`      // given to tasks so far
	Transitions     int64              `json:"transitions"` // taken so far
	ManifestVersion int64              `json:"manifest_version"`
	MaxConcurrent   int                `json:"max_concurrent"`
	Tier            agent.Tier         `json:"tier,omitempty"`
	Active          []AdmittedTask     `json:"active,omitempty"`  // told to go
	Waiting         []agent.TaskID     `json:"waiting,omitempty"` // in order of arrival
	Failure         *agent.Failure     `json:"failure,omitempty"`
	Recent          []RecentTransition `json:"recent,omitempty"` // the last few, for the status query
}

// AdmittedTask is a task that an agent let begin, and what it was last told.
type AdmittedTask struct {
	Task   agent.TaskID `json:"task"`
	Held   bool         `json:"held,omitempty"`
	Ending bool         `json:"ending,omitempty"` // told to end
}

// RecentTransition is one step of an agent's life as the status query shows it.
type RecentTransition struct {
	agent.Transition
	Cause     string          `json:"cause"`
	Principal agent.Principal `json:"principal"`
	At        time.Time       `json:"at"`
}

// AgentStatus answers the status query of an agent.
type AgentStatus struct {
	agent.ID
	Owner           agent.Principal    `json:"owner"`
	State           agent.State        `json:"state"`
	Holds           agent.Holds        `json:"holds,omitempty"`
	Terminating     bool               `json:"terminating,omitempty"`
	ManifestVersion int64              `json:"manifest_version"`
	Active          []AdmittedTask     `json:"active,omitempty"`
	Waiting         []agent.TaskID     `json:"waiting,omitempty"`
	Failure         *agent.Failure     `json:"failure,omitempty"`
	Recent          []RecentTransition `json:"recent,omitempty"`
}

// TaskArrived asks an agent to admit a task.
type TaskArrived struct {
	Task agent.TaskID `json:"task"`
}

// TaskEnded tells an agent that a task is over.
type TaskEnded struct {
	Task  agent.TaskID    `json:"task"`
	State agent.TaskState `json:"state"`
}

// ManifestUpdated tells an agent of a new version of its manifest.
type ManifestUpdated struct {
	Version int64   `json:"version"`
	By      Command `json:"by"`
}

// TaskInput starts a task's workflow.
type TaskInput struct {
	Spec     agent.TaskSpec  `json:"spec"`
	Priority agent.Priority  `json:"priority"`
	Owner    agent.Principal `json:"owner"`
}

// TaskStatus answers the status query of a task.
type TaskStatus struct {
	agent.TaskRef
	State    agent.TaskState       `json:"state"`
	Holds    agent.Holds           `json:"holds,omitempty"`
	Why      string                `json:"why,omitempty"`
	Attempt  int                   `json:"attempt"`
	Node     agent.NodeID          `json:"node,omitempty"`
	Tier     agent.Tier            `json:"tier,omitempty"`
	Risk     *agent.RiskAssessment `json:"risk,omitempty"`
	Decision *agent.Decision       `json:"decision,omitempty"`
	Outcome  *agent.Outcome        `json:"outcome,omitempty"`
}

// TaskResult is what a task's workflow returns.
type TaskResult struct {
	State   agent.TaskState `json:"state"`
	Outcome *agent.Outcome  `json:"outcome,omitempty"`
}

// Memo fields on both workflows, for whoever looks in the Temporal Web UI.
const (
	MemoReason = "symbi.reason" // why it was started
	MemoLink   = "symbi.link"   // where our own API shows it
)
