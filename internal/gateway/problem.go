package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"symbi.dev/symbi/agent"
)

// problemDoc is a problem document (RFC 9457), as the API's are.
type problemDoc struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// retryAfterSeconds is what a program is told to wait when it was too fast or
// the runtime is away.
const retryAfterSeconds = 1

// kinds maps the kinds of errors to statuses and titles.
var kinds = []struct {
	kind   error
	status int
	title  string
}{
	{errTooLarge, http.StatusRequestEntityTooLarge, "This is too large"},
	{agent.ErrInvalid, http.StatusBadRequest, "The request is not valid"},
	{agent.ErrDenied, http.StatusForbidden, "This is not allowed"},
	{agent.ErrNotFound, http.StatusNotFound, "There is no such thing"},
	{agent.ErrConflict, http.StatusConflict, "This contradicts what is already so"},
	{agent.ErrExhausted, http.StatusTooManyRequests, "A limit is reached"},
	{agent.ErrUnavailable, http.StatusServiceUnavailable, "Something this depends on does not answer"},
}

// problem answers with an error: its kind and its message. Causes go to the log.
func (g *Gateway) problem(w http.ResponseWriter, r *http.Request, err error) {
	status, title, detail := http.StatusInternalServerError, "A fault of ours", "the fault is in the log of the node's worker"
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			status, title, detail = k.status, k.title, err.Error()
			break
		}
	}
	var known *agent.Error
	if errors.As(err, &known) {
		detail = known.Message
	}
	if status >= http.StatusInternalServerError {
		g.cfg.Logger.Error("a program's request failed", "task", g.cfg.Task.Task, "path", r.URL.Path, "error", err)
	}
	writeProblem(w, status, title, detail)
}

// writeProblem writes a problem document.
func writeProblem(w http.ResponseWriter, status int, title, detail string) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	}
	writeJSON(w, status, "application/problem+json", problemDoc{Type: "about:blank", Title: title, Status: status, Detail: detail})
}

// writeJSON writes a document with its length, which init's client relies on.
func writeJSON(w http.ResponseWriter, status int, mediaType string, doc any) {
	body, err := json.Marshal(doc)
	if err != nil { // a document of ours that cannot be written
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever does not read it is gone
}
