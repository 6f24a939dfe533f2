//go:build dev

package temporaldev

import (
	"net"

	"go.temporal.io/server/chasm"
	"go.temporal.io/server/common"
	"go.temporal.io/server/common/dynamicconfig"
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
)

// compose is Temporal's own composition (temporal.TopLevelModule) with three
// differences: every service listens and dials in memory, the guard stands
// before the frontend, and the profiling port is left out. It also takes hold
// of the frontend's gRPC server, which is to be served on a port as well.
func (e *engine) compose(n network, g guard) fx.Option {
	provide := func(name primitives.ServiceName, modules ...fx.Option) any {
		return func(params temporal.ServiceProviderParamsCommon) (temporal.ServicesGroupOut, error) {
			app := fx.New(params.GetCommonServiceOptions(name), e.decorate(n, g, name), fx.Options(modules...))
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
			provide(primitives.FrontendService, fx.Supply([]grpc.UnaryServerInterceptor(nil)), frontend.Module, fx.Populate(&e.frontend)),
			provide(primitives.WorkerService, worker.Module),
		),
		dynamicconfig.Module,
		temporal.TraceExportModule,
		chasm.Module,
		serialization.Module,
		temporal.FxLogAdapter,
		fx.Invoke(temporal.ServerLifetimeHooks),
		fx.Populate(&e.services),
	)
}

// keepNewest puts our notifier in the place of Temporal's.
func keepNewest(events.Notifier) events.Notifier { return newNotifier() }

// decorate leads a service's listener and clients into memory.
func (e *engine) decorate(n network, g guard, name primitives.ServiceName) fx.Option {
	return fx.Decorate(
		n.dialers,
		func(factory common.RPCFactory) common.RPCFactory {
			return memoryRPC{RPCFactory: factory, listener: n[name], guard: g}
		},
		func(sdk.ClientFactory) sdk.ClientFactory { return e.clients },
	)
}

// memoryRPC is Temporal's RPC factory with a listener in memory, and a guard
// for the frontend.
type memoryRPC struct {
	common.RPCFactory
	listener net.Listener
	guard    guard
}

// GetFrontendGRPCServerOptions implements common.RPCFactory.
func (r memoryRPC) GetFrontendGRPCServerOptions() ([]grpc.ServerOption, error) {
	options, err := r.RPCFactory.GetFrontendGRPCServerOptions()
	return append(options, r.guard.options()...), err
}

// GetGRPCListener implements common.RPCFactory.
func (r memoryRPC) GetGRPCListener() net.Listener { return r.listener }
