package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"symbi.dev/symbi/agent"
)

// Bus is a process's connection to its installation.
type Bus struct {
	nc     *nats.Conn
	prefix string
}

// Config says how to connect.
type Config struct {
	URL          string
	Installation string    // its ID: subjects of two installations never meet
	Name         string    // of this process, for whoever looks at the server
	Token        string    // credential; empty when the URL carries one
	InProcess    *Embedded // dev: skip the network
}

// Connect joins the installation's NATS. It keeps reconnecting for as long as
// the process lives.
func Connect(c Config) (*Bus, error) {
	opts := []nats.Option{
		nats.Name(c.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.RetryOnFailedConnect(c.InProcess == nil),
	}
	if c.Token != "" {
		opts = append(opts, nats.Token(c.Token))
	}
	if c.InProcess != nil {
		opts = append(opts, nats.InProcessServer(c.InProcess.server))
	}
	nc, err := nats.Connect(c.URL, opts...)
	if err != nil {
		return nil, agent.Errorf(agent.ErrUnavailable, "connect to NATS: %w", err)
	}
	return &Bus{nc: nc, prefix: "symbi." + c.Installation + "."}, nil
}

// Close leaves, after what was published has gone out.
func (b *Bus) Close() error {
	err := b.nc.FlushTimeout(time.Second)
	b.nc.Close()
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil
	}
	return err
}

// Check reports whether the connection stands, for readiness.
func (b *Bus) Check() error {
	if b.nc.IsConnected() {
		return nil
	}
	return agent.Errorf(agent.ErrUnavailable, "NATS is not connected: %s", b.nc.Status())
}

// Subscription ends a subscription.
type Subscription interface{ Unsubscribe() error }

// publish sends v as JSON. A failure is not worth an error: see the package comment.
func (b *Bus) publish(subject string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		return
	}
	if err := b.nc.Publish(b.prefix+subject, body); err != nil {
		return
	}
}

// subscribe calls fn with each value on a subject.
func subscribe[T any](b *Bus, subject string, fn func(T)) (Subscription, error) {
	s, err := b.nc.Subscribe(b.prefix+subject, func(m *nats.Msg) {
		var v T
		if json.Unmarshal(m.Data, &v) == nil {
			fn(v)
		}
	})
	if err != nil {
		return nil, agent.Errorf(agent.ErrUnavailable, "subscribe to %s: %w", subject, err)
	}
	return s, nil
}

// reply is what a question is answered with.
type reply[T any] struct {
	Value T      `json:"value"`
	Error string `json:"error,omitempty"`
	Kind  string `json:"kind,omitempty"`
}

// ask puts a question to whoever serves a subject.
func ask[Q, A any](ctx context.Context, b *Bus, subject string, q Q) (A, error) {
	var zero A
	body, err := json.Marshal(q)
	if err != nil {
		return zero, fmt.Errorf("ask %s: %w", subject, err)
	}
	m, err := b.nc.RequestWithContext(ctx, b.prefix+subject, body)
	if err != nil {
		return zero, agent.Errorf(agent.ErrUnavailable, "no answer on %s: %w", subject, err)
	}
	var r reply[A]
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return zero, fmt.Errorf("answer on %s: %w", subject, err)
	}
	if r.Error != "" {
		return zero, &agent.Error{Kind: kindNamed(r.Kind), Message: r.Error}
	}
	return r.Value, nil
}

// serve answers questions on a subject, one at a time; ctx bounds each answer.
func serve[Q, A any](ctx context.Context, b *Bus, subject string, fn func(context.Context, Q) (A, error)) (Subscription, error) {
	s, err := b.nc.Subscribe(b.prefix+subject, func(m *nats.Msg) {
		var q Q
		var r reply[A]
		if err := json.Unmarshal(m.Data, &q); err != nil {
			r.Error, r.Kind = "the question is not understood", agent.ErrInvalid.Error()
		} else if v, err := fn(ctx, q); err != nil {
			r.Error, r.Kind = err.Error(), kindName(err)
		} else {
			r.Value = v
		}
		if body, err := json.Marshal(r); err == nil {
			// Whoever asked has a deadline; an answer that is not sent is no answer.
			_ = m.Respond(body)
		}
	})
	if err != nil {
		return nil, agent.Errorf(agent.ErrUnavailable, "serve %s: %w", subject, err)
	}
	return s, nil
}

func kindName(err error) string {
	if kind := agent.KindOf(err); kind != nil {
		return kind.Error()
	}
	return ""
}

func kindNamed(name string) error {
	for _, kind := range []error{agent.ErrInvalid, agent.ErrDenied, agent.ErrNotFound, agent.ErrConflict, agent.ErrExhausted} {
		if kind.Error() == name {
			return kind
		}
	}
	return agent.ErrUnavailable
}
