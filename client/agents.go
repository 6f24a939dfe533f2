package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"strconv"

	"symbi.dev/symbi/agent"
)

// mediaYAML is what a manifest is sent as; JSON is YAML too.
const mediaYAML = "application/yaml"

// CreateAgent makes an agent of a manifest. A dry run checks everything and
// makes nothing.
func (c *Conn) CreateAgent(ctx context.Context, ns agent.Namespace, manifest []byte, dry bool) (Agent, error) {
	resp, err := c.api.CreateAgentWithBody(ctx, string(ns), &CreateAgentParams{DryRun: dry, IdempotencyKey: rand.Text()}, mediaYAML, bytes.NewReader(manifest))
	return answer[Agent](c, resp, err)
}

// UpdateAgent gives an agent a new manifest; version is the one it is made
// from, 0 for whatever is current.
func (c *Conn) UpdateAgent(ctx context.Context, ref agent.Ref, manifest []byte, version int64, dry bool) (Agent, error) {
	params := &UpdateAgentParams{DryRun: dry}
	if version > 0 {
		params.IfMatch = strconv.Quote(strconv.FormatInt(version, 10))
	}
	resp, err := c.api.UpdateAgentWithBody(ctx, string(ref.Namespace), string(ref.Name), params, mediaYAML, bytes.NewReader(manifest))
	return answer[Agent](c, resp, err)
}

// Agent shows an agent with its manifest.
func (c *Conn) Agent(ctx context.Context, ref agent.Ref) (Agent, error) {
	resp, err := c.api.GetAgent(ctx, string(ref.Namespace), string(ref.Name), &GetAgentParams{})
	return answer[Agent](c, resp, err)
}

// Agents lists a page of agents; an empty namespace is all of them.
func (c *Conn) Agents(ctx context.Context, ns agent.Namespace, p ListAgentsParams) (AgentList, error) {
	if ns == "" {
		all := ListAllAgentsParams(p)
		resp, err := c.api.ListAllAgents(ctx, &all)
		return answer[AgentList](c, resp, err)
	}
	resp, err := c.api.ListAgents(ctx, string(ns), &p)
	return answer[AgentList](c, resp, err)
}

// TransitionList is a page of an agent's history.
type TransitionList struct {
	Items      []Transition `json:"items"`
	NextCursor string       `json:"next_cursor"`
}

// History lists an agent's transitions, oldest first.
func (c *Conn) History(ctx context.Context, ref agent.Ref, cursor string) (TransitionList, error) {
	resp, err := c.api.AgentHistory(ctx, string(ref.Namespace), string(ref.Name), &AgentHistoryParams{Cursor: cursor, Limit: 500})
	return answer[TransitionList](c, resp, err)
}

// Suspend makes an agent stand still.
func (c *Conn) Suspend(ctx context.Context, ref agent.Ref, reason string) (Agent, error) {
	resp, err := c.api.SuspendAgent(ctx, string(ref.Namespace), string(ref.Name), SuspendAgentJSONRequestBody{Reason: reason})
	return answer[Agent](c, resp, err)
}

// Resume lifts the user's hold.
func (c *Conn) Resume(ctx context.Context, ref agent.Ref, reason string) (Agent, error) {
	resp, err := c.api.ResumeAgent(ctx, string(ref.Namespace), string(ref.Name), ResumeAgentJSONRequestBody{Reason: reason})
	return answer[Agent](c, resp, err)
}

// Terminate ends an agent for good.
func (c *Conn) Terminate(ctx context.Context, ref agent.Ref, reason string) (Agent, error) {
	resp, err := c.api.TerminateAgent(ctx, string(ref.Namespace), string(ref.Name), TerminateAgentJSONRequestBody{Reason: reason})
	return answer[Agent](c, resp, err)
}

// Status is the overview of the whole installation.
func (c *Conn) Status(ctx context.Context) (Status, error) {
	resp, err := c.api.SystemStatus(ctx)
	return answer[Status](c, resp, err)
}

// LoginLink makes a one-time link that logs a browser in.
func (c *Conn) LoginLink(ctx context.Context) (string, error) {
	resp, err := c.api.CreateLoginLink(ctx)
	link, err := answer[LoginLink](c, resp, err)
	return link.Url, err
}

// NodeList is all nodes.
type NodeList struct {
	Items []Node `json:"items"`
}

// Nodes lists the nodes.
func (c *Conn) Nodes(ctx context.Context) (NodeList, error) {
	resp, err := c.api.ListNodes(ctx)
	return answer[NodeList](c, resp, err)
}

// Ready asks whether the server is ready.
func (c *Conn) Ready(ctx context.Context) error {
	resp, err := c.api.Ready(ctx)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return agent.Errorf(agent.ErrUnavailable, "the server at %s is not ready: %s", c.server, resp.Status)
	}
	return nil
}
