package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/workflows/api"
)

// Names of the activities. They stand in histories.
const (
	StepInitialise   = "agent.initialise"    // local: InitialiseInput → InitialiseResult
	StepPrepareImage = "agent.prepare-image" // InitialiseInput → InitialiseResult; may take minutes
	StepJudge        = "agent.judge"         // local: JudgeInput → JudgeResult
	StepPublish      = "agent.publish"       // local: PublishInput
	StepTell         = "agent.tell"          // local: TellInput → TellResult

	StepArrive  = "task.arrive"      // local: ArriveInput → ArriveResult
	StepAssess  = "task.assess"      // local: AssessInput → Assessment
	StepNote    = "task.note"        // local: NoteInput
	StepLease   = "resource.lease"   // LeaseInput → Lease; stays pending until granted
	StepUnlease = "resource.unlease" // local: UnleaseInput
	StepRun     = "sandbox.run"      // on the node: RunInput → agent.Outcome
	StepControl = "sandbox.control"  // on the node: ControlInput
	StepFinish  = "task.finish"      // local: FinishInput
)

// Types of application errors that activities return to the task workflow.
const (
	// ErrTypeNodeStopping: the worker is shutting down in an orderly way and
	// left the sandbox running; ask the same node again.
	ErrTypeNodeStopping = "node-stopping"
	// ErrTypeFailure: the error's details are an agent.Failure.
	ErrTypeFailure = "failure"
)

// InitialiseInput names the manifest that an agent is to live by.
type InitialiseInput struct {
	agent.ID
	Owner           agent.Principal `json:"owner"`
	ManifestVersion int64           `json:"manifest_version"`
}

// InitialiseResult is what the agent's workflow needs to know of its manifest.
type InitialiseResult struct {
	MaxConcurrent int            `json:"max_concurrent"`
	Priority      agent.Priority `json:"priority"`
	Tier          agent.Tier     `json:"tier"` // as assessed for the declared inputs
	Failure       *agent.Failure `json:"failure,omitempty"`
	// PullImage says that an image has to be fetched first: StepPrepareImage.
	PullImage bool `json:"pull_image,omitempty"`
}

// JudgeInput is a command that reached a workflow as a signal.
type JudgeInput struct {
	WorkflowID string          `json:"workflow_id"`
	Signal     string          `json:"signal"`
	Namespace  agent.Namespace `json:"namespace"`
	Agent      agent.Name      `json:"agent"`
	Task       agent.TaskID    `json:"task,omitempty"`
	Owner      agent.Principal `json:"owner"`
	Command    api.Command     `json:"command"`
}

// JudgeResult says who the sender is taken for and whether it may.
type JudgeResult struct {
	Allowed   bool            `json:"allowed"`
	Principal agent.Principal `json:"principal"`
	Reason    string          `json:"reason,omitempty"`
}

// PublishInput makes a step of an agent visible: its projection and the
// transitions since the last.
type PublishInput struct {
	agent.ID
	Seq         int64           `json:"seq"`
	Lifecycle   agent.Lifecycle `json:"lifecycle"`
	Waiting     int             `json:"waiting,omitempty"`
	Tier        agent.Tier      `json:"tier,omitempty"`
	Failure     *agent.Failure  `json:"failure,omitempty"`
	Transitions []NumberedStep  `json:"transitions,omitempty"`
	At          time.Time       `json:"at"`
}

// NumberedStep is a transition with its place in the agent's history.
type NumberedStep struct {
	Number int64 `json:"number"`
	api.RecentTransition
}

// Message is one signal from an agent to one of its tasks.
type Message struct {
	Task   agent.TaskRef `json:"task"`
	Signal string        `json:"signal"` // go, hold or cancel
	Seq    int64         `json:"seq"`    // of the order, for go and hold
	Reason string        `json:"reason,omitempty"`
	Holds  agent.Holds   `json:"holds,omitempty"`
}

// TellInput is what an agent has to say to its tasks.
type TellInput struct {
	Messages []Message `json:"messages"`
}

// TellResult lists the tasks whose workflow is over or never was.
type TellResult struct {
	Gone []agent.TaskID `json:"gone,omitempty"`
}

// ArriveInput asks an agent to admit a task.
type ArriveInput struct {
	agent.TaskRef
	AgentGeneration int64     `json:"agent_generation"`
	At              time.Time `json:"at"`
}

// ArriveResult says whether there is still an agent to ask.
type ArriveResult struct {
	AgentGone bool `json:"agent_gone,omitempty"`
}

// AssessInput asks whether and how a task may run.
type AssessInput struct {
	Spec    agent.TaskSpec  `json:"spec"`
	Owner   agent.Principal `json:"owner"`
	Attempt int             `json:"attempt"`
	Seq     int64           `json:"seq"`
	At      time.Time       `json:"at"`
}

// Assessment is policy's decision, the risk, and what follows from the manifest.
type Assessment struct {
	Decision  agent.Decision       `json:"decision"`
	Risk      agent.RiskAssessment `json:"risk"`
	Tier      agent.Tier           `json:"tier"`
	Resources agent.Resources      `json:"resources"`
	ScratchMB int64                `json:"scratch_mb"`
	Class     agent.Class          `json:"class"`
	Retry     agent.Retry          `json:"retry"`
	StopGrace agent.Duration       `json:"stop_grace"`
	Failure   *agent.Failure       `json:"failure,omitempty"` // denied, or the manifest is gone
}

// NoteInput writes where a task stands, for lists.
type NoteInput struct {
	agent.TaskRef
	Seq     int64           `json:"seq"`
	State   agent.TaskState `json:"state"`
	Holds   agent.Holds     `json:"holds,omitempty"`
	Why     string          `json:"why,omitempty"`
	Attempt int             `json:"attempt,omitempty"`
	Outcome *agent.Outcome  `json:"outcome,omitempty"`
	At      time.Time       `json:"at"`
}

// LeaseInput asks for a node's resources.
type LeaseInput struct {
	ID        agent.LeaseID   `json:"id"`
	Task      agent.TaskRef   `json:"task"`
	Attempt   int             `json:"attempt"`
	Seq       int64           `json:"seq"`
	Resources agent.Resources `json:"resources"`
	ScratchMB int64           `json:"scratch_mb"`
	Priority  agent.Priority  `json:"priority"`
	Class     agent.Class     `json:"class"`
	Tier      agent.Tier      `json:"tier"`
	At        time.Time       `json:"at"`
}

// Lease is the scheduler's grant.
type Lease struct {
	ID    agent.LeaseID  `json:"id"`
	Node  agent.NodeID   `json:"node"`
	Epoch int64          `json:"epoch"`
	TTL   agent.Duration `json:"ttl"` // how long the node may be silent before the task may start elsewhere
	// Failure is set when no node could ever hold the task.
	Failure *agent.Failure `json:"failure,omitempty"`
}

// UnleaseInput gives a lease, or the wish for one, back.
type UnleaseInput struct {
	ID agent.LeaseID `json:"id"`
}

// RunInput is one attempt of a task on one node. Given again with the same
// lease it means: adopt what runs.
type RunInput struct {
	Spec       agent.TaskSpec  `json:"spec"`
	Owner      agent.Principal `json:"owner"`
	Attempt    int             `json:"attempt"`
	Lease      Lease           `json:"lease"`
	Assessment Assessment      `json:"assessment"`
	Frozen     bool            `json:"frozen,omitempty"` // a hold stands
	Holds      agent.Holds     `json:"holds,omitempty"`
	Seq        int64           `json:"seq"` // the node counts up from here, to Seq+NodeSeqs-1
}

// NodeSeqs is how many projection numbers a node may use for one RunInput.
const NodeSeqs = 100

// ControlOp is what a node is told to do with a running sandbox.
type ControlOp string

// The operations.
const (
	Freeze ControlOp = "freeze"
	Thaw   ControlOp = "thaw"
	Stop   ControlOp = "stop"
)

// ControlInput changes a running sandbox.
type ControlInput struct {
	agent.TaskRef
	Lease  agent.LeaseID `json:"lease"`
	Op     ControlOp     `json:"op"`
	Holds  agent.Holds   `json:"holds,omitempty"`
	Reason string        `json:"reason,omitempty"`
	Seq    int64         `json:"seq"`
	At     time.Time     `json:"at"`
}

// FinishInput ends a task: its last projection, and word to its agent.
type FinishInput struct {
	agent.TaskRef
	AgentGeneration int64           `json:"agent_generation"`
	Lease           agent.LeaseID   `json:"lease,omitempty"`
	Attempt         int             `json:"attempt"`
	Seq             int64           `json:"seq"`
	State           agent.TaskState `json:"state"`
	Why             string          `json:"why,omitempty"`
	Outcome         *agent.Outcome  `json:"outcome,omitempty"`
	Principal       agent.Principal `json:"principal"` // who caused the end, when somebody did
	At              time.Time       `json:"at"`
}

// Bounds of the short steps. They are tried until they succeed: what they
// write must be written, and the workflow has nothing better to do meanwhile.
const (
	shortStepTimeout = 10 * time.Second
	firstBackoff     = 100 * time.Millisecond
	longestBackoff   = 10 * time.Second
)

// short gives the context of a local activity.
func short(ctx workflow.Context) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: shortStepTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:        firstBackoff,
			BackoffCoefficient:     2,
			MaximumInterval:        longestBackoff,
			NonRetryableErrorTypes: []string{ErrTypeFailure},
		},
	})
}
