//go:build dev

package temporaldev

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"symbi.dev/symbi/agent"
)

// clusterName is Temporal's name for the one cluster that there is.
const clusterName = "active"

const uiMessageBytes = 64 << 20

// Start brings up a server on the folder and returns when it serves: namespace
// and search attributes can be used. Errors are of kind ErrInvalid for the
// configuration, ErrConflict for a folder it cannot use, else ErrUnavailable.
//
// Temporal runs workers of its own in this process, and the SDK fixes the size
// of the workflow cache that all workers share when the first one is made: call
// worker.SetStickyWorkflowCacheSize before Start.
func Start(ctx context.Context, c Config) (*Server, error) {
	c = c.WithDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	s, err := start(ctx, c)
	if err != nil && agent.KindOf(err) == nil {
		return nil, agent.Errorf(agent.ErrUnavailable, "start the embedded Temporal server: %w", err)
	}
	return s, err
}

func start(ctx context.Context, c Config) (*Server, error) {
	if err := c.makeDir(); err != nil {
		return nil, err
	}
	listener, err := listen(c.FrontendAddress)
	if err != nil {
		return nil, err
	}
	if err := prepareDatabase(ctx, c); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	static := c.static()
	if err := ensureNamespace(ctx, c, static.Persistence); err != nil {
		return nil, errors.Join(err, listener.Close())
	}

	s := &Server{address: listener.Addr().String(), failed: make(chan error, 1)}
	fail := func(err error) {
		select {
		case s.failed <- fmt.Errorf("the embedded Temporal server failed: %w", err):
		default: // the first failure is the cause
		}
	}
	var (
		net            = newNetwork()
		frontendServer *grpc.Server
	)
	server, err := temporal.NewServerFx(services(net, &frontendServer),
		temporal.WithConfig(static),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(members()),
		temporal.WithLogger(newLogger(c.Logger, c.LogLevel, fail)),
		temporal.WithAuthorizer(newAuthorizer(c.Token)),
		temporal.WithDynamicConfigClient(tuning()),
	)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if err := server.Start(); err != nil {
		return nil, errors.Join(err, server.Stop(), listener.Close())
	}
	conn, err := grpc.NewClient("passthrough:///"+hosts[primitives.FrontendService],
		net.dialer(primitives.FrontendService), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(uiMessageBytes)))
	if err != nil {
		return nil, errors.Join(err, server.Stop(), listener.Close())
	}
	s.ui, err = newUI(c, conn)
	if err != nil {
		return nil, errors.Join(err, server.Stop(), listener.Close())
	}
	// The port is served once everything behind it runs.
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := frontendServer.Serve(listener); err != nil {
			fail(err)
		}
	}()
	s.options = client.Options{
		HostPort:        "passthrough:///" + s.address,
		Namespace:       c.Namespace,
		HeadersProvider: Bearer(c.Token),
		ConnectionOptions: client.ConnectionOptions{
			DialOptions: []grpc.DialOption{net.dialer(primitives.FrontendService)},
		},
	}
	s.stop = func() {
		if err := server.Stop(); err != nil {
			c.Logger.Warn("stop the embedded Temporal server", "error", err)
		}
		net.close()
		<-served
	}
	return s, nil
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
