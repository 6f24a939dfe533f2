package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/workflows/api"
)

// Temporal is Workflows on a Temporal cluster.
type Temporal struct {
	client client.Client
	public string // our own address, for links
}

// NewTemporal starts and signals workflows through c. public is where people
// reach our API; workflows carry links to it.
func NewTemporal(c client.Client, public string) *Temporal {
	return &Temporal{client: c, public: public}
}

// StartAgent starts an agent's workflow.
func (t *Temporal) StartAgent(ctx context.Context, in api.AgentInput) error {
	return t.start(ctx, client.StartWorkflowOptions{
		ID:            in.WorkflowID(),
		StaticSummary: fmt.Sprintf("agent %s of %s, owned by %s", in.Name, in.Namespace, in.Owner),
		Memo: map[string]any{
			api.MemoReason: "created",
			api.MemoLink:   t.public + "/v1/namespaces/" + string(in.Namespace) + "/agents/" + string(in.Name),
		},
		TypedSearchAttributes: attributes(string(agent.Initializing), in.Namespace, in.Name, in.Owner, in.Priority),
	}, api.AgentWorkflow, in)
}

// StartTask starts a task's workflow.
func (t *Temporal) StartTask(ctx context.Context, in api.TaskInput) error {
	reason := "submitted by " + string(in.Spec.SubmittedBy)
	if in.Spec.RetryOf != "" {
		reason += " as a retry of " + string(in.Spec.RetryOf)
	}
	return t.start(ctx, client.StartWorkflowOptions{
		ID:            in.Spec.WorkflowID(),
		StaticSummary: fmt.Sprintf("task for agent %s, %s", in.Spec.Agent, reason),
		Memo: map[string]any{
			api.MemoReason: reason,
			api.MemoLink:   t.public + "/v1/namespaces/" + string(in.Spec.Namespace) + "/tasks/" + string(in.Spec.Task),
		},
		TypedSearchAttributes: attributes(string(agent.TaskWaiting), in.Spec.Namespace, in.Spec.Agent, in.Owner, in.Priority),
	}, api.TaskWorkflow, in)
}

// start starts a workflow once: its ID was written to a row before, so that
// one that is there, running or over, is the one that was meant.
func (t *Temporal) start(ctx context.Context, o client.StartWorkflowOptions, name string, in any) error {
	o.TaskQueue = api.Queue
	o.WorkflowIDReusePolicy = enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	o.WorkflowExecutionErrorWhenAlreadyStarted = true
	_, err := t.client.ExecuteWorkflow(ctx, o, name, in)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if err == nil || errors.As(err, &started) || temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return unavailable("start workflow "+o.ID, err)
}

// Signal sends a signal.
func (t *Temporal) Signal(ctx context.Context, workflowID, signal string, payload any) error {
	err := t.client.SignalWorkflow(ctx, workflowID, "", signal, payload)
	var absent *serviceerror.NotFound
	if errors.As(err, &absent) {
		return agent.Errorf(agent.ErrNotFound, "workflow %s is over: %w", workflowID, err)
	}
	return unavailable("signal workflow "+workflowID, err)
}

// checkHealthTimeout bounds a question after Temporal's health.
const checkHealthTimeout = 2 * time.Second

// Check reports whether Temporal answers.
func (t *Temporal) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkHealthTimeout)
	defer cancel()
	_, err := t.client.CheckHealth(ctx, &client.CheckHealthRequest{})
	return unavailable("ask for Temporal's health", err)
}

// unavailable gives Temporal's refusals their kind. Whatever is not plainly
// about the request itself may pass.
func unavailable(doing string, err error) error {
	if err == nil {
		return nil
	}
	var invalid *serviceerror.InvalidArgument
	if errors.As(err, &invalid) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return agent.Errorf(agent.ErrUnavailable, "%s: %w", doing, err)
}

// attributes are the search attributes that a workflow is started with.
func attributes(state string, ns agent.Namespace, name agent.Name, owner agent.Principal, p agent.Priority) temporal.SearchAttributes {
	keyword := temporal.NewSearchAttributeKeyKeyword
	return temporal.NewSearchAttributes(
		keyword(api.AttrState).ValueSet(state),
		keyword(api.AttrNamespace).ValueSet(string(ns)),
		keyword(api.AttrAgent).ValueSet(string(name)),
		keyword(api.AttrOwner).ValueSet(string(owner)),
		keyword(api.AttrPriority).ValueSet(string(p)),
	)
}
