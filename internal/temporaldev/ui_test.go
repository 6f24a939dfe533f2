//go:build dev

package temporaldev_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"

	"symbi.dev/symbi/internal/temporaldev"
)

// ui starts a server with a workflow "one" that waits, and gives its handler.
func ui(t *testing.T, edits ...func(*temporaldev.Config)) (http.Handler, client.Client, client.WorkflowRun) {
	t.Helper()
	s := start(t, configure(t.TempDir(), edits...))
	c := dial(t, s.ClientOptions())
	work(t, c, "w")
	return s.UIHandler(), c, run(t, c, "one", await)
}

// ask makes a request of a handler. Headers are pairs of name and value.
func ask(t *testing.T, h http.Handler, method, target, body string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// text gives the body of an answer that must be OK.
func text(t *testing.T, r *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
	if r.StatusCode != http.StatusOK {
		t.Fatalf("status %s: %s", r.Status, body)
	}
	return body
}

// decode reads the body of an answer as JSON.
func decode[T any](t *testing.T, r *http.Response) (value T) {
	t.Helper()
	if got := r.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
		t.Errorf("content type is %q, want JSON", got)
	}
	body := text(t, r)
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return value
}

func TestPageAllowsItsOwnScriptAndNoOther(t *testing.T) {
	t.Parallel()
	h, _, _ := ui(t)
	for _, path := range []string{"/temporal/", "/temporal/namespaces/default/workflows", "/temporal/no/such/thing.js"} {
		r := ask(t, h, http.MethodGet, path, "")
		if got := r.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("%s has content type %q", path, got)
		}
		policy, page := r.Header.Get("Content-Security-Policy"), text(t, r)
		if strings.Contains(page, "http-equiv") {
			t.Errorf("%s carries a policy of its own", path)
		}
		scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(page, -1)
		if len(scripts) != 1 || strings.Count(page, "<script") != 1 {
			t.Fatalf("%s has scripts that this test does not know:\n%s", path, page)
		}
		sum := sha256.Sum256([]byte(scripts[0][1]))
		if want := "script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(policy, want) {
			t.Errorf("the policy of %s is %q, want it to have %q", path, policy, want)
		}
		for _, loose := range []string{"'unsafe-eval'", "http:", "https:", "*"} {
			if strings.Contains(policy, loose) {
				t.Errorf("the policy of %s has %s: %s", path, loose, policy)
			}
		}
	}
}

func TestPublicPathWithoutASlashLeadsToThePage(t *testing.T) {
	t.Parallel()
	h, _, _ := ui(t)
	r := ask(t, h, http.MethodGet, "/temporal", "")
	if got := r.Header.Get("Location"); got != "/temporal/" || r.StatusCode/100 != 3 {
		t.Errorf("status %s, location %q, want a redirect to /temporal/", r.Status, got)
	}
	for _, other := range []string{"/", "/temporalish", "/api/v1/settings"} {
		if got := ask(t, h, http.MethodGet, other, "").StatusCode; got != http.StatusNotFound {
			t.Errorf("%s, which is not under the public path, has status %d", other, got)
		}
	}
}

func TestEveryAssetOfThePageLoadsFromUnderThePublicPath(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"/temporal", "/deep/down"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			h, _, _ := ui(t, func(c *temporaldev.Config) { c.PublicPath = prefix })
			pages := text(t, ask(t, h, http.MethodGet, prefix+"/", ""))
			seen, reached := map[string]bool{}, follow(prefix+"/", pages)
			for len(reached) > 0 {
				path := reached[0]
				reached = reached[1:]
				if seen[path] {
					continue
				}
				seen[path] = true
				if !strings.HasPrefix(path, prefix+"/") {
					t.Errorf("%s is not under %s", path, prefix)
					continue
				}
				r := ask(t, h, http.MethodGet, path, "")
				got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
				want := map[string]string{".js": "text/javascript", ".css": "text/css"}[path[strings.LastIndex(path, "."):]]
				if err != nil || got != want {
					t.Errorf("%s has content type %q, want %q", path, got, want)
				}
				if got := r.Header.Get("X-Content-Type-Options"); got != "nosniff" {
					t.Errorf("%s may be sniffed", path)
				}
				if want == "text/javascript" {
					reached = append(reached, follow(path, text(t, r))...)
				}
			}
			t.Logf("%d scripts and styles", len(seen))
			if len(seen) < 100 {
				t.Errorf("only %d scripts and styles were found; the page has more", len(seen))
			}
		})
	}
}

// reference is a script or a style that the page or a script names: a whole
// path in the page, one relative to itself in a script.
var reference = regexp.MustCompile("[\"'`]((?:/|\\./|\\.\\./)[A-Za-z0-9_./-]*\\.(?:js|css))[\"'`]")

// follow gives the paths of what a text refers to.
func follow(from, text string) (paths []string) {
	base := url.URL{Path: from}
	for _, match := range reference.FindAllStringSubmatch(text, -1) {
		paths = append(paths, base.ResolveReference(&url.URL{Path: match[1]}).Path)
	}
	return paths
}

func TestSettingsNameTheNamespaceAndTheCodec(t *testing.T) {
	t.Parallel()
	h, _, _ := ui(t, func(c *temporaldev.Config) { c.Namespace, c.CodecEndpoint = "symbi", "/temporal-codec" })
	got := decode[struct {
		DefaultNamespace string
		Codec            struct {
			Endpoint           string
			PassAccessToken    bool
			IncludeCredentials bool
		}
		Auth struct{ Enabled bool }
	}](t, ask(t, h, http.MethodGet, "/temporal/api/v1/settings", ""))
	if got.DefaultNamespace != "symbi" {
		t.Errorf("the default namespace is %q", got.DefaultNamespace)
	}
	if got.Codec.Endpoint != "/temporal-codec" || !got.Codec.IncludeCredentials || got.Codec.PassAccessToken {
		t.Errorf("the codec is %+v", got.Codec)
	}
	if got.Auth.Enabled {
		t.Error("the UI has a login of its own")
	}
}

// executions is what the UI reads of a list of workflows.
type executions struct {
	Executions []struct{ Execution struct{ WorkflowId string } }
}

func TestWorkflowsAreListedWhateverTheRequestSaysOfItsSender(t *testing.T) {
	t.Parallel()
	h, _, _ := ui(t)
	for name, headers := range map[string][]string{
		"nothing":                nil,
		"a forged authorization": {"Authorization", "Bearer forged by someone else"},
		"a cookie":               {"Cookie", "session=secret"},
	} {
		eventually(t, func(context.Context) error {
			got := decode[executions](t, ask(t, h, http.MethodGet, "/temporal/api/v1/namespaces/default/workflows", "", headers...))
			if len(got.Executions) != 1 || got.Executions[0].Execution.WorkflowId != "one" {
				return fmt.Errorf("with %s the list is %+v, want the workflow that runs", name, got)
			}
			return nil
		})
	}
}

func TestSignalSentByTheUIReachesTheWorkflow(t *testing.T) {
	t.Parallel()
	h, _, r := ui(t)
	payload := base64.StdEncoding.EncodeToString([]byte(`"clicked"`))
	encoding := base64.StdEncoding.EncodeToString([]byte("json/plain"))
	body := fmt.Sprintf(`{"signalName":"go","workflowExecution":{"workflowId":"one","runId":%q},"input":{"payloads":[{"metadata":{"encoding":%q},"data":%q}]}}`,
		r.GetRunID(), encoding, payload)
	text(t, ask(t, h, http.MethodPost, "/temporal/api/v1/namespaces/default/workflows/one/signal/go", body, "Content-Type", "application/json"))
	if got := result[string](t, r); got != "clicked" {
		t.Errorf("the workflow got %q", got)
	}
}

func TestWorkflowTerminatedByTheUIEnds(t *testing.T) {
	t.Parallel()
	h, _, r := ui(t)
	text(t, ask(t, h, http.MethodPost, "/temporal/api/v1/namespaces/default/workflows/one/terminate?execution.runId="+r.GetRunID(),
		`{"reason":"seen enough"}`, "Content-Type", "application/json"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Get(ctx, nil); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("the workflow ended with %v", err)
	}
}

func TestErrorsOfTheAPIKeepTheirStatus(t *testing.T) {
	t.Parallel()
	h, _, _ := ui(t)
	for path, want := range map[string]int{
		"/temporal/api/v1/namespaces/none/workflows":           http.StatusNotFound,
		"/temporal/api/v1/namespaces/default/workflows/none":   http.StatusNotFound,
		"/temporal/api/v1/namespaces/default/workflows?query=": http.StatusOK,
		"/temporal/api/v1/no/such/thing":                       http.StatusNotFound,
	} {
		if got := ask(t, h, http.MethodGet, path, "").StatusCode; got != want {
			t.Errorf("%s has status %d, want %d", path, got, want)
		}
	}
}

func TestRawHistoryIsDownloaded(t *testing.T) {
	t.Parallel()
	h, c, r := ui(t)
	if err := c.SignalWorkflow(t.Context(), "one", "", "go", "on"); err != nil {
		t.Fatal(err)
	}
	result[string](t, r)
	events := decode[[]struct {
		EventType int `json:"event_type"`
	}](t, ask(t, h, http.MethodGet, "/temporal/api/v1/namespaces/default/workflows/one/run/"+r.GetRunID()+"/history.json", ""))
	if len(events) < 5 {
		t.Errorf("the history has %d events: %+v", len(events), events)
	}
}

func TestWorkflowWhoseIDLooksLikeAPathIsFound(t *testing.T) {
	t.Parallel()
	h, c, _ := ui(t)
	const id = "orders//2024/../a b"
	run(t, c, id, await)
	got := decode[struct {
		WorkflowExecutionInfo struct{ Execution struct{ WorkflowId string } }
	}](t, ask(t, h, http.MethodGet, "/temporal/api/v1/namespaces/default/workflows/"+url.PathEscape(id), ""))
	if got := got.WorkflowExecutionInfo.Execution.WorkflowId; got != id {
		t.Errorf("the workflow found is %q, want %q", got, id)
	}
}

func TestIconOfThePageIsAnImage(t *testing.T) {
	t.Parallel()
	h, _, _ := ui(t)
	page := text(t, ask(t, h, http.MethodGet, "/temporal/", ""))
	link := regexp.MustCompile(`<link rel="icon" href="(.*?)"`).FindStringSubmatch(page)
	if link == nil {
		t.Fatalf("the page has no icon:\n%s", page)
	}
	if got := ask(t, h, http.MethodGet, link[1], "").Header.Get("Content-Type"); !strings.HasPrefix(got, "image/") {
		t.Errorf("%s has content type %q", link[1], got)
	}
}

func TestTextOfUsersIsRenderedWithoutScripts(t *testing.T) {
	t.Parallel()
	h, _, _ := ui(t)
	r := ask(t, h, http.MethodGet, "/temporal/render?content="+url.QueryEscape("# Title\n<script>alert(1)</script>"), "")
	policy := r.Header.Get("Content-Security-Policy")
	if body := text(t, r); !strings.Contains(body, ">Title</h1>") {
		t.Errorf("the text became %s", body)
	}
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "sandbox") || strings.Contains(policy, "allow-scripts") {
		t.Errorf("the policy is %q", policy)
	}
}
