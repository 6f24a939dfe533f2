//go:build dev

package temporaldev

import (
	"context"
	"fmt"
	"net"

	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

const (
	// memoryNetwork is what connections through memory call their network.
	memoryNetwork = "bufconn"
	// memoryBuffer is the bytes in flight each way on such a connection; gRPC
	// writes in batches of 32 KiB.
	memoryBuffer = 256 << 10
)

// hosts names Temporal's services to each other. The addresses have the form
// that Temporal expects and are never dialled: dialers lead into memory.
var hosts = map[primitives.ServiceName]string{
	primitives.FrontendService: "127.0.0.1:7233",
	primitives.HistoryService:  "127.0.0.1:7234",
	primitives.MatchingService: "127.0.0.1:7235",
	primitives.WorkerService:   "127.0.0.1:7239",
}

// network connects the services within the process. Temporal's internal
// services authenticate nobody, so they must not listen on a port; memory also
// spares the kernel's part of some ten calls a workflow task.
type network map[primitives.ServiceName]*bufconn.Listener

func newNetwork() network {
	n := network{}
	for service := range hosts {
		n[service] = bufconn.Listen(memoryBuffer)
	}
	return n
}

// dialer is the option that leads a client to a service, whatever its target.
func (n network) dialer(service primitives.ServiceName) grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return n[service].DialContext(ctx)
	})
}

// dialers are the options for Temporal's own clients, by service, added to
// those that it has. It calls its own frontend the internal one.
func (n network) dialers(own map[primitives.ServiceName][]grpc.DialOption) map[primitives.ServiceName][]grpc.DialOption {
	all := map[primitives.ServiceName][]grpc.DialOption{
		primitives.FrontendService:         {n.dialer(primitives.FrontendService)},
		primitives.InternalFrontendService: {n.dialer(primitives.FrontendService)},
		primitives.HistoryService:          {n.dialer(primitives.HistoryService)},
		primitives.MatchingService:         {n.dialer(primitives.MatchingService)},
	}
	for service, options := range own {
		all[service] = append(all[service], options...)
	}
	return all
}

// close refuses further connections; those that exist are the servers' to end.
func (n network) close() {
	for _, listener := range n {
		_ = listener.Close()
	}
}

// members is the fixed membership that takes the place of gossip.
func members() map[primitives.ServiceName]static.Hosts {
	all := map[primitives.ServiceName]static.Hosts{}
	for service, address := range hosts {
		all[service] = static.SingleLocalHost(address)
	}
	return all
}

// listen claims the frontend's port at once, so that a taken one is an error
// and not a surprise later.
func listen(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for Temporal clients: %w", err)
	}
	return listener, nil
}
