package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/tasklog"
)

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

// Bounds of followers. Each costs a goroutine and a buffer.
const (
	maxFollowers    = 1000
	followWriteTime = 30 * time.Second // a client that takes no bytes for so long is let go
	keepAliveEvery  = 15 * time.Second // a comment, so that proxies keep the stream open
)

// taskLogs sends a task's log, whole or live.
func (s *Server) taskLogs(c *gin.Context) {
	ctx := c.Request.Context()
	ns, id := agent.Namespace(c.Param("namespace")), agent.TaskID(c.Param("task"))
	t, err := s.cfg.Store.Task(ctx, ns, id)
	if err == nil {
		err = s.read(ctx, deed{action: agent.ActLogRead, namespace: ns, agent: t.Spec.Agent, resource: string(id)})
	}
	var at place
	if err == nil {
		at, err = placeOf(c)
	}
	if err != nil {
		s.problem(c, err)
		return
	}
	if c.Query("follow") == "true" {
		s.followLog(c, t, at)
		return
	}
	s.wholeLog(c, t, at)
}

// place is where a reader of a task's log is: which attempt's, and how far.
type place struct {
	attempt int
	offset  int64
}

// String is what an event's id says.
func (p place) String() string { return fmt.Sprintf("%d.%d", p.attempt, p.offset) }

// placeOf reads where a client wants to begin.
func placeOf(c *gin.Context) (place, error) {
	var p place
	if last := c.GetHeader("Last-Event-ID"); last != "" {
		if _, err := fmt.Sscanf(last, "%d.%d", &p.attempt, &p.offset); err != nil || p.offset < 0 || p.String() != last {
			return p, agent.InvalidFields("request", []agent.FieldError{{Path: "header.Last-Event-ID", Message: "is not an id of this stream"}})
		}
		return p, nil
	}
	if v := c.Query("offset"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return p, agent.InvalidFields("request", []agent.FieldError{{Path: "query.offset", Message: "is not an offset"}})
		}
		p.offset = n
	}
	return p, nil
}

// wholeLog sends what there is, as JSON lines or as the program's own bytes.
func (s *Server) wholeLog(c *gin.Context, t store.Task, at place) {
	src := s.logSource(t)
	plain := strings.HasPrefix(c.GetHeader("Accept"), "text/plain")
	c.Header("Content-Type", "application/x-ndjson")
	if plain {
		c.Header("Content-Type", "text/plain; charset=utf-8")
	}
	c.Header("X-Content-Type-Options", "nosniff")
	out := bufio.NewWriter(c.Writer)
	write := jsonLine
	if plain {
		write = plainLine
	}
	for {
		recs, next, err := src.read(c.Request.Context(), at.offset)
		if err != nil {
			s.problem(c, err)
			return
		}
		for _, r := range recs {
			if err := write(out, r); err != nil {
				return
			}
		}
		if next == at.offset {
			break
		}
		at.offset = next
	}
	if err := out.Flush(); err != nil {
		s.cfg.Logger.Debug("a log was not sent whole", "error", err)
	}
}

func jsonLine(w io.Writer, r tasklog.Record) error {
	if r.Gap > 0 {
		_, err := fmt.Fprintf(w, "{\"gap\":%d,\"offset\":%d}\n", r.Gap, r.Next)
		return err
	}
	return json.NewEncoder(w).Encode(lineShown(r))
}

func plainLine(w io.Writer, r tasklog.Record) error {
	if r.Gap > 0 {
		_, err := fmt.Fprintf(w, "[… %d bytes were not kept …]\n", r.Gap)
		return err
	}
	text := r.Text
	if !r.Partial {
		text = append(text, '\n')
	}
	_, err := w.Write(text)
	return err
}

func lineShown(r tasklog.Record) LogLine {
	l := LogLine{At: r.At, Stream: "stdout", Text: strings.ToValidUTF8(string(r.Text), "\uFFFD"), Partial: r.Partial, Offset: r.Next}
	if r.Stderr {
		l.Stream = "stderr"
	}
	return l
}

// followLog streams a task's log and its changes of state until it has ended.
func (s *Server) followLog(c *gin.Context, t store.Task, at place) {
	if !s.followers.enter() {
		s.problem(c, agent.Errorf(agent.ErrUnavailable, "%d clients follow logs already; try again soon", maxFollowers))
		return
	}
	defer s.followers.leave()
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	defer context.AfterFunc(s.followCtx, cancel)()
	c.Header("Content-Type", eventStream)
	c.Header("Cache-Control", "no-store")
	c.Header("X-Accel-Buffering", "no")
	c.Status(http.StatusOK)

	changed, stop := s.watchTask(t.Spec.Namespace, t.Spec.Task)
	defer stop()
	f := &follower{server: s, out: newEventWriter(c.Writer), at: at}
	err := f.run(ctx, t, changed)
	if err != nil && ctx.Err() == nil && !errors.Is(err, errClientGone) {
		s.cfg.Logger.Warn("a follower was cut off", "request", callerOf(c).request, "task", t.Spec.TaskRef.String(), "error", err)
	}
}
