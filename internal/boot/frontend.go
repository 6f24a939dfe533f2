package boot

import (
	"context"
	"net/http"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/identity"
	"symbi.dev/symbi/internal/telemetry"
	"symbi.dev/symbi/server"
)

// frontend is what a server needs beside the engines.
type frontend struct {
	listen     string
	public     string // where people reach it
	tokens     *identity.AdminToken
	sessions   *identity.Sessions
	temporalUI http.Handler
	tier       agent.Tier
	trusted    []agent.Digest
}

// startServer starts the front end.
func (e *engines) startServer(ctx context.Context, f frontend, s *stack) (*server.Server, error) {
	workflows := server.NewTemporal(e.temporal, f.public)
	srv, err := server.New(server.Config{
		Installation: e.installation, Version: e.version, Address: f.listen, PublicURL: f.public,
		Store: e.store, Blobs: e.blobs, Policy: e.policy, Audit: e.audit,
		Workflows: workflows, Signer: e.signer, News: e.bus, Nodes: e.bus,
		Tokens: f.tokens, Sessions: f.sessions,
		TemporalUI: f.temporalUI, Codec: e.codec.Handler(), Metrics: telemetry.NewMetrics(e.store),
		Checks: map[string]func(context.Context) error{
			"store":    e.store.Ping,
			"blobs":    e.blobs.Check,
			"temporal": workflows.Check,
			"nats":     func(context.Context) error { return e.bus.Check() },
		},
		TrustedDigests: f.trusted, DefaultTier: f.tier,
		Logger: e.logger, Now: clock,
	})
	if err != nil {
		return nil, err
	}
	if err := srv.Start(ctx); err != nil {
		return nil, err
	}
	s.push(srv.Stop)
	return srv, nil
}
