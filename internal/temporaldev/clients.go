//go:build dev

package temporaldev

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	sdkclient "go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/server/common/backoff"
	"go.temporal.io/server/common/headers"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
	"go.temporal.io/server/common/primitives"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// systemClients makes the SDK clients and workers of Temporal's own background
// work. Theirs dials a port and has no way to be told otherwise.
type systemClients struct {
	dialer grpc.DialOption
	logger log.Logger

	mu      sync.Mutex
	system  sdkclient.Client // nil until it is asked for
	workers map[*systemWorker]struct{}
}

func newSystemClients(n network, l log.Logger) *systemClients {
	return &systemClients{dialer: n.dialer(primitives.FrontendService), logger: l, workers: map[*systemWorker]struct{}{}}
}

// stopWorkers stops those that run. Temporal stops some itself, and would leave
// its scanners to poll a server that is gone.
func (f *systemClients) stopWorkers() {
	f.mu.Lock()
	running := slices.Collect(maps.Keys(f.workers))
	f.mu.Unlock()
	for _, w := range running {
		w.Stop()
	}
}

func (f *systemClients) forget(w *systemWorker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.workers, w)
}

// close ends the connection that all clients share.
func (f *systemClients) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.system != nil {
		f.system.Close()
	}
}

func (f *systemClients) options(o sdkclient.Options) sdkclient.Options {
	o.HostPort = "passthrough:///" + hosts[primitives.FrontendService]
	o.Logger = log.NewSdkLogger(f.logger)
	o.ConnectionOptions = sdkclient.ConnectionOptions{
		DialOptions: []grpc.DialOption{f.dialer, grpc.WithUnaryInterceptor(callAsServer)},
	}
	return o
}

// frontendPatience is how the system client waits for the frontend: that says a
// moment after its start that it is healthy. Services must start within 15 s.
var frontendPatience = backoff.NewExponentialRetryPolicy(2 * time.Millisecond).
	WithMaximumInterval(100 * time.Millisecond).
	WithExpirationInterval(10 * time.Second)

// GetSystemClient implements sdk.ClientFactory.
func (f *systemClients) GetSystemClient() sdkclient.Client {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.system != nil {
		return f.system
	}
	err := backoff.ThrottleRetry(func() (err error) {
		f.system, err = sdkclient.Dial(f.options(sdkclient.Options{Namespace: primitives.SystemLocalNamespace}))
		return err
	}, frontendPatience, isUnavailable)
	if err != nil {
		f.logger.Fatal("Temporal's system client cannot reach the frontend", tag.Error(err))
	}
	return f.system
}

func isUnavailable(err error) bool {
	var unavailable *serviceerror.Unavailable
	return errors.As(err, &unavailable)
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
	w := &systemWorker{Worker: sdkworker.New(client, taskQueue, options), clients: f}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers[w] = struct{}{}
	return w
}

// systemWorker is a worker that can be stopped at any time, and more than once.
// Theirs, if it is stopped while Temporal is about to start it, runs on and
// never rests.
type systemWorker struct {
	sdkworker.Worker
	clients *systemClients

	mu       sync.Mutex
	started  bool
	finished bool
}

// Start implements worker.Worker. A worker that was stopped does not start.
func (w *systemWorker) Start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished {
		return nil
	}
	w.started = true
	return w.Worker.Start()
}

// Stop implements worker.Worker.
func (w *systemWorker) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started && !w.finished {
		w.Worker.Stop()
	}
	w.finished = true
	w.clients.forget(w)
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
