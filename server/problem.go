package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"symbi.dev/symbi/agent"
)

// problemType is the URI of a problem's kind; about:blank where the status
// says it all.
const problemType = "about:blank"

// retryAfterSeconds is what a client is told to wait when something is busy
// or away: long enough for a restart, short enough for a person.
const retryAfterSeconds = 2

// kinds maps the kinds of errors to statuses and titles.
var kinds = []struct {
	kind   error
	status int
	title  string
}{
	{agent.ErrInvalid, http.StatusBadRequest, "The request is not valid"},
	{agent.ErrDenied, http.StatusForbidden, "This is not allowed"},
	{agent.ErrNotFound, http.StatusNotFound, "There is no such thing"},
	{agent.ErrConflict, http.StatusConflict, "This contradicts what is already so"},
	{agent.ErrExhausted, http.StatusTooManyRequests, "A limit is reached"},
	{agent.ErrUnavailable, http.StatusServiceUnavailable, "Something this depends on does not answer"},
}

// problem answers with an error. Its cause goes to the log under the
// request's ID; the caller gets its kind and message.
func (s *Server) problem(c *gin.Context, err error) {
	status, title, detail := http.StatusInternalServerError, "A fault of ours", "the fault is in the log under this request's ID"
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			status, title, detail = k.status, k.title, err.Error()
		}
	}
	var known *agent.Error
	var fields []agent.FieldError
	if errors.As(err, &known) {
		detail, fields = known.Message, known.Fields
	}
	if status >= http.StatusInternalServerError {
		s.cfg.Logger.Error("request failed", "request", callerOf(c).request, "path", c.Request.URL.Path, "error", err)
	}
	s.writeProblem(c, status, title, detail, fields)
}

// writeProblem writes a problem document and ends the request.
func (s *Server) writeProblem(c *gin.Context, status int, title, detail string, fields []agent.FieldError) {
	if c.Writer.Written() {
		c.Abort()
		return
	}
	request := callerOf(c).request
	p := Problem{Type: problemType, Title: title, Status: status, Detail: detail, Request: request, Errors: fields}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		c.Header("Retry-After", strconv.Itoa(retryAfterSeconds))
	}
	body, err := json.Marshal(p)
	if err != nil {
		s.cfg.Logger.Error("a problem cannot be written", "error", err)
	}
	c.Header("Content-Type", "application/problem+json")
	c.Status(status)
	if _, err := c.Writer.Write(body); err != nil {
		s.cfg.Logger.Debug("the client is gone", "error", err)
	}
	c.Abort()
}
