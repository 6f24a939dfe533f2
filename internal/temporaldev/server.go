package temporaldev

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"go.temporal.io/sdk/client"
)

// Server is a Temporal server that runs. Start makes one.
type Server struct {
	address string
	options client.Options
	ui      http.Handler
	failed  chan error // buffered: holds the first failure
	undo    []func()   // what Stop does, last first
	stopped sync.Once
}

// FrontendAddress is host:port of the gRPC frontend, with the port that was
// taken. Callers need the token: see Bearer.
func (s *Server) FrontendAddress() string { return s.address }

// ClientOptions are for SDK clients in this process: they reach the frontend
// through memory, present the token, and name the namespace. Set what else is
// needed (identity, data converter, logger) on the copy.
func (s *Server) ClientOptions() client.Options { return s.options }

// UIHandler serves the Web UI under the configured public path. It reaches the
// frontend through memory, where no token is asked for, so whoever reaches the
// handler can read and change every workflow: put a login, and a check of
// Origin, before it. What the request carries in Authorization and Cookie is
// not passed on.
func (s *Server) UIHandler() http.Handler { return s.ui }

// Failed delivers one error if the server can run no longer, as when its disk
// is full at a bad moment. Stop it then.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop ends the server and waits until it has ended, which takes a second while
// anyone polls it. Stop workers and clients first. It may be called twice.
func (s *Server) Stop() {
	s.stopped.Do(func() {
		for _, undo := range slices.Backward(s.undo) {
			undo()
		}
	})
}

// Bearer presents a token to a frontend. It serves as client.Options'
// HeadersProvider and as gRPC per-RPC credentials.
type Bearer string

// GetHeaders implements client.Options' HeadersProvider.
func (b Bearer) GetHeaders(context.Context) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// GetRequestMetadata implements grpc/credentials.PerRPCCredentials.
func (b Bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	return b.GetHeaders(ctx)
}

// RequireTransportSecurity implements grpc/credentials.PerRPCCredentials: the
// frontend is on loopback and speaks plain text.
func (b Bearer) RequireTransportSecurity() bool { return false }

// String hides the token from logs.
func (b Bearer) String() string { return "Bearer [hidden]" }

// GoString hides the token from logs.
func (b Bearer) GoString() string { return b.String() }

// MarshalText hides the token from structured logs.
func (b Bearer) MarshalText() ([]byte, error) { return []byte(b.String()), nil }
