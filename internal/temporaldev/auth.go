//go:build dev

package temporaldev

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// guard lets a frontend call pass if it presents the token or comes from this
// process. It stands before all that Temporal does with a call: Temporal asks
// its own authorizer after it has looked up the namespace, so that strangers
// could tell which ones exist.
type guard struct{ want [sha256.Size]byte }

func newGuard(token string) guard {
	return guard{want: sha256.Sum256([]byte(token))}
}

// options set up a gRPC server. Temporal's interceptors are all chained, and
// gRPC runs those after these.
func (g guard) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := g.judge(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := g.judge(stream.Context(), info.FullMethod); err != nil {
				return err
			}
			return next(srv, stream)
		}),
	}
}

// judge gives the refusal of a call, or nil. The health check is open: it tells
// only that something listens.
func (g guard) judge(ctx context.Context, method string) error {
	if method == healthpb.Health_Check_FullMethodName || fromThisProcess(ctx) || g.tokenIn(ctx) {
		return nil
	}
	return status.Error(codes.PermissionDenied, "this Temporal answers only callers that present its token")
}

// tokenIn compares hashes, so that neither content nor length of the token
// shows in the time it takes.
func (g guard) tokenIn(ctx context.Context) bool {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) != 1 {
		return false
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	got := sha256.Sum256([]byte(token))
	return ok && subtle.ConstantTimeCompare(got[:], g.want[:]) == 1
}

// fromThisProcess tells whether the caller came through one of our in-memory
// listeners, which nothing outside the process can reach.
func fromThisProcess(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	return ok && p.Addr != nil && p.Addr.Network() == memoryNetwork
}
