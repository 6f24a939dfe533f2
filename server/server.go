package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/telemetry"
)

// Config is what a Server is made of. Every part is handed in.
type Config struct {
	Installation string
	Version      string
	Address      string // to listen on
	PublicURL    string // where people reach it; for links

	Store     Store
	Blobs     Blobs
	Policy    Policy
	Audit     Audit
	Workflows Workflows
	Signer    Signer
	News      News
	Nodes     NodeLogs
	Tokens    Tokens
	Sessions  Sessions

	// TemporalUI serves the Temporal Web UI below /temporal/; nil for none.
	TemporalUI http.Handler
	// Codec decrypts payloads for the Temporal Web UI; nil for none.
	Codec http.Handler
	// Metrics is told of every request, and serves /metrics; nil for none.
	Metrics *telemetry.Metrics
	// Checks are asked by /readyz, by the name of what they check.
	Checks map[string]func(context.Context) error

	TrustedDigests []agent.Digest
	DefaultTier    agent.Tier
	Logger         *slog.Logger
	Now            func() time.Time
}

// Bounds of the HTTP server. A client that is slower than these is let go.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	shutdownTimeout   = 10 * time.Second
)

// Server is one front end.
type Server struct {
	cfg       Config
	http      *http.Server
	listener  net.Listener
	followers limiter
	followCtx context.Context // done when followers must let go
	letGo     context.CancelFunc
	reconcile *reconciler
	done      chan struct{}
	failed    error
	stopOnce  sync.Once
}

// New makes a server that does not listen yet.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, followers: newLimiter(maxFollowers), done: make(chan struct{})}
	s.followCtx, s.letGo = context.WithCancel(context.Background())
	handler, err := s.routes()
	if err != nil {
		return nil, fmt.Errorf("lay out the routes: %w", err)
	}
	s.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	s.reconcile = newReconciler(s)
	return s, nil
}

// Handler is the whole front end as a handler, for tests.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Start listens and serves in the background. A port that is taken is an
// error that names the setting.
func (s *Server) Start(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Address)
	if err != nil {
		return agent.Errorf(agent.ErrUnavailable, "listen on %s: %w; choose another with --listen or SYMBI_LISTEN", s.cfg.Address, err)
	}
	s.listener = l
	s.reconcile.start()
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed = err
		}
	}()
	return nil
}

// Address is where it listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Done is closed when it serves no longer.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop lets requests under way finish, within bounds, and ends. It may be
// called twice.
func (s *Server) Stop() error {
	var err error
	s.stopOnce.Do(func() {
		if s.listener == nil {
			return
		}
		s.letGo()
		s.reconcile.stop()
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if err = s.http.Shutdown(ctx); err != nil {
			err = errors.Join(err, s.http.Close())
		}
		<-s.done
	})
	return errors.Join(err, s.failed)
}
