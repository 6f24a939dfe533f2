package policies

import "symbi.dev/symbi/agent"

// What a rule may read is {principal, action, resource, context}. The types
// here are that question, and schemas/ is made from them; whoever asks sends
// the fields of its action's resource. A field without omitempty is always sent.

// Principal is who asks.
type Principal struct {
	ID string `json:"id"` // as agent.Principal has it: "admin", "node:a"
	// Kind is the part before the colon, or all of it: "admin", "node".
	Kind string `json:"kind"`
}

// Context is what is known of the occasion.
type Context struct {
	Request string `json:"request,omitempty"` // request ID
	Source  string `json:"source,omitempty"`  // network address
}

// Thing is what every resource has: where it lies, its own name, and the agent
// that it belongs to.
type Thing struct {
	Namespace agent.Namespace `json:"namespace"`
	Name      string          `json:"name"`
	Agent     agent.Name      `json:"agent,omitempty"`
	Owner     agent.Principal `json:"owner,omitempty"` // of the agent
}

// ManifestFacts are of agent.create and agent.update: the manifest that is to hold.
type ManifestFacts struct {
	Thing
	Manifest agent.Manifest `json:"manifest"`
}

// AgentFacts are of agent.suspend, agent.resume and agent.terminate.
type AgentFacts struct {
	Thing
	State agent.State `json:"state,omitempty"`
}

// InputFacts are of one input of a task.
type InputFacts struct {
	Name        string            `json:"name"`
	Sensitivity agent.Sensitivity `json:"sensitivity"`
	Bytes       int64             `json:"bytes"`
}

// TaskFacts are of task.submit and task.retry.
type TaskFacts struct {
	Thing
	Inputs []InputFacts `json:"inputs,omitempty"`
}

// CancelFacts are of task.cancel.
type CancelFacts struct {
	Thing
	State       agent.TaskState `json:"state,omitempty"`
	SubmittedBy agent.Principal `json:"submitted_by,omitempty"`
}

// RunFacts are of task.run, sandbox.start and resource.request: one attempt of
// a task, as it would run.
type RunFacts struct {
	Thing
	Tier     agent.Tier   `json:"tier"`               // that was chosen for it
	MinTier  agent.Tier   `json:"min_tier,omitempty"` // that its manifest asks for
	Risk     float64      `json:"risk,omitempty"`     // score, 0 to 1
	MemoryMB int64        `json:"memory_mb,omitempty"`
	CPUCores float64      `json:"cpu_cores,omitempty"`
	Attempt  int          `json:"attempt,omitempty"`
	Node     agent.NodeID `json:"node,omitempty"`
	Inputs   []InputFacts `json:"inputs,omitempty"`
}

// ContentFacts are of blob.write (the name is the digest), artifact.read and
// log.read (the name is the task's).
type ContentFacts struct {
	Thing
}

// Facts gives, for each action that can be asked about, an empty resource.
func Facts() map[agent.Action]any {
	return map[agent.Action]any{
		agent.ActAgentCreate:    ManifestFacts{},
		agent.ActAgentUpdate:    ManifestFacts{},
		agent.ActAgentSuspend:   AgentFacts{},
		agent.ActAgentResume:    AgentFacts{},
		agent.ActAgentTerminate: AgentFacts{},
		agent.ActTaskSubmit:     TaskFacts{},
		agent.ActTaskRetry:      TaskFacts{},
		agent.ActTaskCancel:     CancelFacts{},
		agent.ActTaskRun:        RunFacts{},
		agent.ActSandboxStart:   RunFacts{},
		ActResourceRequest:      RunFacts{},
		agent.ActBlobWrite:      ContentFacts{},
		agent.ActArtifactRead:   ContentFacts{},
		agent.ActLogRead:        ContentFacts{},
	}
}

// ActResourceRequest is the action of asking for a node's resources.
const ActResourceRequest agent.Action = "resource.request"
