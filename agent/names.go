package agent

import (
	"fmt"
	"regexp"
	"strings"
)

// Namespace isolates tenants; every agent and task lies in one.
type Namespace string

// DefaultNamespace is where an agent lives whose manifest names none.
const DefaultNamespace Namespace = "default"

// Name is an agent's name, unique among the living agents of its namespace.
type Name string

// TaskID names a task within its namespace. It follows the rules of names.
type TaskID string

// NodeID names a host that runs a worker and a container engine.
type NodeID string

// LeaseID names one grant of a node's resources to one attempt of a task.
type LeaseID string

// Digest is a content address: "sha256:" and 64 lower-case hexadecimal digits.
type Digest string

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// nameRule is what every message about a bad name tells its reader.
const nameRule = "use 1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter or a digit"

// CheckName reports whether s can name a namespace, an agent, an input, a
// parameter or a task. The rule leaves no dots, because workflow IDs join
// names with dots.
func CheckName(s string) error {
	if namePattern.MatchString(s) {
		return nil
	}
	shown := s
	if len(shown) > 80 {
		shown = shown[:80] + "…"
	}
	return fmt.Errorf("%q is not a valid name: %s", shown, nameRule)
}

// Valid reports whether d is a well-formed digest.
func (d Digest) Valid() bool { return digestPattern.MatchString(string(d)) }

// Hex returns the digest without its algorithm.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), "sha256:") }

// Ref points at an agent by the names people use.
type Ref struct {
	Namespace Namespace `json:"namespace"`
	Name      Name      `json:"name"`
}

// String gives "namespace/name", as messages and logs show it.
func (r Ref) String() string { return string(r.Namespace) + "/" + string(r.Name) }

// ID points at one generation of an agent: when an agent was terminated its
// name may be used again, for an agent that shares nothing with the first.
type ID struct {
	Ref
	Generation int64 `json:"generation"`
}

// WorkflowID is the agent's Temporal workflow ID.
func (id ID) WorkflowID() string {
	return fmt.Sprintf("agent.%s.%s.%d", id.Namespace, id.Name, id.Generation)
}

// TaskRef points at a task by the names people use.
type TaskRef struct {
	Namespace Namespace `json:"namespace"`
	Agent     Name      `json:"agent"`
	Task      TaskID    `json:"task"`
}

// WorkflowID is the task's Temporal workflow ID.
func (r TaskRef) WorkflowID() string {
	return fmt.Sprintf("task.%s.%s.%s", r.Namespace, r.Agent, r.Task)
}

// String gives "namespace/task", as messages and logs show it.
func (r TaskRef) String() string { return string(r.Namespace) + "/" + string(r.Task) }
