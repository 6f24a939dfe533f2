package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"symbi.dev/symbi/agent"
)

// Config says where the server is and who calls.
type Config struct {
	Server string // http://host:port
	Token  string // bearer token
	// HTTP makes the requests; nil is a client without an overall timeout, for
	// logs are followed for hours. Bound calls by their contexts.
	HTTP *http.Client
}

// Conn talks to a server. It may be used by many at once.
type Conn struct {
	api    *Client
	http   *http.Client
	server string
	token  string
}

// New makes a connection; nothing is sent yet.
func New(cfg Config) (*Conn, error) {
	c := &Conn{http: cfg.HTTP, server: strings.TrimSuffix(cfg.Server, "/"), token: cfg.Token}
	if c.http == nil {
		c.http = &http.Client{}
	}
	c.http = &http.Client{
		Transport: &retrier{next: c.http.Transport}, Timeout: c.http.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var err error
	c.api, err = NewClient(c.server, WithHTTPClient(c.http), WithRequestEditorFn(unsaid), WithRequestEditorFn(c.authorize))
	if err != nil {
		return nil, agent.Errorf(agent.ErrInvalid, "%q is not a server's address: %w", cfg.Server, err)
	}
	return c, nil
}

// ReadToken reads a token's file.
func ReadToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "read the token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Server is the server's address.
func (c *Conn) Server() string { return c.server }

func (c *Conn) authorize(_ context.Context, r *http.Request) error {
	r.Header.Set("Authorization", "Bearer "+c.token)
	return nil
}

// unsaid takes out the parameters that the caller left at zero: the made client
// writes them, and the server takes them for meant.
func unsaid(_ context.Context, r *http.Request) error {
	q := r.URL.Query()
	for name, values := range q {
		if len(values) == 1 && (values[0] == "" || values[0] == "0" || values[0] == "false") {
			q.Del(name)
		}
	}
	r.URL.RawQuery = q.Encode()
	for name, values := range r.Header {
		if len(values) == 1 && values[0] == "" {
			r.Header.Del(name)
		}
	}
	return nil
}

// answer reads a response into a T, or its problem into an error.
func answer[T any](c *Conn, resp *http.Response, err error) (T, error) {
	var v T
	if err != nil {
		return v, c.unreachable(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return v, c.unreachable(err)
	}
	if resp.StatusCode >= 300 {
		return v, problemError(resp, body)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("the server's answer is not understood: %w", err)
	}
	return v, nil
}

// unreachable says that no server answers, and what to do.
func (c *Conn) unreachable(err error) error {
	return agent.Errorf(agent.ErrUnavailable, "no server answers at %s: start one with `symbi dev`, or name another with --server (%w)", c.server, err)
}

// problemError makes an error of a problem document.
func problemError(resp *http.Response, body []byte) error {
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Title == "" {
		p = Problem{Title: resp.Status, Detail: "the answer is no problem document; is this a Symbi server?"}
	}
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	if resp.StatusCode >= 500 && p.Request != "" {
		message += " (request " + p.Request + ")"
	}
	return &agent.Error{Kind: kindOf(resp.StatusCode), Message: message, Fields: p.Errors}
}

// kindOf is the kind of error that a status stands for.
func kindOf(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return agent.ErrDenied
	case http.StatusNotFound:
		return agent.ErrNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return agent.ErrConflict
	case http.StatusTooManyRequests:
		return agent.ErrExhausted
	}
	if status >= 500 {
		return agent.ErrUnavailable
	}
	return agent.ErrInvalid
}

// retrier repeats requests that are safe to repeat: reads, uploads under a
// digest, and creations that carry an idempotency key.
type retrier struct{ next http.RoundTripper }

// Bounds of repeating.
const (
	retries    = 4
	firstPause = 200 * time.Millisecond
	maxPause   = 5 * time.Second
)

// RoundTrip makes the request, and makes it again while the server is busy or away.
func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	next := r.next
	if next == nil {
		next = http.DefaultTransport
	}
	pause := firstPause
	for try := 0; ; try++ {
		resp, err := next.RoundTrip(req)
		busy := err == nil && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable)
		if err == nil && !busy || try == retries || !repeatable(req) {
			return resp, err
		}
		if busy {
			if d, perr := time.ParseDuration(resp.Header.Get("Retry-After") + "s"); perr == nil {
				pause = min(d, maxPause)
			}
			resp.Body.Close()
		}
		if err := sleep(req.Context(), pause); err != nil {
			return nil, err
		}
		pause = min(pause*2, maxPause)
		if req.Body != nil && req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func repeatable(req *http.Request) bool {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut:
		return true
	}
	return req.Header.Get("Idempotency-Key") != ""
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
