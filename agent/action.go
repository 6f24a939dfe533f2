package agent

// Principal is who does something: "key:…", "agent:…", "node:…", "admin",
// "temporal-ui", "runtime".
type Principal string

// The principals that exist without being created.
const (
	PrincipalAdmin      Principal = "admin"       // the holder of the installation's first token
	PrincipalTemporalUI Principal = "temporal-ui" // whoever sends a bare signal in the Temporal Web UI
	PrincipalRuntime    Principal = "runtime"     // this system, acting by itself
	PrincipalAnonymous  Principal = "anonymous"   // a caller without valid credentials
)

// Action is what is done, as policy and audit name it.
type Action string

// The actions asked of policy and recorded. INTERFACES.md is their list; more
// join as their parts are built.
const (
	ActAgentCreate    Action = "agent.create"
	ActAgentUpdate    Action = "agent.update"
	ActAgentSuspend   Action = "agent.suspend"
	ActAgentResume    Action = "agent.resume"
	ActAgentTerminate Action = "agent.terminate"
	ActTaskSubmit     Action = "task.submit"
	ActTaskRun        Action = "task.run"
	ActTaskCancel     Action = "task.cancel"
	ActTaskRetry      Action = "task.retry"
	ActSandboxStart   Action = "sandbox.start"
	ActBlobWrite      Action = "blob.write"
	ActArtifactRead   Action = "artifact.read"
	ActLogRead        Action = "log.read"
)

// Verdict is the core of a decision.
type Verdict string

// The verdicts.
const (
	Allow Verdict = "allow"
	Deny  Verdict = "deny"
)

// Decision is what policy says of an action. Conditions bind the one who acts:
// each is data with one enforcer, and an unknown one denies.
type Decision struct {
	Verdict    Verdict     `json:"verdict"`
	Reason     string      `json:"reason,omitempty"`
	Rules      []string    `json:"rules,omitempty"` // ids of the rules that spoke
	Revision   string      `json:"revision"`        // of the policy that was asked
	Conditions []Condition `json:"conditions,omitempty"`
}

// Allowed reports whether the action may be done at all.
func (d Decision) Allowed() bool { return d.Verdict == Allow }

// Condition is a demand that goes with an allow.
type Condition struct {
	Kind string         `json:"kind"`
	Args map[string]any `json:"args,omitempty"`
}
