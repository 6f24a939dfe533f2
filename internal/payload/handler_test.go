package payload_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	common "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"

	"symbi.dev/symbi/internal/payload"
)

// post sends payloads to the codec's endpoint as the Web UI does.
func post(t *testing.T, c *payload.Codec, path string, in ...*common.Payload) (int, []*common.Payload) {
	t.Helper()
	body, err := protojson.Marshal(&common.Payloads{Payloads: in})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
	var out common.Payloads
	if w.Code == http.StatusOK {
		if err := protojson.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, out.Payloads
}

func TestTheWebUISeesPayloadsOpened(t *testing.T) {
	t.Parallel()
	c := codec(t, blobs(t), key(1))
	for name, size := range map[string]int{"small": 10, "large": 300 << 10} {
		plain, err := converter.GetDefaultDataConverter().ToPayload(strings.Repeat("x", size))
		if err != nil {
			t.Fatal(err)
		}
		code, in := post(t, c, "/encode", plain)
		if code != http.StatusOK || len(in) != 1 || bytes.Contains(in[0].Data, []byte("xxxx")) {
			t.Fatalf("%s: sealing gives %d, %v", name, code, in)
		}
		if moved := len(in[0].ExternalPayloads) > 0; moved != (name == "large") || moved && len(in[0].Data) > 500 {
			t.Errorf("%s: it is sealed as %d bytes, moved out: %v", name, len(in[0].Data), moved)
		}
		paths := []string{"/decode"}
		if name == "large" {
			paths = append(paths, "/decode?preserveStorageRefs=false", "/download")
		}
		for _, path := range paths {
			code, out := post(t, c, path, in[0])
			if code != http.StatusOK || len(out) != 1 || !bytes.Equal(out[0].Data, plain.Data) {
				t.Errorf("%s: %s gives %d, %d payloads", name, path, code, len(out))
			}
		}
	}
}

func TestTheEndpointRefusesWhatItCannotOpen(t *testing.T) {
	t.Parallel()
	c := codec(t, blobs(t), key(1))
	p, err := codec(t, blobs(t), key(2)).DataConverter().ToPayload("another installation's")
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := post(t, c, "/decode", p); code != http.StatusBadRequest {
		t.Errorf("another key's: %d", code)
	}
	for name, r := range map[string]*http.Request{
		"a GET":            httptest.NewRequest(http.MethodGet, "/decode", nil),
		"another path":     httptest.NewRequest(http.MethodPost, "/keys", strings.NewReader("{}")),
		"no JSON":          httptest.NewRequest(http.MethodPost, "/decode", strings.NewReader("{")),
		"more than it can": httptest.NewRequest(http.MethodPost, "/decode", bytes.NewReader(make([]byte, 33<<20))),
	} {
		w := httptest.NewRecorder()
		c.Handler().ServeHTTP(w, r)
		if w.Code < 400 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
