//go:build dev

package temporaldev_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"symbi.dev/symbi/internal/temporaldev"
)

// connect reaches a frontend through its port.
func connect(t *testing.T, s *temporaldev.Server, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(s.FrontendAddress(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// withBearer presents a token with each call.
func withBearer(token string) grpc.DialOption {
	return grpc.WithPerRPCCredentials(temporaldev.Bearer(token))
}

func TestOnlyTheFrontendListensAndOnLoopback(t *testing.T) {
	s := start(t, configure(t.TempDir()))
	if got, want := listening(t), []string{s.FrontendAddress()}; !slices.Equal(got, want) {
		t.Errorf("the process listens on %v, want the frontend's %v alone", got, want)
	}
	if !strings.HasPrefix(s.FrontendAddress(), "127.0.0.1:") {
		t.Errorf("the frontend listens on %s", s.FrontendAddress())
	}
}

func TestNothingIsAnsweredWithoutTheToken(t *testing.T) {
	t.Parallel()
	s := start(t, configure(t.TempDir()))
	conn := connect(t, s)
	all := methods(t, connect(t, s, withBearer(token)))
	for name, header := range map[string][]string{
		"no token":                   nil,
		"an empty token":             {"Bearer "},
		"a wrong token":              {"Bearer a token of some other tests"},
		"the beginning of the token": {"Bearer " + token[:len(token)-1]},
		"the token and more":         {"Bearer " + token + " "},
		"the token without a scheme": {token},
		"another scheme":             {"Basic " + token},
		"the token and another":      {"Bearer " + token, "Bearer other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, m := range all {
				ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": header})
				if err := call(ctx, conn, m); status.Code(err) != codes.PermissionDenied {
					t.Errorf("%s: %v, want permission denied", m.name, err)
				}
			}
		})
	}
}

func TestHeadersThatNameTheServerItselfDoNotReplaceTheToken(t *testing.T) {
	t.Parallel()
	s := start(t, configure(t.TempDir()))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "client-name", "temporal-server", "caller-type", "system",
		"temporal-internal", "true", "authorization-extras", "Bearer "+token)
	_, err := workflowservice.NewWorkflowServiceClient(connect(t, s)).DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "temporal-system"})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("DescribeNamespace: %v, want permission denied", err)
	}
}

func TestHealthIsToldToAnyone(t *testing.T) {
	t.Parallel()
	s := start(t, configure(t.TempDir()))
	health, err := healthpb.NewHealthClient(connect(t, s)).Check(t.Context(), &healthpb.HealthCheckRequest{Service: workflowservice.WorkflowService_ServiceDesc.ServiceName})
	if err != nil {
		t.Fatal(err)
	}
	if health.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health is %s", health.Status)
	}
}

// method is one that the frontend serves.
type method struct {
	name   string // "/service/Method"
	stream bool
}

// methods asks the frontend for its services and gives their methods, but for
// the health check.
func methods(t *testing.T, conn *grpc.ClientConn) (all []method) {
	t.Helper()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatalf("list the frontend's services: %v", err)
	}
	services := answer.GetListServicesResponse().GetService()
	for _, service := range services {
		descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service.Name))
		if err != nil {
			t.Fatal(err)
		}
		list := descriptor.(protoreflect.ServiceDescriptor).Methods()
		for i := range list.Len() {
			m := list.Get(i)
			name := fmt.Sprintf("/%s/%s", service.Name, m.Name())
			if name != healthpb.Health_Check_FullMethodName {
				all = append(all, method{name: name, stream: m.IsStreamingClient() || m.IsStreamingServer()})
			}
		}
	}
	t.Logf("%d services, %d methods", len(services), len(all))
	for _, want := range []string{
		"/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution",
		"/temporal.api.operatorservice.v1.OperatorService/DeleteNamespace",
		"/temporal.server.api.adminservice.v1.AdminService/ImportWorkflowExecution",
		"/temporal.server.api.adminservice.v1.AdminService/StreamWorkflowReplicationMessages",
	} {
		if !slices.ContainsFunc(all, func(m method) bool { return m.name == want }) {
			t.Errorf("%s is not among the methods", want)
		}
	}
	return all
}

// call calls a method with an empty request.
func call(ctx context.Context, conn *grpc.ClientConn, m method) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !m.stream {
		return conn.Invoke(ctx, m.name, &emptypb.Empty{}, &emptypb.Empty{})
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, m.name)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&emptypb.Empty{}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return stream.RecvMsg(&emptypb.Empty{})
}
