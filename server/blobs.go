package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"symbi.dev/symbi/agent"
)

// maxBlobBytes bounds one upload. Inputs of up to 1 GiB are what a manifest may
// declare at most.
const maxBlobBytes = 1 << 30

// putBlob stores content under its digest.
func (s *Server) putBlob(c *gin.Context) {
	digest := agent.Digest(c.Param("digest"))
	var size int64
	d := deed{action: agent.ActBlobWrite, namespace: agent.DefaultNamespace, resource: string(digest)}
	err := s.change(c.Request.Context(), d, func(ctx context.Context) error {
		body := http.MaxBytesReader(c.Writer, c.Request.Body, maxBlobBytes)
		var err error
		_, size, err = s.cfg.Blobs.Put(ctx, digest, body, maxBlobBytes)
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return agent.Errorf(agent.ErrInvalid, "the blob has more than %d MiB", maxBlobBytes>>20)
		}
		return err
	})
	if err != nil {
		s.problem(c, err)
		return
	}
	c.JSON(http.StatusCreated, Blob{Digest: string(digest), Bytes: size})
}

// headBlob says whether content is there.
func (s *Server) headBlob(c *gin.Context) {
	size, err := s.cfg.Blobs.Stat(c.Request.Context(), agent.Digest(c.Param("digest")))
	switch {
	case errors.Is(err, agent.ErrNotFound):
		c.Status(http.StatusNotFound)
	case err != nil:
		s.cfg.Logger.Error("a blob cannot be looked up", "request", callerOf(c).request, "error", err)
		c.Status(http.StatusServiceUnavailable)
	default:
		c.Header("Content-Length", strconv.FormatInt(size, 10))
		c.Status(http.StatusOK)
	}
}
