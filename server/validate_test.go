package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"symbi.dev/symbi/agent"
)

func TestTheDescriptionOfTheAPIIsValid(t *testing.T) {
	t.Parallel()
	if _, err := newValidator(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatTheDescriptionForbidsIsNamedByField(t *testing.T) {
	t.Parallel()
	v, err := newValidator()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, method, path, body, field string }{
		{"bad name in the path", http.MethodGet, "/v1/namespaces/default/agents/A.B", "", "path.agent"},
		{"limit out of bounds", http.MethodGet, "/v1/agents?limit=0", "", "query.limit"},
		{"unknown state", http.MethodGet, "/v1/agents?state=Asleep", "", "query.state"},
		{"unknown field", http.MethodPost, "/v1/namespaces/default/agents/a/tasks", `{"parms":{}}`, "body"},
		{"bad digest", http.MethodPost, "/v1/namespaces/default/agents/a/tasks", `{"inputs":{"x":{"digest":"md5:1"}}}`, "body.inputs.x.digest"},
		{"no JSON", http.MethodPost, "/v1/namespaces/default/agents/a/tasks", `{`, "body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			if c.body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			route, params, err := v.router.FindRoute(req)
			if err != nil {
				t.Fatal(err)
			}
			err = invalidRequest(validateRequest(req, route, params))
			var e *agent.Error
			if !errors.As(err, &e) || e.Kind != agent.ErrInvalid {
				t.Fatalf("got %v", err)
			}
			for _, f := range e.Fields {
				if strings.HasPrefix(f.Path, c.field) && f.Message != "" {
					return
				}
			}
			t.Errorf("got %+v, want an error of %s", e.Fields, c.field)
		})
	}
}

func validateRequest(req *http.Request, route *routers.Route, params map[string]string) error {
	return openapi3filter.ValidateRequest(req.Context(), &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
}

func TestCookiesOfOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header map[string]string
		want   bool
	}{
		"our page":        {map[string]string{"Origin": "http://example.com", "Sec-Fetch-Site": "same-origin"}, true},
		"no origin":       {nil, false},
		"another site":    {map[string]string{"Origin": "http://evil.example"}, false},
		"another port":    {map[string]string{"Origin": "http://example.com:81"}, false},
		"fetch says so":   {map[string]string{"Origin": "http://example.com", "Sec-Fetch-Site": "cross-site"}, false},
		"origin is null":  {map[string]string{"Origin": "null"}, false},
		"origin is broke": {map[string]string{"Origin": "http://%"}, false},
	} {
		req := httptest.NewRequest(http.MethodPost, "http://example.com/temporal/", nil)
		for k, v := range c.header {
			req.Header.Set(k, v)
		}
		if got := sameOrigin(req); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
