//go:build dev

package temporaldev

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/temporalio/ui-server/v2/server/api"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/headers"
	"github.com/temporalio/ui-server/v2/server/route"
	"github.com/temporalio/ui-server/v2/ui"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
)

// uiMessageBytes is the most that the UI takes of the frontend in one answer: a
// whole history, which Temporal ends at 50 MB, and room.
const uiMessageBytes = 64 << 20

// newUI is Temporal's Web UI as a handler: its pages, and the JSON API behind
// them, which calls the frontend over conn. It is composed here because the UI's
// own server can only listen on a port, and takes a path prefix at the price
// of its content security policy.
func newUI(c Config, conn *grpc.ClientConn) (http.Handler, error) {
	settings, err := uiconfig.NewConfigProviderWithRefresh(&uiconfig.Config{
		EnableUI:         true,
		PublicPath:       c.PublicPath,
		DefaultNamespace: c.Namespace,
		HideLogs:         true,
		Codec:            uiconfig.Codec{Endpoint: c.CodecEndpoint, IncludeCredentials: true},
	})
	if err != nil {
		return nil, fmt.Errorf("configure the Temporal Web UI: %w", err)
	}
	pages, err := newPages(c.PublicPath)
	if err != nil {
		return nil, err
	}
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	e.Use(middleware.Recover())
	route.SetRenderRoute(e) // text that users wrote, as a sandboxed page
	e.GET("/api/v1/settings", api.GetSettings(settings))
	e.GET("/api/v1"+api.WorkflowRawHistoryUrl, api.WorkflowRawHistoryHandler(workflowservice.NewWorkflowServiceClient(conn)))
	e.Any("/api/v1/*", api.TemporalAPIHandler(settings, []api.Middleware{headers.WithForwardHeaders([]string{"Caller-Type"})}, conn))
	e.GET("/*", echo.WrapHandler(pages))
	return anonymous(below(c.PublicPath, e)), nil
}

// below serves what is under a prefix. http.ServeMux would clean the path, and
// workflow IDs may hold what it takes for dirt.
func below(prefix string, next http.Handler) http.Handler {
	strip := http.StripPrefix(prefix, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch {
		case strings.HasPrefix(r.URL.Path, prefix+"/"):
			strip.ServeHTTP(w, r)
		case r.URL.Path == prefix:
			http.Redirect(w, r, prefix+"/", http.StatusTemporaryRedirect)
		default:
			http.NotFound(w, r)
		}
	})
}

// anonymous drops what a request says of its sender: whoever mounts the
// handler has judged that, and the API behind it would pass it on.
func anonymous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clean := r.Clone(r.Context())
		for name := range clean.Header {
			if name == "Authorization" || name == "Authorization-Extras" || name == "Cookie" || strings.HasPrefix(name, "Grpc-Metadata-") {
				delete(clean.Header, name)
			}
		}
		next.ServeHTTP(w, clean)
	})
}

// pages serves the UI's files, and its one page for every other path: the
// script in it does the routing.
type pages struct {
	files  fs.FS
	server http.Handler
	index  []byte
	policy string
}

func newPages(prefix string) (*pages, error) {
	all, err := ui.Assets()
	if err != nil {
		return nil, fmt.Errorf("open the files of the Temporal Web UI: %w", err)
	}
	files, err := fs.Sub(all, "local")
	if err != nil {
		return nil, fmt.Errorf("open the files of the Temporal Web UI: %w", err)
	}
	index, err := fs.ReadFile(files, "index.html")
	if err != nil {
		return nil, fmt.Errorf("open the files of the Temporal Web UI: %w", err)
	}
	index, err = movePage(index, prefix)
	if err != nil {
		return nil, err
	}
	return &pages{files: files, server: http.FileServerFS(files), index: index, policy: contentPolicy(index)}, nil
}

// ServeHTTP implements http.Handler.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	name := strings.TrimPrefix(r.URL.Path, "/")
	if stat, err := fs.Stat(p.files, name); err == nil && stat.Mode().IsRegular() && name != "index.html" {
		if strings.Contains(name, "/immutable/") { // named by content
			h.Set("Cache-Control", "private, max-age=31536000, immutable")
		}
		p.server.ServeHTTP(w, r)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	_, _ = io.Copy(w, bytes.NewReader(p.index)) // the client has gone, if it fails
}

var (
	policyTag    = regexp.MustCompile(`(?i)<meta[^>]*content-security-policy[^>]*>`)
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
)

// movePage makes the page, built for the root of a site, work under a prefix.
// Its own policy goes: it names the hash of the script that changes here.
func movePage(index []byte, prefix string) ([]byte, error) {
	page := policyTag.ReplaceAllString(string(index), "")
	moved := strings.NewReplacer(
		`base: ""`, `base: "`+prefix+`"`,
		`"/_app/`, `"`+prefix+`/_app/`,
		`<head>`, `<head><link rel="icon" href="`+prefix+`/favicon.ico" />`,
	).Replace(page)
	if !strings.Contains(moved, `base: "`+prefix+`"`) || !strings.Contains(moved, prefix+"/_app/") {
		return nil, fmt.Errorf("the page of the Temporal Web UI is not as expected; it cannot be served under %s", prefix)
	}
	return []byte(moved), nil
}

// contentPolicy keeps the page to its own origin: no script but its own, no
// call to anywhere else.
func contentPolicy(index []byte) string {
	scripts := "'self'"
	for _, match := range inlineScript.FindAllSubmatch(index, -1) {
		sum := sha256.Sum256(match[1])
		scripts += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'self'; script-src " + scripts + "; style-src 'self' 'unsafe-inline'; " +
		"img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; manifest-src 'self' data:; connect-src 'self'; " +
		"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
}
