package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
)

// caller is who makes a request, and which.
type caller struct {
	principal agent.Principal
	request   string
	session   bool // by cookie: a person in a browser
}

type callerKey struct{}

// callerFrom gives the caller of a request under way.
func callerFrom(ctx context.Context) caller {
	if c, ok := ctx.Value(callerKey{}).(caller); ok {
		return c
	}
	return caller{principal: agent.PrincipalAnonymous}
}

func callerOf(c *gin.Context) caller { return callerFrom(c.Request.Context()) }

func setCaller(c *gin.Context, who caller) {
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), callerKey{}, who))
}

// requestIDHeader carries the ID under which a request stands in the logs; a
// client may choose it.
const requestIDHeader = "X-Request-Id"

// identify gives every request an ID, logs it, and keeps a panic from ending
// the process.
func (s *Server) identify(c *gin.Context) {
	id := c.GetHeader(requestIDHeader)
	if !plausibleID(id) {
		id = uuid.Must(uuid.NewV7()).String()
	}
	c.Header(requestIDHeader, id)
	setCaller(c, caller{principal: agent.PrincipalAnonymous, request: id})
	began := time.Now()
	defer func() {
		if fault := recover(); fault != nil {
			s.cfg.Logger.Error("a handler panicked", "request", id, "path", c.Request.URL.Path, "fault", fault)
			s.writeProblem(c, http.StatusInternalServerError, "A fault of ours", "the fault is in the log under this request's ID", nil)
		}
		s.cfg.Logger.LogAttrs(c.Request.Context(), slog.LevelDebug, "request",
			slog.String("request", id), slog.String("method", c.Request.Method), slog.String("route", c.FullPath()),
			slog.Int("status", c.Writer.Status()), slog.String("principal", string(callerOf(c).principal)),
			slog.Duration("took", time.Since(began)))
		if s.cfg.Metrics != nil {
			stream := strings.HasPrefix(c.Writer.Header().Get("Content-Type"), eventStream)
			s.cfg.Metrics.Request(c.FullPath(), c.Request.Method, c.Writer.Status(), time.Since(began), stream)
		}
	}()
	c.Next()
}

// plausibleID reports whether a client's request ID may stand in a log line.
func plausibleID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
}

// sessionCookie holds the session of a person who logged in.
const sessionCookie = "symbi_session"

// authenticate finds out who calls. REST writes take the bearer only: a
// browser sends its cookie along with what another site makes it post.
func (s *Server) authenticate(c *gin.Context) {
	who := callerOf(c)
	if token, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer "); ok {
		if p, known := s.cfg.Tokens.Principal(token); known {
			who.principal = p
			setCaller(c, who)
			return
		}
		s.unauthenticated(c, "the token is not known; `symbi dev` prints where its token lies")
		return
	}
	if cookie, err := c.Cookie(sessionCookie); err == nil {
		if p, ok := s.cfg.Sessions.Verify(cookie, s.cfg.Now()); ok {
			who.principal, who.session = p, true
			setCaller(c, who)
			if !isRead(c.Request.Method) {
				s.writeProblem(c, http.StatusForbidden, "This is not allowed",
					"a session may only read; send `Authorization: Bearer <token>` with what changes something", nil)
			}
			return
		}
	}
	s.unauthenticated(c, "send `Authorization: Bearer <token>`")
}

func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

func (s *Server) unauthenticated(c *gin.Context, detail string) {
	s.cfg.Audit.Seen(audit.Event{
		Action: "login", Principal: agent.PrincipalAnonymous, Source: c.ClientIP(), Request: callerOf(c).request,
	})
	c.Header("WWW-Authenticate", `Bearer realm="symbi"`)
	s.writeProblem(c, http.StatusUnauthorized, "Who are you?", detail, nil)
}
