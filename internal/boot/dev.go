package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/blob"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/identity"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/store/sqlite"
	"symbi.dev/symbi/internal/temporaldev"
	"symbi.dev/symbi/worker"
)

// DevConfig is what `symbi dev` is told.
type DevConfig struct {
	Data     string // the folder that holds all state
	Listen   string // of the API
	Version  string
	LeaseTTL time.Duration
	Capacity worker.Capacity
	// InitBinary overrides the symbi-init beside the running binary.
	InitBinary string
	// NodeWork takes the place of sandboxes, if it is set: for measuring what
	// all the rest costs.
	NodeWork worker.NodeWork
	Logger   *slog.Logger
}

// devLeaseTTL is long, because no other node could take over, and a developer
// who stops the process for lunch wants the programs to be there afterwards.
const devLeaseTTL = 10 * time.Minute

// DevProcess is a running `symbi dev`.
type DevProcess struct {
	URL       string // of the API
	TokenFile string
	Problems  []string // what tasks would fail for, with the fix
	undo      stack
	failed    <-chan error
	chatter   slog.LevelVar // of the embedded Temporal
	sessions  *identity.Sessions
	engines   *engines
}

// Dev starts everything in one process and returns once it is ready.
func Dev(ctx context.Context, cfg DevConfig) (_ *DevProcess, err error) {
	easeCollector()
	p := &DevProcess{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Stop())
		}
	}()
	dir, err := openFolder(cfg.Data)
	if err != nil {
		return nil, err
	}
	p.undo.push(dir.close)
	e := &engines{version: cfg.Version, logger: cfg.Logger}
	p.engines = e
	if e.master, err = identity.LoadOrMakeMasterKey(dir.path("master.key")); err != nil {
		return nil, err
	}
	p.TokenFile = dir.path("admin.token")
	tokens, err := identity.LoadOrMakeAdminToken(p.TokenFile)
	if err != nil {
		return nil, err
	}
	p.sessions = identity.NewSessions(e.master)

	// Temporal takes longest to come up; the rest is made meanwhile.
	p.chatter.Set(slog.LevelError)
	temporalUp := p.startTemporal(ctx, cfg, dir, e.master)
	partsErr := e.openDevParts(ctx, dir, &p.undo)
	temporal := <-temporalUp
	if temporal.err == nil {
		p.undo.pushFunc(temporal.server.Stop)
	}
	if err = errors.Join(partsErr, temporal.err); err != nil {
		return nil, err
	}
	if err = e.dialTemporal(ctx, temporal.server.ClientOptions(), &p.undo); err != nil {
		return nil, err
	}
	srv, err := e.startServer(ctx, frontend{
		listen: cfg.Listen, public: "http://" + cfg.Listen, tokens: tokens, sessions: p.sessions,
		temporalUI: temporal.server.UIHandler(), tier: agent.TierGVisor,
	}, &p.undo)
	if err != nil {
		return nil, err
	}
	p.URL, p.failed = "http://"+srv.Address(), temporal.server.Failed()
	if err = p.startDevNode(ctx, cfg, e, dir); err != nil {
		return nil, err
	}
	return p, nil
}

// startDevNode starts the one node.
func (p *DevProcess) startDevNode(ctx context.Context, cfg DevConfig, e *engines, dir *folder) error {
	nodeDir := dir.path("node")
	if err := os.MkdirAll(nodeDir, 0o711); err != nil {
		return fmt.Errorf("make the node's folder: %w", err)
	}
	capacity, err := measure(cfg.Capacity, nodeDir)
	if err != nil {
		return err
	}
	ttl := cfg.LeaseTTL
	if ttl == 0 {
		ttl = devLeaseTTL
	}
	p.Problems, err = e.startNode(ctx, nodeConfig{
		id: "dev", dataDir: nodeDir, capacity: capacity, leaseTTL: ttl, initBinary: cfg.InitBinary, tier: agent.TierGVisor, work: cfg.NodeWork,
	}, &p.undo)
	return err
}

// openDevParts opens what needs no Temporal.
func (e *engines) openDevParts(ctx context.Context, dir *folder, s *stack) error {
	var err error
	if e.store, err = sqlite.Open(ctx, sqlite.Config{Path: dir.path("symbi.db")}); err != nil {
		return err
	}
	s.push(e.store.Close)
	if e.blobs, err = blob.OpenFolder(ctx, dir.path("blobs")); err != nil {
		return err
	}
	s.push(e.blobs.Close)
	nats, err := cluster.StartEmbedded(clusterToken(e.master))
	if err != nil {
		return err
	}
	s.pushFunc(nats.Stop)
	if err := e.assemble(ctx, s); err != nil {
		return err
	}
	e.bus, err = cluster.Connect(cluster.Config{
		Installation: e.installation, Name: "symbi dev", Token: clusterToken(e.master), InProcess: nats,
	})
	if err != nil {
		return err
	}
	s.push(e.bus.Close)
	return nil
}

// Login makes a one-time link for a person's browser.
func (p *DevProcess) Login() (string, error) {
	token, err := p.sessions.NewLogin(agent.PrincipalAdmin, clock())
	if err != nil {
		return "", err
	}
	return p.URL + "/login?token=" + token, nil
}

// Temporal is the client of the embedded cluster that all parts use.
func (p *DevProcess) Temporal() client.Client { return p.engines.temporal }

// Store is where everything is written.
func (p *DevProcess) Store() store.Store { return p.engines.store }

// Failed delivers one error if the embedded Temporal can run no longer.
func (p *DevProcess) Failed() <-chan error { return p.failed }

// Stop ends everything, newest first. Sandboxes run on for the next start to adopt.
func (p *DevProcess) Stop() error {
	// Temporal reports every poll that its end cuts off as an error.
	p.chatter.Set(slog.LevelError + 1)
	return p.undo.unwind()
}

// temporalNamespace is the embedded cluster's only namespace.
const temporalNamespace = "symbi"

// temporalRetention is how long the embedded cluster keeps what has ended.
const temporalRetention = 7 * 24 * time.Hour

// started is an embedded Temporal, or why there is none.
type started struct {
	server *temporaldev.Server
	err    error
}

// startTemporal starts the embedded Temporal in the background.
func (p *DevProcess) startTemporal(ctx context.Context, cfg DevConfig, dir *folder, master identity.MasterKey) <-chan started {
	up := make(chan started, 1)
	sdkworker.SetStickyWorkflowCacheSize(stickyWorkflows)
	go func() {
		folder := dir.path("temporal")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			up <- started{err: fmt.Errorf("make Temporal's folder: %w", err)}
			return
		}
		srv, err := temporaldev.Start(ctx, temporaldev.Config{
			Dir: folder, Namespace: temporalNamespace, Token: temporalToken(master), SearchAttributes: searchAttributes(),
			Retention: temporalRetention, Logger: cfg.Logger, LogLevel: &p.chatter, CodecEndpoint: "/temporal-codec",
		})
		up <- started{server: srv, err: err}
	}()
	return up
}

// clusterToken and temporalToken let this process into its own embedded engines.
func clusterToken(master identity.MasterKey) string {
	return fmt.Sprintf("%x", master.Derive(identity.PurposeCluster))
}

func temporalToken(master identity.MasterKey) string {
	return fmt.Sprintf("%x", master.Derive(identity.PurposeTemporal))
}

// DefaultData is where `symbi dev` keeps its state when it is not told.
func DefaultData() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "symbi"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "find a place for the data folder: %w; name one with --data", err)
	}
	return filepath.Join(home, ".local", "state", "symbi"), nil
}
