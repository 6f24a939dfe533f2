package server

import (
	"context"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"symbi.dev/symbi/agent"
)

// ListArtifacts lists what a task left.
func (s *Server) ListArtifacts(ctx context.Context, r ListArtifactsRequestObject) (ListArtifactsResponseObject, error) {
	ns, id := agent.Namespace(r.Namespace), agent.TaskID(r.Task)
	if _, err := s.cfg.Store.Task(ctx, ns, id); err != nil {
		return nil, err
	}
	items, err := s.cfg.Store.Artifacts(ctx, ns, id)
	return ListArtifacts200JSONResponse{Items: nonNil(items)}, err
}

// getArtifact sends one artifact. It is the work of somebody else's program,
// so that no browser may take it for a page of ours: it goes out as an
// attachment, with its type unguessed.
func (s *Server) getArtifact(c *gin.Context) {
	ctx := c.Request.Context()
	ns, id, name := agent.Namespace(c.Param("namespace")), agent.TaskID(c.Param("task")), strings.TrimPrefix(c.Param("path"), "/")
	err := func() error {
		t, err := s.cfg.Store.Task(ctx, ns, id)
		if err != nil {
			return err
		}
		if err := s.read(ctx, deed{action: agent.ActArtifactRead, namespace: ns, agent: t.Spec.Agent, resource: string(id)}); err != nil {
			return err
		}
		items, err := s.cfg.Store.Artifacts(ctx, ns, id)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(items, func(a agent.Artifact) bool { return a.Path == name })
		if i < 0 {
			return agent.Errorf(agent.ErrNotFound, "task %s left no artifact %q", id, name)
		}
		body, size, err := s.cfg.Blobs.Get(ctx, items[i].Digest)
		if err != nil {
			return err
		}
		defer body.Close()
		c.Header("Content-Type", "application/octet-stream")
		c.Header("Content-Length", strconv.FormatInt(size, 10))
		c.Header("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(name)}))
		c.Header("X-Content-Type-Options", "nosniff")
		c.Header("ETag", strconv.Quote(string(items[i].Digest)))
		c.Status(http.StatusOK)
		if _, err := io.Copy(c.Writer, body); err != nil {
			s.cfg.Logger.Debug("an artifact was not sent whole", "request", callerOf(c).request, "error", err)
		}
		return nil
	}()
	if err != nil {
		s.problem(c, err)
	}
}
