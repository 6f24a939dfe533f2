package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// node stands for those who hand things in.
type node struct {
	mu         sync.Mutex
	progress   []Progress
	started    []initproto.Started
	alive      []initproto.Alive
	exited     []initproto.Exit
	stop       bool
	checkpoint []byte
	saveErr    error
	inputs     map[string]string
	opened     int
	closed     int
}

func (n *node) Started(s initproto.Started) { n.note(func() { n.started = append(n.started, s) }) }
func (n *node) Exited(e initproto.Exit)     { n.note(func() { n.exited = append(n.exited, e) }) }
func (n *node) Alive(a initproto.Alive) (r initproto.AliveReply) {
	n.note(func() { n.alive = append(n.alive, a); r.Stop = n.stop })
	return r
}

func (n *node) note(fn func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fn()
}

func (n *node) Load(context.Context) (data []byte, err error) {
	n.note(func() { data = n.checkpoint })
	if data == nil {
		return nil, agent.Errorf(agent.ErrNotFound, "nothing there")
	}
	return data, nil
}

func (n *node) Save(_ context.Context, data []byte) (err error) {
	n.note(func() {
		if err = n.saveErr; err == nil {
			n.checkpoint = data
		}
	})
	return err
}

type openInput struct {
	io.ReadSeeker
	n *node
}

func (o openInput) Close() error { o.n.note(func() { o.n.closed++ }); return nil }

func (n *node) open(_ context.Context, name string) (io.ReadSeekCloser, error) {
	text, ok := n.inputs[name]
	if !ok {
		return nil, fmt.Errorf("/var/lib/secret/%s is gone", name)
	}
	n.note(func() { n.opened++ })
	return openInput{strings.NewReader(text), n}, nil
}

// shortDir makes a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func config(dir string, n *node) Config {
	if n.inputs == nil {
		n.inputs = map[string]string{"reports": "0123456789"}
	}
	return Config{
		Dir: dir,
		Task: Task{Namespace: "default", Agent: "strike-report", Task: "t1", Attempt: 2,
			Params: json.RawMessage(`{"top":20}`), Inputs: []Input{
				{Name: "reports", Bytes: 10, Digest: "sha256:ab", MediaType: "text/csv"}, {Name: "lost", Bytes: 1},
			}},
		Init: initproto.Task{Argv: []string{"/bin/true"}, Tier: "gvisor"},
		Says: n, OpenInput: n.open, Checkpoints: n,
		OnProgress: func(_ context.Context, p Progress) { n.note(func() { n.progress = append(n.progress, p) }) },
		Logger:     slog.New(slog.DiscardHandler), Now: func() time.Time { return epoch },
	}
}

// serve opens a gateway for the test's time.
func serve(t *testing.T, n *node) (*Gateway, *http.Client) {
	t.Helper()
	dir := shortDir(t)
	g, err := Open(t.Context(), config(dir, n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return g, clientOf(t, filepath.Join(dir, SocketName))
}

func clientOf(t *testing.T, socket string) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// send makes one call and gives its status, headers and body.
func send(t *testing.T, c *http.Client, method, path, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://gateway"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, resp.Header, string(data)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		says                     string
		header, value            string
	}{
		{name: "task", method: "GET", path: "/v1/task", status: 200, says: `"attempt":2,"params":{"top":20}`},
		{name: "init's task", method: "GET", path: "/v1/init/task", status: 200, says: `"argv":["/bin/true"]`},
		{name: "input", method: "GET", path: "/v1/inputs/reports", status: 200, says: "0123456789", header: "Content-Type", value: "text/csv"},
		{name: "part of an input", method: "GET", path: "/v1/inputs/reports", headers: []string{"Range", "bytes=2-4"}, status: 206, says: "234"},
		{name: "part beyond an input", method: "GET", path: "/v1/inputs/reports", headers: []string{"Range", "bytes=20-"}, status: 416},
		{name: "input's size", method: "HEAD", path: "/v1/inputs/reports", status: 200, header: "Content-Length", value: "10"},
		{name: "absent input", method: "GET", path: "/v1/inputs/other", status: 404, says: "no input of that name"},
		{name: "input by a path", method: "GET", path: "/v1/inputs/..%2f..%2fetc%2fpasswd", status: 404},
		{name: "input that broke", method: "GET", path: "/v1/inputs/lost", status: 500, says: "the fault is in the log"},
		{name: "progress", method: "POST", path: "/v1/progress", body: `{"percent": 12.5, "message": "half"}`, status: 204},
		{name: "progress without percent", method: "POST", path: "/v1/progress", body: `{"message":"x"}`, status: 400, says: "percent is missing"},
		{name: "progress beyond the end", method: "POST", path: "/v1/progress", body: `{"percent": 100.1}`, status: 400, says: "from 0 to 100"},
		{name: "negative progress", method: "POST", path: "/v1/progress", body: `{"percent": -1}`, status: 400},
		{name: "progress with a misspelt field", method: "POST", path: "/v1/progress", body: `{"percent": 1, "mesage": ""}`, status: 400, says: "mesage"},
		{name: "progress that is no JSON", method: "POST", path: "/v1/progress", body: `percent=3`, status: 400},
		{name: "two documents", method: "POST", path: "/v1/progress", body: `{"percent": 1}{}`, status: 400, says: "more follows"},
		{name: "long message", method: "POST", path: "/v1/progress", body: `{"percent": 1, "message": "` + strings.Repeat("x", 1025) + `"}`, status: 400, says: "1024"},
		{name: "longest message", method: "POST", path: "/v1/progress", body: `{"percent": 1, "message": "` + strings.Repeat("x", 1024) + `"}`, status: 204},
		{name: "huge progress", method: "POST", path: "/v1/progress", body: strings.Repeat(" ", 5000), status: 413},
		{name: "no checkpoint", method: "GET", path: "/v1/checkpoint", status: 404, says: "no attempt"},
		{name: "largest checkpoint", method: "PUT", path: "/v1/checkpoint", body: strings.Repeat("x", 1<<20), status: 204},
		{name: "too large a checkpoint", method: "PUT", path: "/v1/checkpoint", body: strings.Repeat("x", 1<<20+1), status: 413, says: "1048576"},
		{name: "wrong method", method: "DELETE", path: "/v1/checkpoint", status: 405, says: "GET, PUT", header: "Allow", value: "GET, PUT"},
		{name: "unknown path", method: "GET", path: "/v2/task", status: 404, says: "docs/program.md"},
		{name: "folder of inputs", method: "GET", path: "/v1/inputs/", status: 404},
		{name: "messages", method: "POST", path: "/v1/messages", status: 501, says: "/v1/messages"},
		{name: "memory", method: "GET", path: "/v1/memory/x/y", status: 501},
		{name: "knowledge", method: "GET", path: "/v1/knowledge", status: 501},
		{name: "tools", method: "GET", path: "/v1/tools", status: 501},
		{name: "secrets", method: "GET", path: "/v1/secrets/key", status: 501, says: "does not have /v1/secrets"},
		{name: "sign of life", method: "POST", path: "/v1/init/alive", body: `{"log_bytes": 7}`, status: 200, says: `{"stop":false}`},
		{name: "a later init's sign of life", method: "POST", path: "/v1/init/alive", body: `{"log_bytes": 7, "mood": "good"}`, status: 200},
		{name: "junk as a sign of life", method: "POST", path: "/v1/init/alive", body: "\xff", status: 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, client := serve(t, &node{})
			status, header, body := send(t, client, c.method, c.path, c.body, c.headers...)
			if status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("got %d %s, want %d with %q", status, body, c.status, c.says)
			}
			if c.header != "" && header.Get(c.header) != c.value {
				t.Errorf("%s is %q, want %q", c.header, header.Get(c.header), c.value)
			}
			if status >= 400 && status != 416 && c.method != "HEAD" {
				var p problemDoc
				if err := json.Unmarshal([]byte(body), &p); err != nil || p.Status != status || p.Title == "" || p.Detail == "" ||
					header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("no problem document: %v %q", header, body)
				}
				if strings.Contains(body, "secret/") {
					t.Errorf("a cause of ours is told to the program: %s", body)
				}
			}
		})
	}
}

func TestWhatIsSaidReachesTheNode(t *testing.T) {
	t.Parallel()
	n := &node{}
	_, client := serve(t, n)
	send(t, client, "POST", "/v1/init/started", `{"pid": 7, "kernel": "gvisor"}`)
	send(t, client, "POST", "/v1/progress", `{"percent": 40, "message": " red\u001b[31m\nnext\u202e 👩\u200d🚀 "}`)
	send(t, client, "POST", "/v1/init/alive", `{"log_bytes": 9}`)
	send(t, client, "POST", "/v1/init/exited", `{"reason": "exited", "code": 3}`)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.started) != 1 || n.started[0].PID != 7 || len(n.alive) != 1 || n.alive[0].LogBytes != 9 || len(n.exited) != 1 || n.exited[0].Code != 3 {
		t.Errorf("started %+v, alive %+v, exited %+v", n.started, n.alive, n.exited)
	}
	want := Progress{Percent: 40, Message: "red [31m next  👩\u200d🚀", At: epoch}
	if len(n.progress) != 1 || n.progress[0] != want {
		t.Errorf("progress %+v, want %+v", n.progress, want)
	}
}

func TestCheckpointIsGivenBack(t *testing.T) {
	t.Parallel()
	n := &node{}
	_, client := serve(t, n)
	want := "\x00\xff state"
	if status, _, body := send(t, client, "PUT", "/v1/checkpoint", want); status != 204 {
		t.Fatalf("put: %d %s", status, body)
	}
	if status, _, body := send(t, client, "GET", "/v1/checkpoint", ""); status != 200 || body != want {
		t.Errorf("get: %d %q, want %q", status, body, want)
	}
	n.note(func() { n.saveErr = agent.Errorf(agent.ErrUnavailable, "the blob store does not answer") })
	if status, header, body := send(t, client, "PUT", "/v1/checkpoint", "x"); status != 503 || header.Get("Retry-After") == "" || !strings.Contains(body, "does not answer") {
		t.Errorf("put without a store: %d %v %s", status, header, body)
	}
	n.note(func() { n.saveErr = errors.New("disk on fire at /dev/sda") })
	if status, _, body := send(t, client, "PUT", "/v1/checkpoint", "x"); status != 500 || strings.Contains(body, "sda") {
		t.Errorf("put with a fault: %d %s", status, body)
	}
}

func TestOrderToStopStands(t *testing.T) {
	t.Parallel()
	n := &node{stop: true}
	_, client := serve(t, n)
	for range 3 { // a program that fetches it does not take it from init
		if _, _, body := send(t, client, "POST", "/v1/init/alive", `{}`); body != `{"stop":true}` {
			t.Errorf("got %s", body)
		}
	}
}

func TestProgressIsLimited(t *testing.T) {
	t.Parallel()
	n := &node{}
	_, client := serve(t, n)
	refused := 0
	for range 3 * progressPerSecond {
		status, header, body := send(t, client, "POST", "/v1/progress", `{"percent": 1}`)
		if status == 429 {
			refused++
			if header.Get("Retry-After") == "" || !strings.Contains(body, "10 times a second") {
				t.Errorf("the refusal does not help: %v %s", header, body)
			}
		}
	}
	if refused == 0 {
		t.Error("none was refused")
	}
}

func TestCheckpointsAreLimited(t *testing.T) {
	t.Parallel()
	_, client := serve(t, &node{})
	var statuses []int
	for range savesBurst + 2 {
		status, _, _ := send(t, client, "PUT", "/v1/checkpoint", "x")
		statuses = append(statuses, status)
	}
	if statuses[savesBurst-1] != 204 || statuses[savesBurst+1] != 429 {
		t.Errorf("statuses %v", statuses)
	}
}

func TestInputIsClosedAfterwards(t *testing.T) {
	t.Parallel()
	n := &node{inputs: map[string]string{"reports": strings.Repeat("x", 1<<20)}}
	g, client := serve(t, n)
	_, _, body := send(t, client, "GET", "/v1/inputs/reports", "")
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if len(body) != 1<<20 || n.opened != 1 || n.closed != 1 {
		t.Errorf("%d bytes, opened %d, closed %d", len(body), n.opened, n.closed)
	}
}

func TestSocketOfAnEarlierProcessIsReplaced(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	n := &node{}
	first, err := net.Listen("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	g, err := Open(t.Context(), config(dir, n))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := send(t, clientOf(t, filepath.Join(dir, SocketName)), "GET", "/v1/task", ""); status != 200 {
		t.Errorf("status %d", status)
	}
	folder, err1 := os.Stat(dir)
	socket, err2 := os.Stat(filepath.Join(dir, SocketName))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if folder.Mode().Perm() != 0o711 || socket.Mode().Perm() != 0o666 {
		t.Errorf("modes %o and %o", folder.Mode().Perm(), socket.Mode().Perm())
	}
	if err := errors.Join(g.Close(), g.Close()); err != nil {
		t.Errorf("close twice: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	occupied := shortDir(t)
	if err := os.WriteFile(filepath.Join(occupied, SocketName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir  string
		kind error
		says string
	}{
		"a path that is too long":         {filepath.Join(shortDir(t), strings.Repeat("x", 100)), agent.ErrInvalid, "shorter path"},
		"a file in the socket's place":    {occupied, agent.ErrConflict, "is no socket"},
		"a folder that cannot be made":    {"/dev/null/x", nil, "make the socket's folder"},
		"a configuration without folders": {"", nil, "incomplete"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, err := Open(t.Context(), config(c.dir, &node{}))
			if err == nil {
				t.Fatal(errors.Join(errors.New("it opened"), g.Close()))
			}
			if c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRouteWithAnActionAsksTheGuard(t *testing.T) {
	t.Parallel()
	n := &node{}
	g, client := serve(t, n)
	g.routes["/v1/tried/"] = route{action: "message.send", methods: map[string]handler{
		http.MethodPost: func(w http.ResponseWriter, _ *http.Request, _ string) error {
			w.WriteHeader(http.StatusNoContent)
			return nil
		},
	}}
	if status, _, body := send(t, client, "POST", "/v1/tried/b", ""); status != 403 {
		t.Errorf("without a guard: %d %s", status, body)
	}
	var asked bytes.Buffer
	g.cfg.Guard = func(_ context.Context, action agent.Action, resource string) (func(error), error) {
		fmt.Fprintln(&asked, action, resource)
		if resource == "a" {
			return nil, agent.Errorf(agent.ErrDenied, "rule 7 forbids it")
		}
		return func(err error) { fmt.Fprintln(&asked, "done", err) }, nil
	}
	if status, _, body := send(t, client, "POST", "/v1/tried/a", ""); status != 403 || !strings.Contains(body, "rule 7") {
		t.Errorf("what is denied: %d %s", status, body)
	}
	if status, _, _ := send(t, client, "POST", "/v1/tried/b", ""); status != 204 {
		t.Errorf("what is allowed: %d", status)
	}
	if want := "message.send a\nmessage.send b\ndone <nil>\n"; asked.String() != want {
		t.Errorf("the guard heard %q, want %q", asked.String(), want)
	}
}
