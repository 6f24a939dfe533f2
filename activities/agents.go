package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/workflows"
)

// Initialise reads an agent's manifest and looks whether its program is there.
// What cannot be used is a failure with its reason, not an error.
func (s *Steps) Initialise(ctx context.Context, in workflows.InitialiseInput) (workflows.InitialiseResult, error) {
	m, err := s.manifest(ctx, in.ID, in.ManifestVersion)
	if err != nil {
		return workflows.InitialiseResult{}, err
	}
	result := s.described(m)
	switch {
	case m.Program.Script != nil:
		result.Failure, err = s.checkScript(ctx, m.Program.Script)
	case m.Program.Container != nil:
		result.Failure, result.PullImage, err = s.checkImage(ctx, *m.Program.Container)
	}
	return result, err
}

// PrepareImage fetches an agent's image. It may take minutes.
func (s *Steps) PrepareImage(ctx context.Context, in workflows.InitialiseInput) (workflows.InitialiseResult, error) {
	m, err := s.manifest(ctx, in.ID, in.ManifestVersion)
	if err != nil {
		return workflows.InitialiseResult{}, err
	}
	result := s.described(m)
	stop := beat(ctx)
	defer stop()
	if err := s.Images.Fetch(ctx, *m.Program.Container); err != nil {
		if !errors.As(err, &result.Failure) {
			return result, err
		}
	}
	return result, nil
}

// described is what the agent's workflow needs of a manifest.
func (s *Steps) described(m *agent.Manifest) workflows.InitialiseResult {
	risk := s.risk(m, declaredInputs(m))
	return workflows.InitialiseResult{
		MaxConcurrent: m.Tasks.MaxConcurrent, Priority: m.Scheduling.Priority, Tier: risk.Tier,
	}
}

func (s *Steps) manifest(ctx context.Context, id agent.ID, version int64) (*agent.Manifest, error) {
	canonical, err := s.Store.Manifest(ctx, id, version)
	if err != nil {
		return nil, err
	}
	m := new(agent.Manifest)
	if err := json.Unmarshal(canonical, m); err != nil {
		return nil, fmt.Errorf("read version %d of the manifest of %s: %w", version, id.Ref, err)
	}
	return m, nil
}

// checkScript looks whether a script's text was uploaded.
func (s *Steps) checkScript(ctx context.Context, script *agent.Script) (*agent.Failure, error) {
	if script.Code != "" {
		return nil, nil
	}
	missing := &agent.Failure{Class: agent.FailDependency, Code: agent.CodeProgramMissing}
	if script.Digest == "" {
		missing.Cause = fmt.Sprintf("the program file %s was not uploaded: program.script.digest is not set", script.File)
		missing.NextStep = "create the agent with `symbi apply -f`, which uploads the file, or PUT it to /v1/blobs/{digest} and set program.script.digest"
		return missing, nil
	}
	_, err := s.Blobs.Stat(ctx, script.Digest)
	if errors.Is(err, agent.ErrNotFound) {
		missing.Cause = fmt.Sprintf("the program file %s (%s) is not in the blob store", script.File, script.Digest)
		missing.NextStep = "upload it: PUT /v1/blobs/" + string(script.Digest) + "; then create the agent again"
		return missing, nil
	}
	return nil, err
}

// checkImage looks whether a container's image is there, and whether it is to be fetched.
func (s *Steps) checkImage(ctx context.Context, c agent.Container) (*agent.Failure, bool, error) {
	if c.Pull == agent.PullAlways {
		return nil, true, nil
	}
	present, err := s.Images.Present(ctx, c)
	var missing *agent.Failure
	switch {
	case errors.As(err, &missing) && missing.Code == agent.CodeImageMissing:
		return missing, false, nil
	case err != nil:
		// Without an engine nothing can be said of the image; a task that needs
		// it fails with the engine's own fix.
		s.Logger.Warn("an agent's image was not looked up", "image", c.Image, "error", err)
		return nil, false, nil
	case present:
		return nil, false, nil
	}
	return nil, true, nil
}

// Publish writes what an agent's workflow says of itself, puts its transitions
// on record, and tells whoever watches.
func (s *Steps) Publish(ctx context.Context, in workflows.PublishInput) error {
	steps := make([]store.Transition, len(in.Transitions))
	events := make([]audit.Event, len(in.Transitions))
	for i, t := range in.Transitions {
		steps[i] = store.Transition{Number: t.Number, From: t.From, To: t.To, Cause: t.Cause, Principal: t.Principal, At: t.At}
		events[i] = audit.Event{
			Action: "agent.transition", Principal: t.Principal, Namespace: in.Namespace, Agent: in.Name,
			Resource: fmt.Sprintf("%s/%d", in.Name, in.Generation),
			Details:  audit.Details{"number": t.Number, "from": t.From, "to": t.To, "cause": t.Cause},
		}
	}
	if err := s.Audit.Record(ctx, "transition", events...); err != nil {
		return err
	}
	err := s.Store.ProjectAgent(ctx, store.AgentProjection{
		ID: in.ID, Seq: in.Seq, State: in.Lifecycle.State, Holds: in.Lifecycle.Holds, Active: in.Lifecycle.Active,
		Waiting: in.Waiting, Terminating: in.Lifecycle.Terminating, Tier: in.Tier, Failure: in.Failure,
		Transitions: steps, At: in.At,
	})
	if err != nil {
		return err
	}
	s.News.AnnounceAgent(in.ID)
	return nil
}
