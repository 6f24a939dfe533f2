package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"symbi.dev/symbi/agent"
)

// Follower is told what happens to a task that is followed. Its fields may be nil.
type Follower struct {
	Line func(LogLine) error
	Gap  func(bytes int64) error
	Task func(Task) error // when its state changed
}

// Follow streams a task's log and changes until it has ended, and gives it
// then. When the connection breaks it goes on where it was.
func (c *Conn) Follow(ctx context.Context, ns agent.Namespace, id agent.TaskID, f Follower) (Task, error) {
	s := &stream{conn: c, ns: ns, id: id, to: f}
	pause := firstPause
	for try := 0; ; try++ {
		before := s.last
		end, err := s.read(ctx)
		if end != nil || err != nil && !errors.Is(err, errBroken) {
			if end == nil {
				return Task{}, err
			}
			return *end, err
		}
		if s.last != before {
			try, pause = 0, firstPause
		}
		if try == retries {
			return Task{}, err
		}
		if err := sleep(ctx, pause); err != nil {
			return Task{}, err
		}
		pause = min(pause*2, maxPause)
	}
}

// errBroken says that a stream ended before the task did.
var errBroken = errors.New("the stream of events broke off")

// stream is one followed task, over however many connections.
type stream struct {
	conn *Conn
	ns   agent.Namespace
	id   agent.TaskID
	to   Follower
	last string // id of the last event
}

// read follows over one connection. It gives the task once that has ended.
func (s *stream) read(ctx context.Context) (*Task, error) {
	resp, err := s.conn.api.TaskLogs(ctx, string(s.ns), string(s.id), &TaskLogsParams{Follow: true, LastEventID: s.last})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", errBroken, s.conn.unreachable(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(resp.Body)
		return nil, errors.Join(problemError(resp, body), err)
	}
	lines := bufio.NewReader(resp.Body)
	for {
		e, err := readEvent(lines)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("%w: %w", errBroken, err)
		}
		end, err := s.event(e)
		if end != nil || err != nil {
			return end, err
		}
		if e.id != "" {
			s.last = e.id
		}
	}
}

// event hands one event on.
func (s *stream) event(e event) (*Task, error) {
	switch e.name {
	case "log":
		var l LogLine
		if err := json.Unmarshal(e.data, &l); err != nil || s.to.Line == nil {
			return nil, err
		}
		return nil, s.to.Line(l)
	case "gap":
		var g struct {
			Bytes int64 `json:"bytes"`
		}
		if err := json.Unmarshal(e.data, &g); err != nil || s.to.Gap == nil {
			return nil, err
		}
		return nil, s.to.Gap(g.Bytes)
	case "task", "end":
		t := new(Task)
		if err := json.Unmarshal(e.data, t); err != nil {
			return nil, err
		}
		if e.name == "end" {
			return t, nil
		}
		if s.to.Task == nil {
			return nil, nil
		}
		return nil, s.to.Task(*t)
	}
	return nil, nil
}

// event is one server-sent event.
type event struct {
	name, id string
	data     []byte
}

// readEvent reads one event; comments are passed over.
func readEvent(r *bufio.Reader) (event, error) {
	var e event
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			if e.name != "" {
				return e, nil
			}
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = append(e.data, value...)
		}
	}
}

// Log sends what there is of a task's log to w, as the program wrote it.
func (c *Conn) Log(ctx context.Context, ns agent.Namespace, id agent.TaskID, w io.Writer) error {
	resp, err := c.api.TaskLogs(ctx, string(ns), string(id), &TaskLogsParams{}, func(_ context.Context, r *http.Request) error {
		r.Header.Set("Accept", "text/plain")
		return nil
	})
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(resp.Body)
		return errors.Join(problemError(resp, body), err)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}
