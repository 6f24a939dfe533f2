package agent

import (
	"encoding/json"
	"time"
)

// TaskState is where a task stands.
type TaskState string

// The states of a task. The last three are final.
const (
	TaskWaiting   TaskState = "Waiting"   // for its agent to admit it
	TaskHeld      TaskState = "Held"      // by a hold, before it has a sandbox
	TaskQueued    TaskState = "Queued"    // for a node's resources
	TaskStarting  TaskState = "Starting"  // on a node, no program yet
	TaskRunning   TaskState = "Running"   // its program works
	TaskSuspended TaskState = "Suspended" // its sandbox is frozen
	TaskStopping  TaskState = "Stopping"  // its program was told to end
	TaskRetrying  TaskState = "Retrying"  // waits before its next attempt
	TaskSucceeded TaskState = "Succeeded"
	TaskFailed    TaskState = "Failed"
	TaskCancelled TaskState = "Cancelled"
)

// TaskStates lists every state in the order of a task's way.
var TaskStates = []TaskState{TaskWaiting, TaskHeld, TaskQueued, TaskStarting, TaskRunning, TaskSuspended,
	TaskStopping, TaskRetrying, TaskSucceeded, TaskFailed, TaskCancelled}

// Final reports whether a task in this state is over.
func (s TaskState) Final() bool {
	return s == TaskSucceeded || s == TaskFailed || s == TaskCancelled
}

// Tier is a kind of sandbox.
type Tier string

// The tiers, weaker first.
const (
	TierDocker Tier = "docker" // tier 1: the host's kernel, confined
	TierGVisor Tier = "gvisor" // tier 2: a user-space kernel
)

// AtLeast gives the stronger of two tiers; an empty one counts as the weakest.
func (t Tier) AtLeast(floor Tier) Tier {
	if t == TierGVisor || floor == TierGVisor {
		return TierGVisor
	}
	return TierDocker
}

// InputRef is one input of a task: content by digest, and what is said of it.
type InputRef struct {
	Name        string      `json:"name"`
	Digest      Digest      `json:"digest"`
	Bytes       int64       `json:"bytes"`
	Sensitivity Sensitivity `json:"sensitivity"` // never below what the manifest declares
	MediaType   string      `json:"media_type,omitempty"`
}

// TaskSpec is what a task was given: fixed at submission and kept for retry.
type TaskSpec struct {
	TaskRef
	AgentGeneration int64           `json:"agent_generation"`
	ManifestVersion int64           `json:"manifest_version"`
	Params          json.RawMessage `json:"params,omitempty"` // a JSON object, defaults filled in
	Inputs          []InputRef      `json:"inputs,omitempty"`
	SubmittedBy     Principal       `json:"submitted_by"`
	RetryOf         TaskID          `json:"retry_of,omitempty"`
}

// AgentID is the life of the agent that the task was given to.
func (s TaskSpec) AgentID() ID {
	return ID{Ref: Ref{Namespace: s.Namespace, Name: s.Agent}, Generation: s.AgentGeneration}
}

// Usage is what one attempt consumed, read from the kernel's own accounts.
type Usage struct {
	CPUSeconds       float64 `json:"cpu_seconds"`
	PeakMemoryBytes  int64   `json:"peak_memory_bytes"`
	DiskReadBytes    int64   `json:"disk_read_bytes"`
	DiskWriteBytes   int64   `json:"disk_write_bytes"`
	ThrottledSeconds float64 `json:"throttled_seconds"`
	WallSeconds      float64 `json:"wall_seconds"`
	FrozenSeconds    float64 `json:"frozen_seconds"`
}

// LimitReport says of one limit of R3 what was asked for and how it is held.
type LimitReport struct {
	Limit    string `json:"limit"`    // memory_mb, cpu_cores, disk_io_mbps, network_io_mbps, execution_timeout
	Value    string `json:"value"`    // as asked for, with its unit
	Enforcer string `json:"enforcer"` // what holds it: "cgroup memory.limit_in_bytes", "no network device", …
	Held     bool   `json:"held"`     // whether it truly holds on this node
	Note     string `json:"note,omitempty"`
}

// Artifact is one file that a task left in $SYMBI_OUTPUT.
type Artifact struct {
	Path      string `json:"path"` // slash-separated, relative, clean
	Bytes     int64  `json:"bytes"`
	Digest    Digest `json:"digest"`
	MediaType string `json:"media_type"`
}

// Outcome is how one attempt of a task ended.
type Outcome struct {
	Failure     *Failure        `json:"failure,omitempty"` // nil when it succeeded
	Cancelled   bool            `json:"cancelled,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"` // what $SYMBI_RESULT held
	Artifacts   []Artifact      `json:"artifacts,omitempty"`
	Warnings    []string        `json:"warnings,omitempty"`   // what was left out of the artifacts, and why
	LogDigest   Digest          `json:"log_digest,omitempty"` // the whole kept log, as a blob
	LogBytes    int64           `json:"log_bytes,omitempty"`
	LogDropped  int64           `json:"log_dropped,omitempty"` // bytes beyond the log's bound
	Usage       Usage           `json:"usage"`
	Limits      []LimitReport   `json:"limits,omitempty"`
	StartedAt   time.Time       `json:"started_at"` // of the program
	EndedAt     time.Time       `json:"ended_at"`
	Tier        Tier            `json:"tier"`
	ImageDigest string          `json:"image_digest,omitempty"`
}
