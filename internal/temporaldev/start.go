//go:build dev

package temporaldev

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"symbi.dev/symbi/agent"
)

// clusterName is Temporal's name for the one cluster that there is.
const clusterName = "active"

// Start brings up a server on the folder and returns when it serves: namespace
// and search attributes can be used. Errors are of kind ErrInvalid for the
// configuration, ErrConflict for a folder it cannot use, ErrExhausted for more
// search attributes than there is room for, else ErrUnavailable. After an error
// nothing runs on, and Start may be called again.
//
// Temporal runs workers of its own in this process, and the SDK fixes the size
// of the workflow cache that all workers share when the first one is made: call
// worker.SetStickyWorkflowCacheSize before Start.
func Start(ctx context.Context, c Config) (*Server, error) {
	c = c.WithDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	s := &Server{failed: make(chan error, 1)}
	if err := s.start(ctx, c); err != nil {
		s.Stop()
		if agent.KindOf(err) == nil {
			err = agent.Errorf(agent.ErrUnavailable, "start the embedded Temporal server: %w", err)
		}
		return nil, err
	}
	return s, nil
}

// start leaves in s.undo what is to be undone, whether it fails or not.
func (s *Server) start(ctx context.Context, c Config) error {
	if err := c.makeDir(); err != nil {
		return err
	}
	listener, err := listen(c.FrontendAddress)
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func() { _ = listener.Close() }) // Temporal may have closed it
	if err := prepareDatabase(ctx, c); err != nil {
		return err
	}
	static := c.static()
	if err := ensureNamespace(ctx, c, static.Persistence); err != nil {
		return err
	}

	net := newNetwork()
	s.undo = append(s.undo, net.close)
	temporal, err := launch(net, newGuard(c.Token), static, newLogger(c.Logger, c.LogLevel, s.fail))
	var serving sync.WaitGroup
	s.undo = append(s.undo, serving.Wait, func() {
		if err := temporal.stop(); err != nil {
			c.Logger.Warn("stop the embedded Temporal server", "error", err)
		}
	})
	if err != nil {
		return errors.Join(err, s.failure())
	}

	frontend := net.dialer(primitives.FrontendService)
	conn, err := grpc.NewClient("passthrough:///"+hosts[primitives.FrontendService], frontend,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(uiMessageBytes)))
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func() { _ = conn.Close() })
	if s.ui, err = newUI(c, conn); err != nil {
		return err
	}

	s.address = listener.Addr().String()
	s.options = client.Options{
		HostPort:          "passthrough:///" + s.address,
		Namespace:         c.Namespace,
		HeadersProvider:   Bearer(c.Token),
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{frontend}},
	}
	// The port is served once everything behind it runs.
	serving.Go(func() {
		if err := temporal.frontend.Serve(listener); err != nil {
			s.fail(err)
		}
	})
	return nil
}

// fail reports that the server cannot go on.
func (s *Server) fail(err error) {
	select {
	case s.failed <- fmt.Errorf("the embedded Temporal server failed: %w", err):
	default: // the first failure is the cause
	}
}

// failure gives what was reported, if anything was.
func (s *Server) failure() error {
	select {
	case err := <-s.failed:
		return err
	default:
		return nil
	}
}

// static is the part of Temporal's configuration that is read once.
func (c Config) static() *config.Config {
	store := c.store()
	disabled := config.Archival{
		History:    config.HistoryArchival{State: config.ArchivalDisabled},
		Visibility: config.VisibilityArchival{State: config.ArchivalDisabled},
	}
	services := map[string]config.Service{}
	for name := range hosts {
		services[string(name)] = config.Service{RPC: config.RPC{BindOnLocalHost: true}}
	}
	return &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     sqliteplugin.PluginName,
			VisibilityStore:  sqliteplugin.PluginName,
			NumHistoryShards: historyShards,
			DataStores:       map[string]config.DataStore{sqliteplugin.PluginName: {SQL: &store}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: hosts[primitives.FrontendService]},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            services,
		Archival:            disabled,
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: config.ArchivalDisabled},
		}},
	}
}
