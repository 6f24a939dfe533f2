package agent

import "encoding/json"

// The only values of apiVersion and kind so far.
const (
	APIVersion = "symbi/v1"
	Kind       = "Agent"
)

// Manifest is what an agent is and may do. YAML, JSON and the Symbi language
// all end in this type; Parse fills in the cautious value of what was left out.
type Manifest struct {
	APIVersion   string                     `json:"apiVersion" yaml:"apiVersion"`
	Kind         string                     `json:"kind" yaml:"kind"`
	Name         Name                       `json:"name" yaml:"name"`
	Namespace    Namespace                  `json:"namespace,omitempty" yaml:"namespace,omitempty"`
	Labels       map[string]string          `json:"labels,omitempty" yaml:"labels,omitempty"`
	Program      Program                    `json:"program" yaml:"program"`
	Params       map[string]json.RawMessage `json:"params,omitempty" yaml:"params,omitempty"` // name → JSON Schema
	Inputs       map[string]Input           `json:"inputs,omitempty" yaml:"inputs,omitempty"`
	Source       Source                     `json:"source,omitzero" yaml:"source,omitempty"`
	Network      Network                    `json:"network,omitzero" yaml:"network,omitempty"`
	Filesystem   Filesystem                 `json:"filesystem,omitzero" yaml:"filesystem,omitempty"`
	ExternalAPIs []string                   `json:"external_apis,omitempty" yaml:"external_apis,omitempty"`
	Secrets      []string                   `json:"secrets,omitempty" yaml:"secrets,omitempty"`
	Sandbox      Sandbox                    `json:"sandbox,omitzero" yaml:"sandbox,omitempty"`
	Resources    Resources                  `json:"resources,omitzero" yaml:"resources,omitempty"`
	Scheduling   Scheduling                 `json:"scheduling,omitzero" yaml:"scheduling,omitempty"`
	Tasks        Tasks                      `json:"tasks,omitzero" yaml:"tasks,omitempty"`
	Policy       []string                   `json:"policy,omitempty" yaml:"policy,omitempty"`

	// Unstated lists the risk factors of which the source said nothing; Parse
	// fills it in, and no source can set it.
	Unstated []RiskFactor `json:"unstated,omitempty" yaml:"-"`
}

// Program is what an agent runs for a task: exactly one of its kinds.
type Program struct {
	Script    *Script           `json:"script,omitempty" yaml:"script,omitempty"`
	Container *Container        `json:"container,omitempty" yaml:"container,omitempty"`
	Env       map[string]string `json:"env,omitempty" yaml:"env,omitempty"`
	StopGrace Duration          `json:"stop_grace,omitempty" yaml:"stop_grace,omitempty"`
}

// Language is what a script is written in.
type Language string

// The languages of scripts.
const (
	Python Language = "python"
	Shell  Language = "shell"
)

// Script is a program in one file, run by an interpreter of a base image. Its
// text is either inline (Code) or a file that the client uploads as a blob
// (File names it, Digest is its content).
type Script struct {
	Language Language `json:"language" yaml:"language"`
	File     string   `json:"file,omitempty" yaml:"file,omitempty"`
	Digest   Digest   `json:"digest,omitempty" yaml:"digest,omitempty"`
	Code     string   `json:"code,omitempty" yaml:"code,omitempty"`
	Args     []string `json:"args,omitempty" yaml:"args,omitempty"`
}

// Pull says when a node fetches an image.
type Pull string

// The pull rules.
const (
	PullNever   Pull = "never"
	PullMissing Pull = "missing"
	PullAlways  Pull = "always"
)

// Container is a program in an image of its own. Command replaces the image's
// ENTRYPOINT, Args its CMD; the image's USER is not used.
type Container struct {
	Image   string   `json:"image" yaml:"image"`
	Command []string `json:"command,omitempty" yaml:"command,omitempty"`
	Args    []string `json:"args,omitempty" yaml:"args,omitempty"`
	Pull    Pull     `json:"pull,omitempty" yaml:"pull,omitempty"`
}

// Sensitivity is how much harm an input's leaking would do.
type Sensitivity string

// The sensitivities, lowest first.
const (
	Public       Sensitivity = "public"
	Internal     Sensitivity = "internal"
	Confidential Sensitivity = "confidential"
	Restricted   Sensitivity = "restricted"
)

// Sensitivities lists them, lowest first.
var Sensitivities = []Sensitivity{Public, Internal, Confidential, Restricted}

// Input declares one thing that a task is given.
type Input struct {
	Sensitivity Sensitivity `json:"sensitivity,omitempty" yaml:"sensitivity,omitempty"`
	MediaType   string      `json:"media_type,omitempty" yaml:"media_type,omitempty"`
	MaxMB       int64       `json:"max_mb,omitempty" yaml:"max_mb,omitempty"` // MiB
	Optional    bool        `json:"optional,omitempty" yaml:"optional,omitempty"`
}

// Trust is how far the code's origin is claimed to be known. It is a claim and
// is checked, never believed.
type Trust string

// The levels of trust, lowest first.
const (
	Untrusted Trust = "untrusted"
	Verified  Trust = "verified"
	Trusted   Trust = "trusted"
)

// Source claims where the code comes from.
type Source struct {
	Trust  Trust  `json:"trust,omitempty" yaml:"trust,omitempty"`
	Digest Digest `json:"digest,omitempty" yaml:"digest,omitempty"`
}

// Network is what the program may reach.
type Network struct {
	Allow       []string `json:"allow,omitempty" yaml:"allow,omitempty"` // host or host:port
	Connections int      `json:"connections,omitempty" yaml:"connections,omitempty"`
}

// Filesystem is the room that the program may write.
type Filesystem struct {
	ScratchMB int64 `json:"scratch_mb,omitempty" yaml:"scratch_mb,omitempty"` // MiB
}

// Sandbox asks for at least a tier; the risk score can only raise it.
type Sandbox struct {
	MinTier Tier `json:"min_tier,omitempty" yaml:"min_tier,omitempty"`
}

// Resources are the limits of R3. Each is enforced; none has "unlimited".
type Resources struct {
	MemoryMB         int64    `json:"memory_mb,omitempty" yaml:"memory_mb,omitempty"`             // MiB
	CPUCores         float64  `json:"cpu_cores,omitempty" yaml:"cpu_cores,omitempty"`             // of one core
	DiskIOMBps       int64    `json:"disk_io_mbps,omitempty" yaml:"disk_io_mbps,omitempty"`       // 10^6 bytes/s, read and write each
	NetworkIOMBps    int64    `json:"network_io_mbps,omitempty" yaml:"network_io_mbps,omitempty"` // 10^6 bytes/s; 0 is none
	ExecutionTimeout Duration `json:"execution_timeout,omitempty" yaml:"execution_timeout,omitempty"`
}

// Priority orders tasks that compete for resources.
type Priority string

// The priorities, highest first.
const (
	Critical Priority = "critical"
	High     Priority = "high"
	Normal   Priority = "normal"
	Low      Priority = "low"
)

// Class says whether a task wants latency or throughput.
type Class string

// The scheduling classes.
const (
	RealTime Class = "real-time"
	Batch    Class = "batch"
)

// Scheduling is how an agent's tasks compete with others.
type Scheduling struct {
	Priority Priority `json:"priority,omitempty" yaml:"priority,omitempty"`
	Class    Class    `json:"class,omitempty" yaml:"class,omitempty"`
}

// Tasks bounds how an agent works on its tasks.
type Tasks struct {
	MaxConcurrent int   `json:"max_concurrent,omitempty" yaml:"max_concurrent,omitempty"`
	Retry         Retry `json:"retry,omitzero" yaml:"retry,omitempty"`
}

// Retry says which failures are tried again, how often and how soon. The
// backoff doubles with each attempt.
type Retry struct {
	MaxAttempts int            `json:"max_attempts,omitempty" yaml:"max_attempts,omitempty"`
	Backoff     Duration       `json:"backoff,omitempty" yaml:"backoff,omitempty"`
	On          []FailureClass `json:"on,omitzero" yaml:"on,omitempty"` // empty: none is tried again
}
