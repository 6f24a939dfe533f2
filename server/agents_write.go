package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/workflows/api"
)

// createAgent makes an agent of a manifest.
func (s *Server) createAgent(c *gin.Context) {
	ctx := c.Request.Context()
	m, warnings, err := s.readManifest(c)
	if err != nil {
		s.problem(c, err)
		return
	}
	new := store.NewAgent{
		Ref: agent.Ref{Namespace: m.Namespace, Name: m.Name}, Owner: callerFrom(ctx).principal,
		Manifest: m.Canonical(), Spec: specOf(m), At: s.cfg.Now(),
	}
	if c.Query("dry_run") == "true" {
		s.showDryRun(c, m, new, warnings)
		return
	}
	var rec store.Agent
	var replayed bool
	err = s.change(ctx, s.agentDeed(agent.ActAgentCreate, m), func(ctx context.Context) error {
		idem := s.idempotency(c, "agent.create "+string(m.Namespace), new.Manifest)
		if rec, replayed, err = s.cfg.Store.CreateAgent(ctx, new, idem); err != nil {
			return err
		}
		return s.startAgent(ctx, rec)
	})
	if err != nil {
		s.problem(c, err)
		return
	}
	shown := agentShown(rec)
	shown.Warnings = warnings
	c.Header("ETag", etag(rec.ManifestVersion))
	c.Header("Location", "/v1/namespaces/"+shown.Namespace+"/agents/"+shown.Name)
	c.JSON(createdOr(replayed), shown)
}

func createdOr(replayed bool) int {
	if replayed {
		return http.StatusOK
	}
	return http.StatusCreated
}

// showDryRun answers what a creation would make; one that would clash says so.
func (s *Server) showDryRun(c *gin.Context, m *agent.Manifest, new store.NewAgent, warnings []Warning) {
	ctx := c.Request.Context()
	if d := s.ask(ctx, s.agentDeed(agent.ActAgentCreate, m)); !d.Allowed() {
		s.problem(c, denied(d))
		return
	}
	now := s.cfg.Now()
	shown := agentShown(store.Agent{
		ID: agent.ID{Ref: new.Ref}, Owner: new.Owner, Spec: new.Spec, ManifestVersion: 1,
		State: agent.Initializing, CreatedAt: now, UpdatedAt: now,
	})
	shown.Manifest, shown.Warnings = new.Manifest, warnings
	c.JSON(http.StatusOK, shown)
}

// startAgent starts an agent's workflow and notes that it runs. When Temporal
// does not answer, the row stands and the reconciler starts it later: the
// agent is accepted.
func (s *Server) startAgent(ctx context.Context, rec store.Agent) error {
	if rec.Started {
		return nil
	}
	err := s.cfg.Workflows.StartAgent(ctx, api.AgentInput{
		ID: rec.ID, Owner: rec.Owner, Priority: rec.Spec.Priority, ManifestVersion: rec.ManifestVersion,
	})
	if errors.Is(err, agent.ErrUnavailable) {
		s.cfg.Logger.Warn("an agent is started later", "agent", rec.Ref.String(), "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	return s.cfg.Store.MarkAgentStarted(ctx, rec.ID)
}

// updateAgent gives an agent a new manifest.
func (s *Server) updateAgent(c *gin.Context) {
	ctx := c.Request.Context()
	m, warnings, err := s.readManifest(c)
	if err == nil && string(m.Name) != c.Param("agent") {
		err = agent.InvalidFields("manifest", []agent.FieldError{{
			Path: "name", Message: fmt.Sprintf("it says %q and the path says %q", m.Name, c.Param("agent")),
		}})
	}
	if err != nil {
		s.problem(c, err)
		return
	}
	rec, err := s.cfg.Store.Agent(ctx, agent.Ref{Namespace: m.Namespace, Name: m.Name})
	if err != nil {
		s.problem(c, err)
		return
	}
	version, err := ifMatch(c.GetHeader("If-Match"))
	if err == nil && version != 0 && version != rec.ManifestVersion {
		s.writeProblem(c, http.StatusPreconditionFailed, "It was changed meanwhile",
			fmt.Sprintf("If-Match names version %d and the current one is %d; read it again", version, rec.ManifestVersion), nil)
		return
	}
	if err == nil {
		rec, err = s.putManifest(ctx, rec, m, c.Query("dry_run") == "true")
	}
	if err != nil {
		s.problem(c, err)
		return
	}
	shown, err := s.withManifest(ctx, rec, 0)
	if err != nil {
		s.problem(c, err)
		return
	}
	shown.Warnings = warnings
	c.Header("ETag", etag(rec.ManifestVersion))
	c.JSON(http.StatusOK, shown)
}

// putManifest writes the next version, unless it is equal to the current one.
func (s *Server) putManifest(ctx context.Context, rec store.Agent, m *agent.Manifest, dry bool) (store.Agent, error) {
	if rec.Terminating || rec.State == agent.Terminated || rec.State == agent.Failed {
		return rec, agent.Errorf(agent.ErrConflict, "agent %s is %s and takes no new manifest; create it again", rec.Ref, stateWords(rec))
	}
	current, err := s.cfg.Store.Manifest(ctx, rec.ID, 0)
	if err != nil {
		return rec, err
	}
	next := m.Canonical()
	if string(current) == string(next) {
		return rec, nil
	}
	d := s.agentDeed(agent.ActAgentUpdate, m)
	if dry {
		if decision := s.ask(ctx, d); !decision.Allowed() {
			return rec, denied(decision)
		}
		return rec, nil
	}
	err = s.change(ctx, d, func(ctx context.Context) error {
		if rec, err = s.cfg.Store.UpdateManifest(ctx, rec.ID, rec.ManifestVersion, next, specOf(m)); err != nil {
			return err
		}
		return s.cfg.Workflows.Signal(ctx, rec.WorkflowID(), api.SignalManifestUpdated, api.ManifestUpdated{
			Version: rec.ManifestVersion, By: s.command(ctx, rec.WorkflowID(), api.SignalManifestUpdated, ""),
		})
	})
	return rec, err
}

// ifMatch reads the version that a client says it changes; 0 when it says none.
func ifMatch(header string) (int64, error) {
	if header == "" || header == "*" {
		return 0, nil
	}
	v, err := strconv.ParseInt(strings.Trim(header, `"`), 10, 64)
	if err != nil || v < 1 {
		return 0, agent.InvalidFields("request", []agent.FieldError{{Path: "header.If-Match", Message: "is not an ETag of ours, such as \"3\""}})
	}
	return v, nil
}

// readManifest reads and checks the manifest in a request's body.
func (s *Server) readManifest(c *gin.Context) (*agent.Manifest, []Warning, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, agent.MaxManifestBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, nil, agent.Errorf(agent.ErrInvalid, "the manifest has more than %d KiB; upload large scripts as blobs (program.script.file)", agent.MaxManifestBytes>>10)
	}
	if err != nil {
		return nil, nil, agent.Errorf(agent.ErrInvalid, "the body could not be read: %w", err)
	}
	m, found, err := agent.Parse(body)
	if err != nil {
		return nil, nil, err
	}
	if ns := agent.Namespace(c.Param("namespace")); m.Namespace != ns {
		return nil, nil, agent.InvalidFields("manifest", []agent.FieldError{{
			Path: "namespace", Message: fmt.Sprintf("it says %q and the path says %q", m.Namespace, ns),
		}})
	}
	warnings := make([]Warning, len(found))
	for i, w := range found {
		warnings[i] = Warning{Path: w.Path, Message: w.Message}
	}
	return m, warnings, nil
}

// specOf is what lists need of a manifest.
func specOf(m *agent.Manifest) store.AgentSpec {
	return store.AgentSpec{Labels: m.Labels, Priority: m.Scheduling.Priority, MinTier: m.Sandbox.MinTier}
}

// agentDeed is an action on the agent that a manifest describes.
func (s *Server) agentDeed(action agent.Action, m *agent.Manifest) deed {
	var facts map[string]any
	if err := json.Unmarshal(m.Canonical(), &facts); err != nil {
		// A canonical manifest is JSON; policy sees none of it otherwise, and denies.
		facts = nil
	}
	return deed{action: action, namespace: m.Namespace, agent: m.Name, resource: string(m.Name), facts: map[string]any{"manifest": facts}}
}
