//go:build dev

package temporaldev

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.temporal.io/server/common/primitives"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

func TestFrontendIsNotToldWhatARequestSaysOfItsSender(t *testing.T) {
	t.Parallel()
	told := make(chan metadata.MD, 1)
	frontend := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		told <- md
		return status.Error(codes.NotFound, "nothing is here")
	}))
	n := network{primitives.FrontendService: bufconn.Listen(memoryBuffer)}
	served := make(chan error, 1)
	go func() { served <- frontend.Serve(n[primitives.FrontendService]) }()
	t.Cleanup(func() {
		frontend.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///frontend", n.dialer(primitives.FrontendService), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	h, err := newUI(Config{}.WithDefaults(), conn)
	if err != nil {
		t.Fatal(err)
	}

	for _, path := range []string{"/namespaces/default", "/namespaces/default/workflows/one/run/two/history.json"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, DefaultPublicPath+"/api/v1"+path, nil)
		const secret = "it is me"
		for _, name := range []string{"Authorization", "authorization-extras", "Cookie", "Grpc-Metadata-Authorization", "grpc-metadata-temporal-principal"} {
			r.Header.Set(name, secret)
		}
		r.Header.Set("Caller-Type", "operator")
		h.ServeHTTP(httptest.NewRecorder(), r)
		for name, values := range <-told {
			if strings.Contains(strings.Join(values, " "), secret) {
				t.Errorf("%s: the frontend was told %s: %s", path, name, values)
			}
		}
		if r.Header.Get("Authorization") != secret {
			t.Error("the request of the caller was changed")
		}
	}
}
