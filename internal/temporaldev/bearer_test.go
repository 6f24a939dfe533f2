package temporaldev_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"symbi.dev/symbi/internal/temporaldev"
)

func TestBearerShowsItsTokenToTheServerAlone(t *testing.T) {
	t.Parallel()
	const secret = "not for the log"
	bearer := temporaldev.Bearer(secret)
	headers, err := bearer.GetHeaders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := headers["authorization"]; got != "Bearer "+secret {
		t.Errorf("the header is %q", got)
	}

	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("a record", "alone", bearer, "within", struct{ Bearer temporaldev.Bearer }{bearer})
	}
	encoded, err := json.Marshal([]temporaldev.Bearer{bearer})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%s %q %v %+v %#v %x", bearer, bearer, bearer, struct{ B temporaldev.Bearer }{bearer}, bearer, bearer) + log.String() + string(encoded)
	if strings.Contains(shown, secret) || strings.Contains(shown, fmt.Sprintf("%x", secret)) {
		t.Errorf("the token shows: %s", shown)
	}
}
