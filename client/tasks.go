package client

import (
	"context"
	"crypto/rand"

	"symbi.dev/symbi/agent"
)

// Submit gives an agent a task.
func (c *Conn) Submit(ctx context.Context, ref agent.Ref, r TaskRequest, dry bool) (Task, error) {
	resp, err := c.api.SubmitTask(ctx, string(ref.Namespace), string(ref.Name), &SubmitTaskParams{DryRun: dry, IdempotencyKey: rand.Text()}, r)
	return answer[Task](c, resp, err)
}

// Task shows a task.
func (c *Conn) Task(ctx context.Context, ns agent.Namespace, id agent.TaskID) (Task, error) {
	resp, err := c.api.GetTask(ctx, string(ns), string(id), &GetTaskParams{})
	return answer[Task](c, resp, err)
}

// waitStep is how long one question waits at the server.
const waitStep = "30s"

// Wait gives a task once it has ended. changed is called with what it is
// whenever the server was asked; it may be nil.
func (c *Conn) Wait(ctx context.Context, ns agent.Namespace, id agent.TaskID, changed func(Task)) (Task, error) {
	for {
		resp, err := c.api.GetTask(ctx, string(ns), string(id), &GetTaskParams{Wait: waitStep})
		t, err := answer[Task](c, resp, err)
		if err != nil || t.State.Final() {
			return t, err
		}
		if changed != nil {
			changed(t)
		}
	}
}

// Tasks lists a page of tasks, newest first; an empty namespace is all of them.
func (c *Conn) Tasks(ctx context.Context, ns agent.Namespace, p ListTasksParams) (TaskList, error) {
	if ns == "" {
		all := ListAllTasksParams(p)
		resp, err := c.api.ListAllTasks(ctx, &all)
		return answer[TaskList](c, resp, err)
	}
	resp, err := c.api.ListTasks(ctx, string(ns), &p)
	return answer[TaskList](c, resp, err)
}

// AgentTasks lists a page of an agent's tasks, newest first.
func (c *Conn) AgentTasks(ctx context.Context, ref agent.Ref, p ListAgentTasksParams) (TaskList, error) {
	resp, err := c.api.ListAgentTasks(ctx, string(ref.Namespace), string(ref.Name), &p)
	return answer[TaskList](c, resp, err)
}

// Cancel ends a task.
func (c *Conn) Cancel(ctx context.Context, ns agent.Namespace, id agent.TaskID, reason string) (Task, error) {
	resp, err := c.api.CancelTask(ctx, string(ns), string(id), CancelTaskJSONRequestBody{Reason: reason})
	return answer[Task](c, resp, err)
}

// Retry runs an ended task again, as a new one.
func (c *Conn) Retry(ctx context.Context, ns agent.Namespace, id agent.TaskID) (Task, error) {
	resp, err := c.api.RetryTask(ctx, string(ns), string(id), &RetryTaskParams{IdempotencyKey: rand.Text()}, RetryTaskJSONRequestBody{})
	return answer[Task](c, resp, err)
}

// ArtifactList is what a task left.
type ArtifactList struct {
	Items []agent.Artifact `json:"items"`
}

// Artifacts lists what a task left.
func (c *Conn) Artifacts(ctx context.Context, ns agent.Namespace, id agent.TaskID) (ArtifactList, error) {
	resp, err := c.api.ListArtifacts(ctx, string(ns), string(id))
	return answer[ArtifactList](c, resp, err)
}
