// Package e2e drives `symbi dev` as a user does: by its command line and by
// REST, against real Docker and gVisor. The binary is the one that `make build`
// made; the tests link no Temporal server.
package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is what `make build` makes.
var binary = func() string {
	path, err := filepath.Abs("../../bin/symbi")
	if err != nil {
		panic(err)
	}
	return path
}()

// Waits of the tests. They are bounds for a machine that is busy with
// everything at once, not expectations.
const (
	upWait   = 60 * time.Second
	taskWait = 2 * time.Minute
	pollTime = 50 * time.Millisecond
)

// dev is a running `symbi dev`.
type dev struct {
	t     testing.TB
	cmd   *exec.Cmd
	home  string
	data  string
	url   string
	out   *syncBuffer
	ended chan struct{}
}

// shared is one `symbi dev` for all tests that need none of their own.
var shared struct {
	once sync.Once
	dev  *dev
	err  error
	dir  string
}

// TestMain stops the shared process at the end.
func TestMain(m *testing.M) {
	code := m.Run()
	if shared.dev != nil {
		shared.dev.interrupt()
	}
	if shared.dir != "" {
		if err := os.RemoveAll(shared.dir); err != nil {
			fmt.Fprintln(os.Stderr, "the shared folder stays:", err)
		}
	}
	os.Exit(code)
}

// theDev gives the shared process.
func theDev(t *testing.T) *dev {
	t.Helper()
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "symbi-e2e-"); shared.err != nil {
			return
		}
		shared.dev, shared.err = launch(shared.dir, freeAddress())
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	d := *shared.dev
	d.t = t
	return &d
}

// ownDev starts a process for one test alone, and stops it at its end.
func ownDev(t *testing.T) *dev {
	t.Helper()
	d, err := launch(t.TempDir(), freeAddress())
	if err != nil {
		t.Fatal(err)
	}
	d.t = t
	t.Cleanup(func() { d.interrupt() })
	return d
}

func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// launch starts `symbi dev` with an empty HOME below dir, and waits until it is ready.
func launch(dir, address string) (*dev, error) {
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("bin/symbi is not built; run `make build`: %w", err)
	}
	d := &dev{
		home: filepath.Join(dir, "home"), data: filepath.Join(dir, "data"), url: "http://" + address,
		out: &syncBuffer{}, ended: make(chan struct{}),
	}
	if err := os.MkdirAll(d.home, 0o700); err != nil {
		return nil, err
	}
	d.cmd = exec.Command(binary, "dev", "--data", d.data, "--listen", address)
	d.cmd.Env = d.env()
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(d.ended)
		if err := d.cmd.Wait(); err != nil {
			fmt.Fprintln(d.out, "symbi dev:", err)
		}
	}()
	deadline := time.Now().Add(upWait)
	for time.Now().Before(deadline) {
		if resp, err := http.Get(d.url + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK && d.hasNode() {
				return d, nil
			}
		}
		select {
		case <-d.ended:
			return nil, fmt.Errorf("symbi dev ended: %s", d.out)
		case <-time.After(pollTime):
		}
	}
	d.interrupt()
	return nil, fmt.Errorf("symbi dev is not ready after %s: %s", upWait, d.out)
}

// hasNode reports whether the node has reported itself.
func (d *dev) hasNode() bool {
	var nodes struct{ Items []any }
	return d.get("/v1/nodes", &nodes) == nil && len(nodes.Items) > 0
}

func (d *dev) env() []string {
	return []string{"HOME=" + d.home, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1",
		"SYMBI_SERVER=" + d.url, "SYMBI_TOKEN_FILE=" + filepath.Join(d.data, "admin.token")}
}

// interrupt stops the process as Ctrl-C does, and waits.
func (d *dev) interrupt() { d.end(syscall.SIGINT) }

// kill ends the process as a power cut does.
func (d *dev) kill() { d.end(syscall.SIGKILL) }

func (d *dev) end(sig syscall.Signal) {
	if err := d.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		fmt.Fprintln(os.Stderr, "signal symbi dev:", err)
	}
	select {
	case <-d.ended:
	case <-time.After(30 * time.Second):
		fmt.Fprintln(os.Stderr, "symbi dev did not end within 30 s and is killed")
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
}

// restart starts the process again on the same folder and address.
func (d *dev) restart() {
	d.t.Helper()
	again, err := launch(filepath.Dir(d.data), strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.cmd, d.out, d.ended = again.cmd, again.out, again.ended
}

// result is what a command printed and how it ended.
type result struct {
	out, err string
	code     int
}

// symbi runs a command.
func (d *dev) symbi(args ...string) result {
	d.t.Helper()
	return d.symbiIn(".", args...)
}

// symbiIn runs a command in a folder.
func (d *dev) symbiIn(dir string, args ...string) result {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), taskWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Dir = d.env(), dir
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.t.Fatalf("symbi %v: %v", args, err)
	}
	return result{out: out.String(), err: errOut.String(), code: cmd.ProcessState.ExitCode()}
}

// must runs a command that has to succeed, and gives its output.
func (d *dev) must(args ...string) string {
	d.t.Helper()
	r := d.symbi(args...)
	if r.code != 0 {
		d.t.Fatalf("symbi %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// task is a task as `-o json` shows it; only what tests look at.
type task struct {
	ID       string `json:"id"`
	Agent    string `json:"agent"`
	State    string `json:"state"`
	Why      string `json:"why"`
	Next     string `json:"next"`
	Attempt  int    `json:"attempt"`
	Tier     string `json:"tier"`
	RetryOf  string `json:"retry_of"`
	LogBytes int64  `json:"log_bytes"`
	Dropped  int64  `json:"log_dropped"`
	Failure  struct {
		Class    string `json:"class"`
		Code     string `json:"code"`
		Cause    string `json:"cause"`
		NextStep string `json:"next_step"`
		ExitCode *int   `json:"exit_code"`
	} `json:"failure"`
	Result json.RawMessage `json:"result"`
	Risk   struct {
		Score   float64 `json:"score"`
		Why     string  `json:"why"`
		Factors []struct {
			Factor, Value, Note string
		} `json:"factors"`
	} `json:"risk"`
	Usage struct {
		CPU    float64 `json:"cpu_seconds"`
		Peak   int64   `json:"peak_memory_bytes"`
		Frozen float64 `json:"frozen_seconds"`
		Wall   float64 `json:"wall_seconds"`
	} `json:"usage"`
	Limits    []struct{ Limit, Value, Enforcer string } `json:"limits"`
	Artifacts []struct {
		Path  string `json:"path"`
		Bytes int64  `json:"bytes"`
	} `json:"artifacts"`
}

// final reports whether a task is over.
func (t task) final() bool {
	return t.State == "Succeeded" || t.State == "Failed" || t.State == "Cancelled"
}

// task reads a task.
func (d *dev) task(id string) task {
	d.t.Helper()
	var got task
	if err := d.get("/v1/namespaces/default/tasks/"+id, &got); err != nil {
		d.t.Fatal(err)
	}
	return got
}

// agentState reads an agent's state.
func (d *dev) agentState(name string) string {
	d.t.Helper()
	var got struct{ State string }
	if err := d.get("/v1/namespaces/default/agents/"+name, &got); err != nil {
		d.t.Fatal(err)
	}
	return got.State
}

// await waits until a task is as wanted.
func (d *dev) await(id string, what string, ok func(task) bool) task {
	d.t.Helper()
	deadline := time.Now().Add(taskWait)
	for {
		got := d.task(id)
		if ok(got) {
			return got
		}
		if got.final() || time.Now().After(deadline) {
			d.t.Fatalf("task %s is %s (%s; %s), not %s", id, got.State, got.Why, got.Failure.Cause, what)
		}
		select {
		case <-d.t.Context().Done():
			d.t.Fatal("the test is over")
		case <-time.After(pollTime):
		}
	}
}

// awaitEnd waits until a task is over.
func (d *dev) awaitEnd(id string) task {
	d.t.Helper()
	return d.await(id, "over", task.final)
}

// awaitAgent waits until an agent is in a state.
func (d *dev) awaitAgent(name, state string) {
	d.t.Helper()
	deadline := time.Now().Add(upWait)
	for {
		got := d.agentState(name)
		if got == state {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("agent %s is %s, not %s", name, got, state)
		}
		<-time.After(pollTime)
	}
}

// token reads the admin token.
func (d *dev) token() string {
	b, err := os.ReadFile(filepath.Join(d.data, "admin.token"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// get reads JSON over REST.
func (d *dev) get(path string, into any) error {
	resp, err := d.request(http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, body)
	}
	return json.Unmarshal(body, into)
}

// request makes a REST request with the admin's token.
func (d *dev) request(method, path string, header map[string]string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequest(method, d.url+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+d.token())
	for k, v := range header {
		req.Header.Set(k, v)
	}
	return http.DefaultClient.Do(req)
}

// raw makes a GET request with the path as it is, which the client library
// would tidy up.
func (d *dev) raw(path string) (status int, location, body string) {
	d.t.Helper()
	req, err := http.NewRequest(http.MethodGet, d.url, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.URL.Opaque = path
	req.Header.Set("Authorization", "Bearer "+d.token())
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(text)
}

// problem is an error answer.
type problem struct {
	Status int
	Title  string
	Detail string
	Errors []struct {
		Path    string
		Line    int
		Message string
	}
}

// rest makes a request and gives its status and, for an error, the problem.
func (d *dev) rest(method, path string, header map[string]string, body string) (int, problem, string) {
	d.t.Helper()
	resp, err := d.request(method, path, header, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	var p problem
	if resp.StatusCode >= 400 {
		if err := json.Unmarshal(answer, &p); err != nil {
			d.t.Fatalf("%s %s: %s is no problem document: %s", method, path, resp.Status, answer)
		}
	}
	return resp.StatusCode, p, string(answer)
}

// says reports whether a problem says something about a path.
func (p problem) says(path, part string) bool {
	for _, e := range p.Errors {
		if e.Path == path && strings.Contains(e.Message, part) {
			return true
		}
	}
	return false
}

// write writes a file for a test and gives its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// agentNamed makes a name for a test's agent that no other test has.
func agentNamed(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", "'", "", " ", "-").Replace(t.Name()))
	name = strings.TrimPrefix(name, "test")
	if len(name) > 60 {
		name = name[:60]
	}
	return name
}

// shell is the manifest of an agent that runs a shell script in a tier.
func shell(name, tier, code string) string {
	return manifest(name, tier, "shell", code, "")
}

// manifest is a manifest with an inline script. more is added at the end. For
// the Docker tier it claims what the script's digest bears out: untrusted code
// never runs there.
func manifest(name, tier, language, code, more string) string {
	var b strings.Builder
	code = strings.TrimRight(code, "\n") + "\n"
	fmt.Fprintf(&b, "apiVersion: symbi/v1\nkind: Agent\nname: %s\nprogram:\n  script:\n    language: %s\n    code: |\n", name, language)
	for line := range strings.Lines(code) {
		b.WriteString("      " + line)
	}
	b.WriteString("  stop_grace: 500ms\n")
	fmt.Fprintf(&b, "sandbox: {min_tier: %s}\n", tier)
	if tier == "docker" {
		sum := sha256.Sum256([]byte(code))
		fmt.Fprintf(&b, "source: {trust: verified, digest: \"sha256:%x\"}\n", sum)
		b.WriteString("network: {connections: 0}\nexternal_apis: []\nfilesystem: {scratch_mb: 32}\n")
	}
	if !strings.Contains(more, "resources:") {
		b.WriteString("resources: {memory_mb: 128, cpu_cores: 0.5, execution_timeout: 2m}\n")
	}
	b.WriteString(more)
	return b.String()
}

// create creates an agent and waits until it is Ready.
func (d *dev) create(t *testing.T, name, text string) {
	t.Helper()
	d.must("agent", "create", "-f", write(t, name+".yaml", text))
	d.awaitAgent(name, "Ready")
}

// submit gives an agent a task and gives its ID.
func (d *dev) submit(name string, args ...string) string {
	d.t.Helper()
	var got task
	out := d.must(append([]string{"task", "submit", name, "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		d.t.Fatalf("task submit printed %q: %v", out, err)
	}
	return got.ID
}

// runOnce creates an agent, runs one task and gives its end.
func (d *dev) runOnce(t *testing.T, name, text string, args ...string) task {
	t.Helper()
	d.create(t, name, text)
	return d.awaitEnd(d.submit(name, args...))
}

// syncBuffer is a buffer that many may use.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
