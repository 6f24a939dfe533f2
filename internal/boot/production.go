package boot

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"

	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/blob"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/config"
	"symbi.dev/symbi/internal/identity"
	"symbi.dev/symbi/internal/store/postgres"
	"symbi.dev/symbi/internal/temporaldev"
	"symbi.dev/symbi/worker"
)

// Config is what a server or a worker is told.
type Config struct {
	config.Config
	Version string
	Logger  *slog.Logger
}

// Process is a running server or worker.
type Process struct {
	undo   stack
	failed chan error
}

// Failed delivers one error if the process can go on no longer.
func (p *Process) Failed() <-chan error { return p.failed }

// Stop ends it, newest first.
func (p *Process) Stop() error { return p.undo.unwind() }

// Server starts a front end on engines of its own.
func Server(ctx context.Context, cfg Config) (_ *Process, err error) {
	easeCollector()
	p := &Process{failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.undo.unwind())
		}
	}()
	if cfg.Server.TokenFile == "" {
		return nil, missing("server.token_file", "SYMBI_ADMIN_TOKEN_FILE", "the file of the first admin token")
	}
	tokens, err := identity.LoadAdminToken(cfg.Server.TokenFile)
	if err != nil {
		return nil, err
	}
	e, err := openProduction(ctx, cfg, "server", &p.undo)
	if err != nil {
		return nil, err
	}
	ui, err := temporalUI(cfg)
	if err != nil {
		return nil, err
	}
	srv, err := e.startServer(ctx, frontend{
		listen: cfg.Server.Listen, public: "http://" + cfg.Server.Listen, tokens: tokens,
		sessions: identity.NewSessions(e.master), temporalUI: ui,
		tier: agent.Tier(cfg.Security.DefaultSandboxTier), trusted: digests(cfg.Security.TrustedDigests),
	}, &p.undo)
	if err != nil {
		return nil, err
	}
	cfg.Logger.Info("serving", "address", srv.Address())
	return p, nil
}

// Worker starts a node on engines of its own.
func Worker(ctx context.Context, cfg Config) (_ *Process, err error) {
	easeCollector()
	p := &Process{failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.undo.unwind())
		}
	}()
	node := agent.NodeID(cfg.Worker.Node)
	if node == "" {
		if node, err = hostNode(); err != nil {
			return nil, err
		}
	}
	if err = os.MkdirAll(cfg.Worker.DataDir, 0o711); err != nil {
		return nil, agent.Errorf(agent.ErrUnavailable, "make the data folder: %w; choose another with worker.data_dir", err)
	}
	capacity, err := measure(worker.Capacity{
		MemoryMB: cfg.Worker.MemoryMB, CPUCores: cfg.Worker.CPUCores, DiskMB: cfg.Worker.DiskMB,
	}, cfg.Worker.DataDir)
	if err != nil {
		return nil, err
	}
	sdkworker.SetStickyWorkflowCacheSize(stickyWorkflows)
	e, err := openProduction(ctx, cfg, "worker "+string(node), &p.undo)
	if err != nil {
		return nil, err
	}
	_, err = e.startNode(ctx, nodeConfig{
		id: node, dataDir: cfg.Worker.DataDir, capacity: capacity, leaseTTL: cfg.Worker.LeaseTTL,
		initBinary: cfg.Worker.InitBinary, tier: agent.Tier(cfg.Security.DefaultSandboxTier),
		trusted: digests(cfg.Security.TrustedDigests),
	}, &p.undo)
	if err != nil {
		return nil, err
	}
	cfg.Logger.Info("working", "node", node)
	return p, nil
}

// openProduction connects to the engines that the settings name.
func openProduction(ctx context.Context, cfg Config, name string, s *stack) (*engines, error) {
	for _, need := range []struct{ value, key, variable, what string }{
		{cfg.Database.URL, "database.url", "SYMBI_DATABASE_URL", "PostgreSQL's address"},
		{cfg.Blob.URL, "blob.url", "SYMBI_BLOB_URL", "where content is kept, e.g. file:///var/lib/symbi/blobs?create_dir=true"},
		{cfg.Security.MasterKeyFile, "security.master_key_file", "SYMBI_MASTER_KEY_FILE", "the file of the master key"},
	} {
		if need.value == "" {
			return nil, missing(need.key, need.variable, need.what)
		}
	}
	e := &engines{version: cfg.Version, logger: cfg.Logger}
	var err error
	if e.master, err = identity.LoadMasterKey(cfg.Security.MasterKeyFile); err != nil {
		return nil, err
	}
	if e.store, err = postgres.Open(ctx, postgres.Config{URL: cfg.Database.URL, MaxConns: cfg.Database.MaxConns}); err != nil {
		return nil, err
	}
	s.push(e.store.Close)
	if e.blobs, err = blob.Open(ctx, cfg.Blob.URL); err != nil {
		return nil, err
	}
	s.push(e.blobs.Close)
	if err := e.assemble(ctx, s); err != nil {
		return nil, err
	}
	if e.bus, err = cluster.Connect(cluster.Config{URL: cfg.NATS.URL, Installation: e.installation, Name: "symbi " + name}); err != nil {
		return nil, err
	}
	s.push(e.bus.Close)
	opts := client.Options{HostPort: cfg.Temporal.Address, Namespace: cfg.Temporal.Namespace}
	if cfg.Temporal.TokenFile != "" {
		token, err := config.ReadSecret(cfg.Temporal.TokenFile)
		if err != nil {
			return nil, err
		}
		opts.HeadersProvider = temporaldev.Bearer(token)
	}
	if err := e.dialTemporal(ctx, opts, s); err != nil {
		return nil, err
	}
	return e, e.registerAttributes(ctx, cfg.Temporal.Namespace)
}

func missing(key, variable, what string) error {
	return agent.InvalidFields("settings", []agent.FieldError{{Path: key, Message: "is missing: " + what + " (or " + variable + ")"}})
}

func digests(in []string) []agent.Digest {
	out := make([]agent.Digest, len(in))
	for i, d := range in {
		out[i] = agent.Digest(d)
	}
	return out
}

// temporalUI proxies the cluster's own Web UI; nil where there is none. What a
// browser sends to us is none of its business.
func temporalUI(cfg Config) (http.Handler, error) {
	if cfg.Temporal.UIAddress == "" {
		return nil, nil
	}
	target, err := url.Parse(cfg.Temporal.UIAddress)
	if err != nil || target.Host == "" {
		return nil, agent.InvalidFields("settings", []agent.FieldError{{Path: "temporal.ui_address", Message: "is not an address like http://temporal-ui:8080"}})
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = target.Host
		for _, h := range []string{"Authorization", "Cookie"} {
			r.Out.Header.Del(h)
		}
		if origin := r.In.Header.Get("Origin"); origin != "" {
			r.Out.Header.Set("Origin", strings.TrimSuffix(cfg.Temporal.UIAddress, "/"))
		}
	}}, nil
}
