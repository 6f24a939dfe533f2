package agent

import "fmt"

// FailureClass says whose fault a failure is, and so who can mend it (R2.1).
type FailureClass string

// The classes of failure.
const (
	FailProgram    FailureClass = "program"    // the agent's own code ended badly
	FailSandbox    FailureClass = "sandbox"    // the container or its runtime broke
	FailResources  FailureClass = "resources"  // a limit was met, or no node is large enough
	FailPolicy     FailureClass = "policy"     // policy forbids it
	FailDependency FailureClass = "dependency" // an image, blob or service is missing or does not answer
	FailInternal   FailureClass = "internal"   // a fault of this runtime
)

// FailureClasses lists every class; manifests name them in tasks.retry.on.
var FailureClasses = []FailureClass{FailProgram, FailSandbox, FailResources, FailPolicy, FailDependency, FailInternal}

// FailureCode is a short stable word for one cause within a class, for scripts
// and metrics.
type FailureCode string

// The causes that the runtime tells apart.
const (
	CodeExit            FailureCode = "exit"              // program: ended with a code other than 0
	CodeSignal          FailureCode = "signal"            // program: ended by a signal of its own
	CodeBadResult       FailureCode = "bad-result"        // program: $SYMBI_RESULT holds no valid JSON
	CodeBadArtifact     FailureCode = "bad-artifact"      // program: an output cannot be taken
	CodeCommandNotFound FailureCode = "command-not-found" // program: the command is not in the image
	CodeTimeout         FailureCode = "timeout"           // resources: execution_timeout was reached
	CodeOutOfMemory     FailureCode = "out-of-memory"     // resources: memory_mb was reached
	CodeNoCapacity      FailureCode = "no-capacity"       // resources: no node could ever hold it
	CodeSandboxDied     FailureCode = "sandbox-died"      // sandbox: the container ended without an exit record
	CodeSandboxStart    FailureCode = "sandbox-start"     // sandbox: the engine would not start it
	CodeWrongRuntime    FailureCode = "wrong-runtime"     // sandbox: the tier's runtime is not what it claims to be
	CodeFenced          FailureCode = "fenced"            // sandbox: lost contact with the runtime and ended itself
	CodeDenied          FailureCode = "denied"            // policy
	CodeImageMissing    FailureCode = "image-missing"     // dependency
	CodeBlobMissing     FailureCode = "blob-missing"      // dependency
	CodeProgramMissing  FailureCode = "program-missing"   // dependency: the script was never uploaded
	CodeEngineMissing   FailureCode = "engine-missing"    // dependency: no container engine answers
	CodeNodeLost        FailureCode = "node-lost"         // dependency: the node went away for longer than the lease
	CodeInternal        FailureCode = "internal"          // internal
)

// Failure is one failure of an agent or a task: its class, its cause in words
// that a person can act on, and what to do next.
type Failure struct {
	Class    FailureClass `json:"class"`
	Code     FailureCode  `json:"code"`
	Cause    string       `json:"cause"`
	NextStep string       `json:"next_step"`
	ExitCode *int         `json:"exit_code,omitempty"`
	Rule     string       `json:"rule,omitempty"` // the policy rule that spoke, for class policy
}

// Error makes a Failure an error, so that activities can return it.
func (f *Failure) Error() string { return fmt.Sprintf("%s/%s: %s", f.Class, f.Code, f.Cause) }
