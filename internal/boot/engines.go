package boot

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
	"symbi.dev/symbi/internal/blob"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/identity"
	"symbi.dev/symbi/internal/payload"
	"symbi.dev/symbi/internal/policy"
	"symbi.dev/symbi/internal/store"
)

// engines is what a server and a worker stand on, whichever engines are behind it.
type engines struct {
	installation string
	version      string
	master       identity.MasterKey
	store        store.Store
	blobs        *blob.Store
	bus          *cluster.Bus
	temporal     client.Client
	codec        *payload.Codec
	policy       *policy.Engine
	audit        *audit.Log
	signer       commandSigner
	logger       *slog.Logger
}

// clock is the clock of every part. It is handed in, so that tests can hand in another.
var clock = time.Now

// assemble makes what stands on the store, the blobs and the master key.
func (e *engines) assemble(ctx context.Context, s *stack) error {
	var err error
	if e.installation, err = e.store.InstallationID(ctx); err != nil {
		return err
	}
	e.signer = commandSigner{identity.NewSignalSigner(e.master)}
	if e.codec, err = payload.NewCodec(e.blobs, e.master.Derive(identity.PurposePayload)); err != nil {
		return err
	}
	if e.policy, err = policy.New(ctx, policy.Config{}); err != nil {
		return fmt.Errorf("load the policies: %w", err)
	}
	e.audit = audit.New(e.store, clock, e.logger)
	e.audit.Start()
	s.pushFunc(e.audit.Stop)
	return nil
}

// stickyWorkflows is how many idle workflows a worker keeps in memory instead
// of replaying their history when something happens to them.
const stickyWorkflows = 20_000

// dialTemporal connects to the cluster. All that goes into histories is sealed.
func (e *engines) dialTemporal(ctx context.Context, opts client.Options, s *stack) error {
	opts.DataConverter = e.codec.DataConverter()
	opts.FailureConverter = e.codec.FailureConverter()
	opts.ExternalStorage = e.codec.Storage()
	opts.Logger = sdklog.NewStructuredLogger(slog.New(quieter{e.logger.Handler(), slog.LevelWarn}))
	c, err := client.DialContext(ctx, opts)
	if err != nil {
		return agent.Errorf(agent.ErrUnavailable, "connect to Temporal: %w", err)
	}
	e.temporal = c
	s.pushFunc(c.Close)
	return nil
}

// quieter passes on only what is at least as grave as its level: Temporal's
// own libraries say much that helps nobody.
type quieter struct {
	slog.Handler
	level slog.Level
}

// Enabled reports whether a record is passed on.
func (q quieter) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= q.level && q.Handler.Enabled(ctx, l)
}

// WithAttrs keeps the level.
func (q quieter) WithAttrs(a []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(a), q.level}
}

// WithGroup keeps the level.
func (q quieter) WithGroup(n string) slog.Handler { return quieter{q.Handler.WithGroup(n), q.level} }
