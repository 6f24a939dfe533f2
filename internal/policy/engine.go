package policy

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/policies"
)

// Config is what an Engine is made of. Fields left out take their default.
type Config struct {
	// Modules are the rules by file name; nil means the default rules.
	Modules map[string]string
	// Schemas are what rules may read of each action's question; nil means the
	// default ones.
	Schemas map[agent.Action]any
	// Deadline bounds one evaluation.
	Deadline time.Duration
	// MaxInputBytes bounds a question, by an estimate of what it takes in memory.
	MaxInputBytes int
}

// Defaults of Config.
const (
	// DefaultDeadline is a hundred times what the slowest of the default rules
	// takes (DESIGN §5).
	DefaultDeadline = 5 * time.Millisecond
	// DefaultMaxInputBytes holds the largest manifest (256 KiB of text) four times.
	DefaultMaxInputBytes = 1 << 20
)

// WithDefaults fills in what was left out.
func (c Config) WithDefaults() Config {
	if c.Modules == nil {
		c.Modules = policies.Modules()
	}
	if c.Schemas == nil {
		c.Schemas = policies.Schemas()
	}
	if c.Deadline == 0 {
		c.Deadline = DefaultDeadline
	}
	if c.MaxInputBytes == 0 {
		c.MaxInputBytes = DefaultMaxInputBytes
	}
	return c
}

// Engine decides. It may be used by many at once.
type Engine struct {
	cfg     Config
	current atomic.Pointer[revision]
}

// New compiles the rules. ErrInvalid when they do not compile, or read what
// their action's question does not have.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg.WithDefaults()}
	if err := e.Load(ctx, e.cfg.Modules); err != nil {
		return nil, err
	}
	return e, nil
}

// Load replaces the rules in one step: questions under way are answered by the
// rules of before, all later ones by the new. On an error nothing changes.
func (e *Engine) Load(ctx context.Context, modules map[string]string) error {
	next, err := compile(ctx, modules, e.cfg.Schemas)
	if err != nil {
		return err
	}
	e.current.Store(next)
	return nil
}

// Revision names the rules that decide now, by their content.
func (e *Engine) Revision() string { return e.current.Load().id }

// Input is a question.
type Input struct {
	Principal agent.Principal
	Action    agent.Action
	// Resource is what the action is done to: a map, or a struct that JSON can
	// write. Its fields are those of the action's schema in policies/schemas.
	Resource any
	// Context is what is known of the occasion, as policies.Context has it.
	Context map[string]any
	// Enforces lists the kinds of condition that the asker will see to; an
	// allow with any other is turned into a deny.
	Enforces []string
}

// Decide answers a question.
func (e *Engine) Decide(ctx context.Context, in Input) agent.Decision {
	rev := e.current.Load()
	value, err := question(in, e.cfg.MaxInputBytes)
	if err != nil {
		return refusal(rev, err.Error())
	}
	// A pause of the whole process looks like a slow rule. It does not strike
	// twice in a row, so what was cut off is asked once more.
	for range 2 {
		var found findings
		if found, err = e.evaluate(ctx, rev, value); err == nil {
			return found.decide(rev, in)
		}
		if !topdown.IsCancel(err) || ctx.Err() != nil {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		return refusal(rev, "the asker went away")
	case topdown.IsCancel(err):
		return refusal(rev, fmt.Sprintf("the rules took longer than %s", e.cfg.Deadline))
	}
	return refusal(rev, err.Error())
}

// refusal denies what could not be evaluated.
func refusal(rev *revision, why string) agent.Decision {
	return agent.Decision{Verdict: agent.Deny, Reason: "policy could not be evaluated: " + why, Revision: rev.id}
}

// evaluate runs the rules once, within the deadline.
func (e *Engine) evaluate(ctx context.Context, rev *revision, value ast.Value) (findings, error) {
	cancel := topdown.NewCancel()
	// Instead of OPA's own watcher, which costs a goroutine a question.
	deadline := time.AfterFunc(e.cfg.Deadline, cancel.Cancel)
	defer deadline.Stop()
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, cancel.Cancel)()
	}
	rs, err := rev.query.Eval(ctx, rego.EvalParsedInput(value), rego.EvalExternalCancel(cancel), rego.EvalMetrics(metrics.NoOp()))
	if err != nil {
		return findings{}, err
	}
	return read(rs)
}
