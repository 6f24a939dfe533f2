//go:build dev

package temporaldev

import (
	"context"
	"net"

	sdkclient "go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/server/chasm"
	"go.temporal.io/server/common"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/headers"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
	"go.temporal.io/server/common/persistence/serialization"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/common/resource"
	"go.temporal.io/server/common/sdk"
	"go.temporal.io/server/service/frontend"
	"go.temporal.io/server/service/history"
	"go.temporal.io/server/service/history/events"
	"go.temporal.io/server/service/history/replication"
	"go.temporal.io/server/service/matching"
	"go.temporal.io/server/service/worker"
	"go.temporal.io/server/temporal"
	"go.uber.org/fx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"sync"
)

// services is Temporal's own composition (temporal.TopLevelModule) with one
// difference: every service listens and dials in memory. Left out is the
// profiling port. The frontend's gRPC server is put where frontendServer says,
// so that it can be served on a port as well.
func services(n network, frontendServer **grpc.Server) fx.Option {
	provide := func(name primitives.ServiceName, modules ...fx.Option) any {
		return func(params temporal.ServiceProviderParamsCommon) (temporal.ServicesGroupOut, error) {
			app := fx.New(params.GetCommonServiceOptions(name), n.decorate(name), fx.Options(modules...))
			return temporal.NewService(app, name, params.Logger), app.Err()
		}
	}
	return fx.Options(
		fx.Provide(
			temporal.NewServerFxImpl,
			temporal.ServerOptionsProvider,
			temporal.TaskCategoryRegistryProvider,
			temporal.ApplyClusterMetadataConfigProvider,
			resource.ArchivalMetadataProvider,
			provide(primitives.HistoryService, history.QueueModule, history.Module, replication.Module, fx.Decorate(keepNewest)),
			provide(primitives.MatchingService, matching.Module),
			provide(primitives.FrontendService, fx.Supply([]grpc.UnaryServerInterceptor(nil)), frontend.Module, fx.Populate(frontendServer)),
			provide(primitives.WorkerService, worker.Module),
		),
		dynamicconfig.Module,
		temporal.TraceExportModule,
		chasm.Module,
		serialization.Module,
		temporal.FxLogAdapter,
		fx.Invoke(temporal.ServerLifetimeHooks),
	)
}

// keepNewest puts our notifier in the place of Temporal's.
func keepNewest(events.Notifier) events.Notifier { return newNotifier() }

// decorate leads a service's listener and clients into memory.
func (n network) decorate(name primitives.ServiceName) fx.Option {
	return fx.Decorate(
		n.dialers,
		func(factory common.RPCFactory) common.RPCFactory {
			return memoryRPC{RPCFactory: factory, listener: n[name]}
		},
		func(_ sdk.ClientFactory, logger log.SnTaggedLogger) sdk.ClientFactory {
			return &systemClients{dialer: n.dialer(primitives.FrontendService), logger: logger}
		},
	)
}

// memoryRPC is Temporal's RPC factory with a listener in memory.
type memoryRPC struct {
	common.RPCFactory
	listener net.Listener
}

var streamWorkers uint32

func (r memoryRPC) GetInternodeGRPCServerOptions() ([]grpc.ServerOption, error) {
	o, err := r.RPCFactory.GetInternodeGRPCServerOptions()
	if streamWorkers > 0 {
		o = append(o, grpc.NumStreamWorkers(streamWorkers))
	}
	return o, err
}

func (r memoryRPC) GetFrontendGRPCServerOptions() ([]grpc.ServerOption, error) {
	o, err := r.RPCFactory.GetFrontendGRPCServerOptions()
	if streamWorkers > 0 {
		o = append(o, grpc.NumStreamWorkers(streamWorkers))
	}
	return o, err
}

// GetGRPCListener implements common.RPCFactory.
func (r memoryRPC) GetGRPCListener() net.Listener { return r.listener }

// systemClients makes the SDK clients and workers of Temporal's own background
// work. Theirs dials a port and has no way to be told otherwise.
type systemClients struct {
	dialer grpc.DialOption
	logger log.Logger

	once   sync.Once
	system sdkclient.Client
}

func (f *systemClients) options(o sdkclient.Options) sdkclient.Options {
	o.HostPort = "passthrough:///" + hosts[primitives.FrontendService]
	o.Logger = log.NewSdkLogger(f.logger)
	o.ConnectionOptions = sdkclient.ConnectionOptions{
		DialOptions: []grpc.DialOption{f.dialer, grpc.WithUnaryInterceptor(callAsServer)},
	}
	return o
}

// GetSystemClient implements sdk.ClientFactory.
func (f *systemClients) GetSystemClient() sdkclient.Client {
	f.once.Do(func() {
		client, err := sdkclient.Dial(f.options(sdkclient.Options{Namespace: primitives.SystemLocalNamespace}))
		if err != nil {
			f.logger.Fatal("Temporal's system client cannot reach the frontend", tag.Error(err))
		}
		f.system = client
	})
	return f.system
}

// NewClient implements sdk.ClientFactory.
func (f *systemClients) NewClient(o sdkclient.Options) sdkclient.Client {
	client, err := sdkclient.NewClientFromExisting(f.GetSystemClient(), f.options(o))
	if err != nil {
		f.logger.Fatal("Temporal's system client cannot be made", tag.Error(err))
	}
	return client
}

// NewWorker implements sdk.ClientFactory.
func (f *systemClients) NewWorker(client sdkclient.Client, taskQueue string, options sdkworker.Options) sdkworker.Worker {
	return sdkworker.New(client, taskQueue, options)
}

// callAsServer names the caller as the server rather than the Go SDK, which
// the frontend takes into account for features and limits.
func callAsServer(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	md, _ := metadata.FromOutgoingContext(ctx)
	md = metadata.Join(md)
	md.Set(headers.ClientNameHeaderName, headers.ClientNameServer)
	md.Set(headers.ClientVersionHeaderName, headers.ServerVersion)
	return invoke(metadata.NewOutgoingContext(ctx, md), method, req, reply, cc, opts...)
}
